"""What decides about objects does no input or output; only the commands that write CRDs and policies do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.house import source_tree, test_purity

DECIDING = sorted(path for path in (source_tree.PACKAGE / "kube").glob("*.py") if path.stem not in ("crd", "policy"))


@pytest.mark.parametrize("path", DECIDING, ids=lambda path: path.stem)
def test_it_is_pure(path: Path) -> None:
    assert test_purity.violations_of_purity(source_tree.parse(path)) == []
    assert "yaml" not in {name.split(".")[0] for name, _ in source_tree.imports(source_tree.parse(path))}
