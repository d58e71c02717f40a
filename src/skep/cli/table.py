"""Tables and trees as text: plain columns for pipes and files, rich's for a terminal.

rich costs as much time as everything else together, so a pipe never imports it.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

GAP = "  "
LONGEST_WORD = 18
"""Characters; a longer one, such as a path, is broken where the terminal is too narrow for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column; ``wide`` ones are left out unless asked for, ``style`` is rich's word.

    On a terminal too narrow for the table, ``folds`` columns take several lines, at blanks and commas, and then
    ``spare`` ones are left out, 1 before 2; a number, an id or a name is never cut.
    """

    title: str
    right: bool = False
    wide: bool = False
    style: str = ""
    spare: int = 0
    folds: bool = False
    styles: Mapping[str, str] = field(default_factory=dict)
    """Rich's word for cells of a certain text; "" is for all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns and rows of equal length; ``title`` is printed above, "" for none."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading with fields and sections below it, as ``get`` shows one thing."""

    title: str
    fields: tuple[tuple[str, str], ...] = ()
    sections: tuple[Section, ...] = ()


_is_far = False


def far(columns: int, lines: int, *, coloured: bool) -> None:
    """What this process prints is shown by a terminal of this size that is elsewhere, and takes no keys."""
    global _is_far
    _is_far = True
    # For rich, which asks the environment: that there is a terminal, and how large it is.
    os.environ.update(COLUMNS=str(columns), LINES=str(lines), TERM="xterm-256color", FORCE_COLOR="1")
    if not coloured:
        os.environ["NO_COLOR"] = "1"


def terminal(stream: object = None) -> bool:
    """Whether a stream is a terminal that can move its cursor: then tables fit its width."""
    if _is_far:
        return True
    target = sys.stdout if stream is None else stream
    isatty = getattr(target, "isatty", None)
    return bool(isatty and isatty()) and os.environ.get("TERM") != "dumb"


def coloured(stream: object = None) -> bool:
    """Whether a stream takes colours: a terminal, and NO_COLOR (no-color.org) not set. rich looks at that by itself."""
    return terminal(stream) and not os.environ.get("NO_COLOR")


def show(table: Table, *, wide: bool = False) -> None:
    """Print a table; nothing at all for one without rows and title, as bpfman's CLI does."""
    if not table.rows:
        if table.title:
            print(table.title)
        return
    columns = chosen(table, wide)
    if terminal():
        _rich(columns)
    else:
        print("\n".join(plain(columns)))


def plain(table: Table) -> list[str]:
    """Lines of aligned columns, two blanks apart."""
    widths = [
        max(len(column.title), *(len(row[index]) for row in table.rows)) if table.rows else len(column.title)
        for index, column in enumerate(table.columns)
    ]
    lines = [table.title] if table.title else []
    for cells in (tuple(column.title for column in table.columns), *table.rows):
        padded = (
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(cells, widths, table.columns, strict=True)
        )
        lines.append(GAP.join(padded).rstrip())
    return lines


