"""The files of this checkout as the house rules see them: what is ours, what is generated, what must be pure."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "src" / "skep"

# Decisions do no input or output (style rule 14); these are the top-level modules that only decide.
PURE = ("hooks", "chain", "bytecode", "steps", "plan", "policy", "values", "trust", "model", "errors", "paths")


def python_modules() -> list[Path]:
    """Every module of the package that a person wrote."""
    return sorted(path for path in PACKAGE.rglob("*.py") if "pb" not in path.relative_to(PACKAGE).parts[:1])


def layer(path: Path) -> str:
    """The top-level module that a file belongs to: "chain" for ``chain/order.py``, "steps" for ``steps.py``."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.stem


@cache
def parse(path: Path) -> ast.Module:
    """The syntax tree of one file."""
    return ast.parse(path.read_bytes(), filename=str(path))


@cache
def imports(tree: ast.Module) -> frozenset[tuple[str, int]]:
    """Every imported top-level name with its line, wherever in the file it is imported."""
    found: set[tuple[str, int]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(alias.name, node.lineno) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {(f"{node.module}.{alias.name}", node.lineno) for alias in node.names}
    return frozenset(found)


def shown(path: Path) -> str:
    """A path as a message shows it, from the root of the checkout."""
    return path.relative_to(ROOT).as_posix()
