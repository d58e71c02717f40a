"""What a verb shows a person: tables and lines below each other, printed once or live on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeAlias

from skep import errors
from skep.cli import output, table

Page: TypeAlias = tuple["table.Table | str", ...]
"""Tables and lines, in order; "" is an empty line."""


def show(page: Page, *, wide: bool) -> None:
    """Print it."""
    for part in page:
        if isinstance(part, str):
            print(part)
        else:
            table.show(part, wide=wide)


def untold(texts: tuple[str, ...]) -> None:
    """Tell on stderr what is missing from an answer."""
    for text in texts:
        output.note(f"not shown: {text}")


def watch(look: Callable[[], tuple[object, Page]], form: output.Format, interval: float, times: int | None) -> None:
    """Look every ``interval`` seconds, ``times`` times; ``look`` gives the document and the page.

    Redrawn on a terminal; elsewhere shown anew when it has changed.
    """
    if table.terminal() and not form.structured:
        _live(look, form is output.Format.WIDE, interval, times)
        return
    before: object = None
    for number in output.looks(times, interval):
        document, page = look()
        if number and document == before:
            continue
        if form.structured:
            output.line(document)
        else:
            if number:
                print()
            show(page, wide=form is output.Format.WIDE)
            sys.stdout.flush()
        before = document


def _live(look: Callable[[], tuple[object, Page]], wide: bool, interval: float, times: int | None) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    console = Console()
    # Room for the ^C that the terminal prints at the cursor: a line that it breaks would move everything by one.
    console.width = max(1, console.width - 3)
    with Live(console=console, auto_refresh=False) as live:
        for _ in output.looks(times, interval):
            try:
                _, page = look()
            except errors.Unavailable as error:
                live.update(Text(f"{error.what}: {error.why}; asking again", style="red"), refresh=True)
                continue
            shown = [
                Text(part) if isinstance(part, str) else table.renderable(table.chosen(part, wide), console.width)
                for part in page
                if isinstance(part, str) or part.rows or part.title
            ]
            live.update(Group(*shown), refresh=True)  # type: ignore[arg-type]  # renderable() hides rich's type
