"""The table of signatures in the documents is the one that the tests prove."""

from __future__ import annotations

from tests.trust import table


def test_the_table_is_up_to_date() -> None:
    text = table.DOCUMENT.read_text()
    assert table.made(text) == text, "run: python -m tests.trust.table"
