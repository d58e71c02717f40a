"""What programs can do, for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from skep.cli import table
from skep.model.capability import Capability, ProgramCapabilities, Risk


def document(programs: Sequence[ProgramCapabilities]) -> list[dict[str, object]]:
    """Each program with its capabilities, from harmless to harmful, and what shows them."""
    return [
        {
            "program": one.program,
            "section": one.section,
            "type": one.type or None,
            "capabilities": {kind.value: list(one.because[kind]) for kind in Capability if kind in one.because},
        }
        for one in programs
    ]


def sections(programs: Sequence[ProgramCapabilities]) -> tuple[table.Section, ...]:
    """One section for each program: what it can do, and why we think so."""
    return tuple(
        table.Section(
            title=f"{one.program} can:" if one.because else f"{one.program} can do nothing of note",
            fields=tuple((kind.value, _told(kind, one)) for kind in Capability if kind in one.because),
        )
        for one in programs
    )


def lines(programs: Sequence[ProgramCapabilities]) -> tuple[str, ...]:
    """One line for each program, as a preview prints it; what reaches beyond the program's own place is marked."""
    told = []
    for one in programs:
        kinds = [kind for kind in Capability if kind in one.because]
        words = [f"{kind.sentence}{' (!)' if kind.risk is Risk.RULE else ''}" for kind in kinds]
        told.append(f"{one.program} can " + ("; ".join(words) or "do nothing of note"))
    return tuple(told)


def _told(kind: Capability, one: ProgramCapabilities) -> str:
    return f"{kind.sentence} ({', '.join(one.because[kind])})"
