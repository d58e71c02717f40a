"""Which programs a BPF object holds, and under which licence.

A program is a global function in an executable section other than ``.text``; functions in ``.text`` are subprograms
that libbpf appends to the programs that call them.
"""

from __future__ import annotations

from dataclasses import dataclass

from skep import errors
from skep.bytecode import elf, insn
from skep.bytecode.elf import Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program. ``section``: its ELF section, from which its type follows. ``insns``: instructions, unrelocated."""

    name: str
    section: str
    insns: int


def programs(whole: Object) -> tuple[Program, ...]:
    """Every program, in the order of sections and then of code."""
    found: list[tuple[int, int, Program]] = []
    for symbol in whole.symbols:
        if symbol.type != elf.STT_FUNC or symbol.binding == elf.STB_LOCAL or not symbol.name:
            continue
        if not 0 < symbol.section < len(whole.sections):
            continue
        section = whole.sections[symbol.section]
        if not section.executable or section.type != elf.SHT_PROGBITS or section.name == ".text":
            continue
        if symbol.value % insn.SIZE or symbol.size % insn.SIZE or symbol.value + symbol.size > section.size:
            raise errors.BadObject(
                "the object is damaged",
                why=f"program {symbol.name!r} does not lie within its section {section.name!r}",
                do="copy or compile it again",
            )
        program = Program(name=symbol.name, section=section.name, insns=symbol.size // insn.SIZE)
        found.append((symbol.section, symbol.value, program))
    return tuple(program for _, _, program in sorted(found, key=lambda one: one[:2]))


def find(whole: Object, name: str) -> Program:
    """The program of this name; ``NotFound`` with near misses, or with what there is."""
    known = programs(whole)
    for program in known:
        if program.name == name:
            return program
    names = [program.name for program in known]
    near = errors.near_misses(name, names)
    raise errors.NotFound(
        f"the object has no program {name!r}",
        why="it has " + (", ".join(names) or "no programs at all"),
        do="" if near else "name one of those",
        near=near,
    )


def licence(whole: Object) -> str:
    """The text of the ``license`` section; "" when there is none."""
    section = whole.section("license")
    if section is None:
        return ""
    return section.data.split(b"\0", 1)[0].decode("utf-8", "replace")


def types(whole: Object) -> bytes:
    """The object's BTF blob; b"" when it was compiled without -g."""
    section = whole.section(".BTF")
    return b"" if section is None else section.data