def renderable(table: Table, width: int) -> object:
    """The table as rich's, for a terminal of ``width`` characters or a live view."""
    from rich import box
    from rich import table as rich_table
    from rich.text import Text

    fitting = _fitting(table, width)
    made = rich_table.Table(
        box=box.SIMPLE_HEAD, title=table.title or None, title_justify="left", header_style="bold",
        show_edge=False, pad_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    narrow = _width(fitting, folded=False) > width
    for column, characters in zip(fitting.columns, _widths(fitting, width), strict=True):
        made.add_column(
            column.title, justify="right" if column.right else "left", style=column.style or None, width=characters,
            no_wrap=not column.folds, overflow="fold",
        )  # fmt: skip
    for row in fitting.rows:
        cells = zip(row, fitting.columns, strict=True)
        made.add_row(
            *(
                Text(_spaced(cell) if narrow and column.folds else cell, style=_style(column, cell))
                for cell, column in cells
            )
        )
    return made


def _style(column: Column, cell: str) -> str:
    return column.styles.get(cell, column.styles.get("", ""))


def _widths(table: Table, width: int) -> list[int]:
    """Characters for each column: what it needs at least, and the room that is left shared among those that fold."""
    indexes = range(len(table.columns))
    widths = [_column_width(table, index, folded=True) for index in indexes]
    wanted = [_column_width(table, index, folded=False) for index in indexes]
    left = width - _width(table, folded=True)
    while left > 0 and widths != wanted:
        for index in indexes:
            if left > 0 and widths[index] < wanted[index]:
                widths[index] += 1
                left -= 1
    return widths


def _fitting(table: Table, width: int) -> Table:
    """The table without as many of its spare columns as do not fit."""
    kept = list(range(len(table.columns)))
    spare = [index for index in kept if table.columns[index].spare]
    for index in sorted(spare, key=lambda index: table.columns[index].spare):
        if _width(_only(table, kept), folded=True) > width:
            kept.remove(index)
    return _only(table, kept)


def _width(table: Table, *, folded: bool) -> int:
    """Characters of the widest line; ``folded`` with the narrowest form of columns that may take several lines."""
    each = (_column_width(table, index, folded=folded) for index in range(len(table.columns)))
    return sum(each) + len(GAP) * (len(table.columns) - 1)


def _column_width(table: Table, index: int, *, folded: bool) -> int:
    column = table.columns[index]
    cells = [row[index] for row in table.rows]
    if folded and column.folds:
        cells = [word[:LONGEST_WORD] for cell in cells for word in _spaced(cell).split()]
    return max(len(column.title), *(len(cell) for cell in cells)) if cells else len(column.title)


def _spaced(cell: str) -> str:
    """A list that may be broken after its commas; those within a number stay."""
    return re.sub(r",(?=[^\s\d])", ", ", cell)


def _rich(table: Table) -> None:
    from rich.console import Console

    console = Console()
    # Too narrow even so: better the terminal breaks lines than that something is missing.
    width = max(console.width, _width(_fitting(table, console.width), folded=True))
    console.print(renderable(table, width), width=width, crop=False)


def chosen(table: Table, wide: bool) -> Table:
    """Without the columns that are only wanted ``wide``."""
    if wide:  # whoever asks for everything gets it, however narrow the terminal is
        columns = tuple(dataclasses.replace(column, spare=0) for column in table.columns)
        return dataclasses.replace(table, columns=columns)
    return _only(table, [index for index, column in enumerate(table.columns) if not column.wide])


def _only(table: Table, kept: Sequence[int]) -> Table:
    """Some of a table's columns, by index."""
    return Table(
        columns=tuple(table.columns[index] for index in kept),
        rows=tuple(tuple(row[index] for index in kept) for row in table.rows),
        title=table.title,
    )


def tree(section: Section) -> None:
    """Print a section as indented "Label: value" lines."""
    print("\n".join(tree_lines(section, bold=coloured())))


def tree_lines(section: Section, *, depth: int = 0, bold: bool = False) -> list[str]:
    """The lines of ``tree``; values are aligned within one section."""
    indent = "  " * depth
    title = f"{indent}{section.title}"
    lines = [f"\x1b[1m{title}\x1b[0m" if bold else title]
    width = max((len(label) for label, _ in section.fields), default=0) + 1
    lines += [f"{indent}  {(label + ':').ljust(width)} {value}".rstrip() for label, value in section.fields]
    for below in section.sections:
        lines += tree_lines(below, depth=depth + 1, bold=bold)
    return lines


def joined(words: Iterable[object], empty: str = "None") -> str:
    """Words with blanks between, or ``empty``."""
    return " ".join(str(word) for word in words) or empty


def pairs(values: Sequence[tuple[str, str]]) -> str:
    """ "a=1, b=2", or "None"."""
    return ", ".join(f"{name}={value}" for name, value in values) or "None"
