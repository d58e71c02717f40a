"""Tables on terminals of every width: what does not fit is folded or left out by column, and never cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from skep.cli import table

CHAIN = table.Table(
    columns=(
        table.Column(title="LINK", right=True),
        table.Column(title="NAME"),
        table.Column(title="PROCEED ON", folds=True),
        table.Column(title="FORM", spare=2),
        table.Column(title="RUNS", right=True),
        table.Column(title="PROCEEDED", right=True, spare=1),
        table.Column(title="STOPPED", folds=True),
    ),
    rows=(
        ("1", "xdp_drop_port", "pass,dispatcher_return", "inline", "12,345,678", "12,345,000", "drop 1,678 ██▌,tx 5"),
        ("123456", "count", "-", "call", "1", "1", "-"),
    ),
)


def drawn(shown: table.Table, width: int) -> list[str]:
    """The lines that a terminal of this width shows."""
    console = Console(file=io.StringIO(), width=width)
    console.print(table.renderable(shown, width))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def titles(lines: list[str]) -> list[str]:
    return lines[0].replace("PROCEED ON", "PROCEED_ON").split()


def test_a_wide_terminal_shows_the_plain_table() -> None:
    """Under a line below the headings, which a pipe does not get."""
    lines = drawn(CHAIN, 200)
    assert [lines[0], *lines[2:]] == table.plain(CHAIN)


@pytest.mark.parametrize("width", range(61, 121))
def test_nothing_is_cut(width: int) -> None:
    lines = drawn(CHAIN, width)
    text = "\n".join(lines)
    assert "…" not in text
    assert max(map(len, lines)) <= width
    for word in ("12,345,678", "123456", "xdp_drop_port", "dispatcher_return", "drop", "1,678", "tx"):
        assert word in text, word


def test_lists_are_folded_before_a_column_goes_and_spare_ones_go_in_order() -> None:
    whole = max(map(len, table.plain(CHAIN)))
    everything = ["LINK", "NAME", "PROCEED_ON", "FORM", "RUNS", "PROCEEDED", "STOPPED"]
    folded = 6 + 13 + 17 + 6 + 10 + 10 + 7 + 6 * len(table.GAP)
    assert len(drawn(CHAIN, whole)) == 4
    assert len(drawn(CHAIN, whole - 1)) > 4
    assert titles(drawn(CHAIN, folded)) == everything
    assert titles(drawn(CHAIN, folded - 1)) == [title for title in everything if title != "PROCEEDED"]
    assert titles(drawn(CHAIN, 65)) == ["LINK", "NAME", "PROCEED_ON", "RUNS", "STOPPED"]


def test_a_long_path_is_broken_rather_than_the_table() -> None:
    shown = table.Table(columns=(table.Column(title="PIN", folds=True),), rows=(("/" + "p" * 50,),))
    assert drawn(shown, 30)[2:] == ["/" + "p" * 29, "p" * 21]


def test_a_list_is_folded_after_its_commas() -> None:
    shown = table.Table(columns=(table.Column(title="ON", folds=True),), rows=(("aborted,drop, pass",),))
    assert drawn(shown, 10)[2:] == ["aborted,", "drop, pass"]
