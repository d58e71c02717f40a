"""The capability manifest of an object: each program with what it can do, and what shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from skep import hooks, model
from skep.bytecode import elf
from skep.capability import calls, code, inherent, writes
from skep.model.capability import Capability, ProgramCapabilities

_INTO_PACKETS: Final = ("kfunc bpf_dynptr_slice_rdwr", "helper dynptr_write")
"""What writes to whatever a dynptr stands for, a packet among others (bpf_dynptr_from_skb; Linux 6.4)."""


def read(
    data: bytes, types: Mapping[str, str] | None = None, order: elf.ByteOrder = elf.HOST
) -> tuple[ProgramCapabilities, ...]:
    """The capabilities of every program in an object's bytes.

    ``types``: program name -> type, where the caller says more than the section. ``BadObject``, ``Exhausted``: as
    ``elf.parse``.
    """
    whole = elf.parse(data, order)
    known = code.functions(whole, order)
    return tuple(
        _program(whole.sections[place.section].name, one, known, types or {}) for place, one in _starts(whole, known)
    )


def together(programs: Iterable[ProgramCapabilities]) -> tuple[Capability, ...]:
    """What all of these can do, the harmless first."""
    held = {one for program in programs for one in program.because}
    return tuple(one for one in Capability if one in held)


def to_json(programs: Sequence[ProgramCapabilities]) -> list[dict[str, Any]]:  # Any: JSON
    """The manifest as JSON: programs in the object's order, capabilities from harmless to harmful."""
    return [
        {
            "program": one.program,
            "section": one.section,
            "type": one.type,
            "capabilities": {kind.value: list(one.because[kind]) for kind in Capability if kind in one.because},
        }
        for one in programs
    ]


def _starts(whole: elf.Object, known: Mapping[code.Place, code.Function]) -> Iterator[tuple[code.Place, code.Function]]:
    """The functions that are programs: named global ones outside ``.text``, as ``bytecode.programs`` has it."""
    named = {
        code.Place(symbol.section, symbol.value // 8)
        for symbol in whole.symbols
        if symbol.type == elf.STT_FUNC and symbol.binding != elf.STB_LOCAL and symbol.name and symbol.value % 8 == 0
    }
    for place in sorted(known, key=lambda one: (one.section, one.at)):
        if place in named and whole.sections[place.section].name != ".text":
            yield place, known[place]


def _program(
    section: str, one: code.Function, known: Mapping[code.Place, code.Function], types: Mapping[str, str]
) -> ProgramCapabilities:
    type_ = types.get(one.name) or _type(section)
    because: dict[Capability, dict[str, None]] = {}  # dict for its order
    called: list[str] = []

    def show(kind: Capability, evidence: str) -> None:
        because.setdefault(kind, {})[evidence] = None

    for kind in inherent.BY_TYPE.get(type_, inherent.UNKNOWN):
        show(kind, f"type {type_}" if type_ else "its type is not known")
    for part in code.reachable(one.place, known):
        for number in part.helpers.values():
            name = calls.name(number)
            called.append(f"helper {name}")
            for kind in calls.SHOWS.get(name, frozenset({Capability.CALL_KERNEL_FUNCTIONS})):
                show(kind, f"helper {name}")
        for name in part.kfuncs.values():
            called.append(f"kfunc {name}")
            show(Capability.CALL_KERNEL_FUNCTIONS, f"kfunc {name}")
    if Capability.SEE_PACKETS in because:
        for call in called:
            if call in _INTO_PACKETS:
                show(Capability.REWRITE_PACKETS, call)
    if writes.into_packets(one.place, known, type_ or "xdp"):
        show(Capability.REWRITE_PACKETS, "store into the packet")
    return ProgramCapabilities(
        program=one.name,
        section=section,
        type=model.HookName(type_),
        because={kind: tuple(because[kind]) for kind in Capability if kind in because},
    )


def _type(section: str) -> str:
    hook = hooks.from_section(section)
    return "" if hook is None else hook.name
