"""Every error says what to do: whoever reads it has nothing else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.unit.house import source_tree

# A bug has no remedy that a user could know; what is told then is where to look.
EXEMPT = {"SkepError", "Broken"}


def silent(text: str) -> list[tuple[int, str]]:
    """Line and class of each error that is made without ``do`` and without near misses."""
    found = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="errors"), attr=name), keywords=given) if (
                name[0].isupper() and name not in EXEMPT and not {word.arg for word in given} & {"do", "near", None}
            ):
                found.append((node.lineno, name))
    return found


def test_what_is_looked_for_is_found() -> None:
    assert silent("raise errors.Conflict('no', why='because')\n") == [(1, "Conflict")]
    assert silent("raise errors.Conflict('no', do='this')\nerrors.near_misses('a', [])\n") == []


@pytest.mark.parametrize("path", source_tree.python_modules(), ids=source_tree.shown)
def test_every_error_says_what_to_do(path: Path) -> None:
    assert silent(path.read_text()) == []
