"""One list of capabilities: in code, in the systemd unit and in the docs."""

from __future__ import annotations

from skep.kube import rights
from tests.unit.house import source_tree, unit_file

PAGE = source_tree.ROOT / "docs" / "kubernetes-security.md"


def test_the_systemd_unit_has_the_same() -> None:
    assert [f"CAP_{name}" for name, _ in rights.DAEMON] == list(unit_file.capabilities())


def test_the_page_says_each_with_its_reason() -> None:
    page = PAGE.read_text()
    assert "".join(f"| `{name}` | {why} |\n" for name, why in rights.DAEMON) in page
