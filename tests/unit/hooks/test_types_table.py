"""docs/types.md says of every program type what the table of hooks says."""

from __future__ import annotations

from tests.unit.hooks import types_table


def test_the_document_is_made_from_the_hooks() -> None:
    text = types_table.DOCUMENT.read_text()
    assert types_table.made(text) == text, "python -m tests.unit.hooks.types_table writes it anew"


def test_every_type_was_tried_on_two_kernels() -> None:
    assert types_table.UNKNOWN not in types_table.DOCUMENT.read_text()
