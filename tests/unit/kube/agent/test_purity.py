"""What decides in the agent does no input or output."""

from __future__ import annotations

import pytest

from tests.unit.house import source_tree, test_purity

PURE = ("expand", "login", "metrics", "news", "outcome", "owned", "records", "sight", "status")


@pytest.mark.parametrize("name", PURE)
def test_it_is_pure(name: str) -> None:
    path = source_tree.PACKAGE / "kube/agent" / f"{name}.py"
    assert test_purity.violations_of_purity(source_tree.parse(path)) == []
