"""Tables and trees as text: plain columns for pipes and files, rich's for a terminal.

rich costs as much time as everything else together, so a pipe never imports it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

GAP = "  "


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column; ``wide`` ones are left out unless asked for, ``style`` is rich's word."""

    title: str
    right: bool = False
    wide: bool = False
    style: str = ""


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


def coloured(stream: object = None) -> bool:
    """Whether a stream takes colours: a terminal, and NO_COLOR (no-color.org) not set."""
    target = sys.stdout if stream is None else stream
    isatty = getattr(target, "isatty", None)
    return bool(isatty and isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def show(table: Table, *, wide: bool = False) -> None:
    """Print a table; nothing at all for one without rows and title, as bpfman's CLI does."""
    if not table.rows:
        if table.title:
            print(table.title)
        return
    chosen = _chosen(table, wide)
    if coloured():
        _rich(chosen)
    else:
        print("\n".join(plain(chosen)))


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


def renderable(table: Table) -> object:
    """The table as rich's, for a terminal or a live view."""
    from rich import box
    from rich import table as rich_table
    from rich.text import Text

    made = rich_table.Table(
        box=box.SIMPLE_HEAD, title=table.title or None, title_justify="left", pad_edge=False, header_style="bold"
    )
    for column in table.columns:
        made.add_column(column.title, justify="right" if column.right else "left", style=column.style or None)
    for row in table.rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def _rich(table: Table) -> None:
    from rich.console import Console

    Console().print(renderable(table))


def _chosen(table: Table, wide: bool) -> Table:
    if wide:
        return table
    kept = [index for index, column in enumerate(table.columns) if not column.wide]
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
