"""The functions of an unlinked BPF object and whom they call: helpers, kernel functions, each other.

A call of a function in another section, or of the kernel, is a relocation (``R_BPF_64_32``; a callback's address:
``R_BPF_64_64``; Documentation/bpf/llvm_reloc.rst of Linux), a call within the section is a distance.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from skep.bytecode import elf, insn
from skep.bytecode.insn import Insn

SHT_REL: Final = 9
_R_BPF_64_64: Final = 1
_R_BPF_64_32: Final = 10
_STT_SECTION: Final = 3


@dataclass(frozen=True, slots=True)
class Place:
    """The start of a function: ELF section index and instruction number within it."""

    section: int
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function. Keys are instruction numbers within ``insns``.

    ``helpers``: calls of helpers by number; ``kfuncs``: calls of kernel functions by name; ``calls``: calls of other
    functions of the object; ``callbacks``: loads of a function's address.
    """

    place: Place
    name: str
    insns: tuple[Insn, ...]
    helpers: Mapping[int, int]
    kfuncs: Mapping[int, str]
    calls: Mapping[int, Place]
    callbacks: Mapping[int, Place]


def functions(whole: elf.Object, order: elf.ByteOrder) -> Mapping[Place, Function]:
    """Every function of the object's executable sections, by its start."""
    sections = [one for one in whole.sections if one.executable and one.type == elf.SHT_PROGBITS]
    found: dict[Place, Function] = {}
    targets: frozenset[Place] = frozenset()
    while True:  # a called place may have no symbol (a stripped object), and call further such places
        for section in sections:
            found.update((one.place, one) for one in _of_section(whole, section, order, targets))
        called = {place for one in found.values() for place in (*one.calls.values(), *one.callbacks.values())}
        missing = frozenset(called - found.keys()) - targets
        if not missing:
            return found
        targets |= missing


def reachable(start: Place, known: Mapping[Place, Function]) -> tuple[Function, ...]:
    """A function and all that it can come to, through calls and callbacks."""
    seen: dict[Place, Function] = {}
    todo = [start]
    while todo:
        place = todo.pop()
        if place in seen or place not in known:
            continue
        seen[place] = known[place]
        todo.extend((*known[place].calls.values(), *known[place].callbacks.values()))
    return tuple(seen.values())


def _of_section(
    whole: elf.Object, section: elf.Section, order: elf.ByteOrder, targets: frozenset[Place]
) -> Iterator[Function]:
    code = _decoded(section.data, order)
    relocations = dict(_relocations(whole, section, order))
    names: dict[int, tuple[str, int]] = {}
    for symbol in whole.symbols:
        if symbol.type == elf.STT_FUNC and symbol.section == section.index and symbol.value % insn.SIZE == 0:
            start = symbol.value // insn.SIZE
            names[start] = (symbol.name, max(symbol.size // insn.SIZE, names.get(start, ("", 0))[1]))
    starts = sorted({0, *names, *(one.at for one in targets if one.section == section.index)})
    for start in starts:
        if not 0 <= start < len(code):
            continue
        name, size = names.get(start, ("", 0))
        following = bisect.bisect_right(starts, start)
        # Without a symbol nobody says where it ends: at the next start, or with the section.
        end = start + size if size else starts[following] if following < len(starts) else len(code)
        yield _function(Place(section.index, start), name, tuple(code[start:end]), relocations)


def _function(
    place: Place,
    name: str,
    code: tuple[Insn, ...],
    relocations: Mapping[int, tuple[int, elf.Symbol]],
) -> Function:
    helpers: dict[int, int] = {}
    kfuncs: dict[int, str] = {}
    calls: dict[int, Place] = {}
    callbacks: dict[int, Place] = {}
    for at, one in insn.first_halves(list(code)):
        kind, symbol = relocations.get(place.at + at, (0, None))
        if one.code == insn.CALL:
            if symbol is not None and kind == _R_BPF_64_32 and symbol.section == 0:
                kfuncs[at] = symbol.name
            elif symbol is not None and kind == _R_BPF_64_32:
                calls[at] = Place(symbol.section, symbol.value // insn.SIZE + one.imm + 1)
            elif one.src == 0:
                helpers[at] = one.imm
            elif one.src == insn.PSEUDO_CALL:
                calls[at] = Place(place.section, place.at + at + one.imm + 1)
        elif one.code == insn.LD_IMM64 and symbol is not None and kind == _R_BPF_64_64:
            if symbol.type == elf.STT_FUNC:
                callbacks[at] = Place(symbol.section, symbol.value // insn.SIZE)
            elif symbol.type == _STT_SECTION:
                callbacks[at] = Place(symbol.section, one.imm // insn.SIZE)
        elif one.code == insn.LD_IMM64 and one.src == insn.PSEUDO_FUNC:
            callbacks[at] = Place(place.section, place.at + at + one.imm + 1)
    return Function(
        place=place, name=name, insns=code, helpers=helpers, kfuncs=kfuncs, calls=calls, callbacks=callbacks
    )


def _relocations(
    whole: elf.Object, section: elf.Section, order: elf.ByteOrder
) -> Iterator[tuple[int, tuple[int, elf.Symbol]]]:
    """(instruction number, (relocation's type, symbol)) of a section; entries that point nowhere are left out."""
    layout = struct.Struct("<QQ" if order is elf.ByteOrder.LITTLE else ">QQ")
    for table in whole.sections:
        if table.type != SHT_REL or table.info != section.index:
            continue
        usable = len(table.data) - len(table.data) % layout.size
        for offset, info in layout.iter_unpack(table.data[:usable]):
            number = info >> 32
            if offset % insn.SIZE == 0 and number < len(whole.symbols):
                yield offset // insn.SIZE, (info & 0xFFFFFFFF, whole.symbols[number])


def _decoded(data: bytes, order: elf.ByteOrder) -> list[Insn]:
    """The whole instructions in ``data``, with the destination in the low half of the registers' byte or the high."""
    usable = data[: len(data) - len(data) % insn.SIZE]
    little = order is elf.ByteOrder.LITTLE
    result: list[Insn] = []
    for code, registers, off, imm in struct.iter_unpack("<BBhi" if little else ">BBhi", usable):
        low, high = registers & 0x0F, registers >> 4
        result.append(Insn(code, low if little else high, high if little else low, off, imm))
    return result
