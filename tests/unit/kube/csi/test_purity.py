"""What decides about volumes does no input or output."""

from __future__ import annotations

import pytest

from tests.unit.house import source_tree, test_purity


@pytest.mark.parametrize("name", ["request", "choose"])
def test_it_is_pure(name: str) -> None:
    path = source_tree.PACKAGE / "kube" / "csi" / f"{name}.py"
    assert test_purity.violations_of_purity(source_tree.parse(path)) == []
