"""What decides about objects does no input or output; only the commands that write CRDs, policies and roles do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.house import source_tree, test_purity

KUBE = source_tree.PACKAGE / "kube"
ACTING = ("bundle", "chart", "client", "crd", "policy", "roles")
"""Modules of ``skep.kube`` itself that write files, or talk to an API server."""
PURE = {
    "clean": ("cleaner", "telling"),
    "api": ("backoff", "key", "merge", "notice", "schedule", "tenure"),
    "older": ("bpfd", "config", "fields", "kinds", "program", "status", "translate", "views"),
    "inventory": ("kind", "status", "decide"),
    "operator/rollout": ("asked", "told", "nodes", "decide"),
}
"""Package below it -> its modules that decide."""
DECIDING = sorted(
    [
        *(path for path in KUBE.glob("*.py") if path.stem not in ACTING),
        *(KUBE / package / f"{name}.py" for package, names in PURE.items() for name in names),
    ]
)


@pytest.mark.parametrize("path", DECIDING, ids=lambda path: path.stem)
def test_it_is_pure(path: Path) -> None:
    assert test_purity.violations_of_purity(source_tree.parse(path)) == []
    assert "yaml" not in {name.split(".")[0] for name, _ in source_tree.imports(source_tree.parse(path))}
