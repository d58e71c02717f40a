"""The table of docs/types.md, made from ``hooks.HOOKS``: ``python -m tests.unit.hooks.types_table`` writes it anew.

What two kernels answered is measured and cannot be derived. Those two columns are kept, unless the answers are given:

    python -m tests.guest.features >here.json
    scripts/guest python -m tests.guest.features >guest.json
    python -m tests.unit.hooks.types_table here.json guest.json

``tests/kernel/test_types.py`` compares them with the kernel that it runs on, this machine's and the guest's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from skep import hooks
from tests.unit.house import source_tree

DOCUMENT = source_tree.ROOT / "docs" / "types.md"
BEGIN, END = "<!-- table: tests/unit/hooks/types_table.py -->\n", "<!-- end of table -->\n"
HEAD = ("Type", "Sections", "Attached to", "Since Linux", "6.18, locked down", "Debian's 6.12")
UNKNOWN = "?"


def made(text: str, *tried: Mapping[str, str]) -> str:
    """A document with its table as it should be; ``tried``: type -> answer, for each of the two kernels."""
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    answers = measured(old)
    if tried:
        here, guest = tried
        answers |= {name: (here[name], guest[name]) for name in here.keys() & guest.keys()}
    lines = [HEAD, tuple("---" for _ in HEAD), *(_row(hook.name, answers.get(hook.name)) for hook in hooks.HOOKS)]
    return before + BEGIN + "".join(f"| {' | '.join(cells)} |\n" for cells in lines) + END + after


def measured(table: str) -> dict[str, tuple[str, str]]:
    """Type -> what each of the two kernels answered: "yes", or the errno."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.splitlines()]
    return {row[0].strip("`"): (row[-2], row[-1]) for row in rows if len(row) == len(HEAD) and row[0].startswith("`")}


def _row(name: str, answers: tuple[str, str] | None) -> tuple[str, ...]:
    hook = hooks.by_name(name)
    sections = ", ".join(f"`{section}`" for section in hook.sections if not section.endswith("_"))
    words = [row.metavar if not row.flags else f"{row.flags[-1]} {row.metavar}" for row in hook.options if _needed(row)]
    place = " ".join(f"`{word}`" for word in words) or ("chosen at load" if hook.aimed else "options, see `--help`")
    if hook.unattached:
        place = "nowhere: run on request" if hook.runs else "nowhere"
    return (f"`{name}`", sections, place, hook.first, *(answers or (UNKNOWN, UNKNOWN)))


def _needed(row: hooks.Option) -> bool:
    return (row.required or not row.flags) and row.field != "priority"


def recorded(path: str) -> Mapping[str, str]:
    """The answers in what ``skep feature -o json`` printed."""
    found = json.loads(Path(path).read_text())["features"]
    return {one["name"]: "yes" if one["available"] else one["errno_name"] for one in found}


if __name__ == "__main__":
    DOCUMENT.write_text(made(DOCUMENT.read_text(), *map(recorded, sys.argv[1:])))
