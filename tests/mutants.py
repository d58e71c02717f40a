"""Damaged BPF objects, made from good ones: what an attacker, a bad disk or a wrong compiler could hand to skep.

Pure and deterministic: the same objects, seed and index make the same bytes on every machine, so that a failure can be
replayed by its index alone. Most damage is aimed (headers, section table, symbols, relocations, BTF, instructions),
because bits flipped at random rarely get past the first check.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

# System V ABI, ELF-64: offsets of the header's fields and their struct formats, little-endian.
_HEADER = {
    "class": (4, "B"), "data": (5, "B"), "version": (6, "B"), "type": (16, "<H"), "machine": (18, "<H"),
    "shoff": (40, "<Q"), "flags": (48, "<I"), "ehsize": (52, "<H"), "phnum": (56, "<H"), "shentsize": (58, "<H"),
    "shnum": (60, "<H"), "shstrndx": (62, "<H"),
}  # fmt: skip
_SECTION = {
    "name": (0, "<I"), "type": (4, "<I"), "flags": (8, "<Q"), "addr": (16, "<Q"), "offset": (24, "<Q"),
    "size": (32, "<Q"), "link": (40, "<I"), "info": (44, "<I"), "align": (48, "<Q"), "entsize": (56, "<Q"),
}  # fmt: skip
_SYMBOL = {"name": (0, "<I"), "info": (4, "B"), "shndx": (6, "<H"), "value": (8, "<Q"), "size": (16, "<Q")}
_RELOCATION = {"offset": (0, "<Q"), "type": (8, "<I"), "symbol": (12, "<I")}
_INSTRUCTION = {"code": (0, "B"), "registers": (1, "B"), "offset": (2, "<h"), "immediate": (4, "<i")}
# include/uapi/linux/btf.h: struct btf_header, then the common head of struct btf_type.
_BTF_HEADER = {
    "magic": (0, "<H"), "version": (2, "B"), "flags": (3, "B"), "hdr_len": (4, "<I"), "type_off": (8, "<I"),
    "type_len": (12, "<I"), "str_off": (16, "<I"), "str_len": (20, "<I"),
}  # fmt: skip
_BTF_TYPE = {"name": (0, "<I"), "info": (4, "<I"), "size": (8, "<I")}

_EHDR, _SHDR, _SYM, _REL, _INSN = 64, 64, 24, 16, 8
_SHT_SYMTAB, _SHT_STRTAB, _SHT_NOBITS, _SHT_REL = 2, 3, 8, 9
_SHF_EXECINSTR = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One damaged object. ``kind`` names the mutator, ``base`` the good object."""

    index: int
    base: str
    kind: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    header: int
    """Offset of the section header in the file, bytes."""
    name: str
    type: int
    flags: int
    offset: int
    size: int


Mutator = Callable[[random.Random, bytearray, tuple[_Section, ...]], bytearray]


def mutants(objects: Sequence[tuple[str, bytes]], *, count: int, seed: int) -> Iterator[Mutant]:
    """``count`` damaged objects, taking objects and mutators in turn; each differs from its base.

    ``objects`` are (name, bytes) of good little-endian 64-bit ELF files.
    """
    for index in range(count):
        yield mutant(objects, index=index, seed=seed)


def mutant(objects: Sequence[tuple[str, bytes]], *, index: int, seed: int) -> Mutant:
    """Number ``index`` of the series that ``mutants`` makes."""
    dice = random.Random(f"{seed}/{index}")
    base, good = objects[index % len(objects)]
    kind, mutate = MUTATORS[(index // len(objects)) % len(MUTATORS)]
    sections = _sections(good)
    while True:
        data = mutate(dice, bytearray(good), sections)
        if bytes(data) != good:
            return Mutant(index=index, base=base, kind=kind, data=bytes(data))


def _sections(data: bytes) -> tuple[_Section, ...]:
    (table,) = struct.unpack_from("<Q", data, 40)
    count, names = struct.unpack_from("<HH", data, 60)
    raw = [struct.unpack_from("<IIQQQQ", data, table + number * _SHDR) for number in range(count)]
    strings = raw[names][4]
    found = []
    for number, (name, kind, flags, _address, offset, size) in enumerate(raw):
        end = data.index(b"\0", strings + name)
        text = data[strings + name : end].decode()
        found.append(
            _Section(header=table + number * _SHDR, name=text, type=kind, flags=flags, offset=offset, size=size)
        )
    return tuple(found)


def _poke(dice: random.Random, data: bytearray, base: int, table: dict[str, tuple[int, str]]) -> None:
    """Give one field of the structure at ``base`` another value: an edge, a neighbour, or anything."""
    offset, form = dice.choice(sorted(table.values()))
    if base + offset + struct.calcsize(form) > len(data):
        return
    (old,) = struct.unpack_from(form, data, base + offset)
    bits = struct.calcsize(form) * 8
    value = dice.choice(
        [0, 1, (1 << bits) - 1, 1 << (bits - 1), (1 << (bits - 1)) - 1, old + 1, old - 1, old + 8, old * 2,
         len(data), len(data) - 1, dice.getrandbits(bits), old ^ (1 << dice.randrange(bits))]
    )  # fmt: skip
    data[base + offset : base + offset + bits // 8] = (value & ((1 << bits) - 1)).to_bytes(bits // 8, "little")


def _flip(dice: random.Random, data: bytearray, sections: tuple[_Section, ...]) -> bytearray:
    del sections
    for _ in range(dice.choice([1, 1, 2, 8, 64])):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return data


def _flip_in_section(dice: random.Random, data: bytearray, sections: tuple[_Section, ...]) -> bytearray:
    section = dice.choice([section for section in sections if section.size and section.type != _SHT_NOBITS])
    for _ in range(dice.choice([1, 2, 4])):
        data[section.offset + dice.randrange(section.size)] ^= 1 << dice.randrange(8)
    return data


def _truncate(dice: random.Random, data: bytearray, sections: tuple[_Section, ...]) -> bytearray:
    edges = [0, 1, 3, 15, 16, _EHDR - 1, _EHDR, len(data) - 1, len(data) // 2]
    edges += [section.offset for section in sections] + [section.header for section in sections]
    return data[: dice.choice([*edges, dice.randrange(len(data))])]


def _grow(dice: random.Random, data: bytearray, sections: tuple[_Section, ...]) -> bytearray:
    del sections
    at = dice.randrange(len(data))
    data[at:at] = dice.randbytes(dice.choice([1, 2, 7, 8, 64, 4096]))
    return data


def _header(dice: random.Random, data: bytearray, sections: tuple[_Section, ...]) -> bytearray:
    del sections
    for _ in range(dice.choice([1, 1, 1, 2])):
        _poke(dice, data, 0, _HEADER)
    return data


def _section_table(dice: random.Random, data: bytearray, sections: tuple[_Section, ...]) -> bytearray:
    for _ in range(dice.choice([1, 1, 2, 3])):
        _poke(dice, data, dice.choice(sections).header, _SECTION)
    return data


def _swap_sections(dice: random.Random, data: bytearray, sections: tuple[_Section, ...]) -> bytearray:
    one, other = (section.header for section in dice.sample(sections, 2))
    data[one : one + _SHDR], data[other : other + _SHDR] = data[other : other + _SHDR], data[one : one + _SHDR]
    return data


def _alias_section(dice: random.Random, data: bytearray, sections: tuple[_Section, ...]) -> bytearray:
    """Two sections over the same bytes: the second keeps its name and type."""
    one, other = dice.sample(sections, 2)
    data[other.header + 24 : other.header + 40] = data[one.header + 24 : one.header + 40]
    return data


def _entries(kind: int, size: int, table: dict[str, tuple[int, str]]) -> Mutator:
    """Edits entries of sections of one ELF type; an object without such a section gets its section table edited."""

    def mutate(dice: random.Random, data: bytearray, sections: tuple[_Section, ...]) -> bytearray:
        fitting = [section for section in sections if section.type == kind and section.size >= size]
        if not fitting:
            return _section_table(dice, data, sections)
        section = dice.choice(fitting)
        for _ in range(dice.choice([1, 1, 2, 4])):
            _poke(dice, data, section.offset + dice.randrange(section.size // size) * size, table)
        return data

    return mutate


def _instructions(dice: random.Random, data: bytearray, sections: tuple[_Section, ...]) -> bytearray:
    code = [section for section in sections if section.flags & _SHF_EXECINSTR and section.size >= _INSN]
    section = dice.choice(code)
    for _ in range(dice.choice([1, 1, 2, 4])):
        _poke(dice, data, section.offset + dice.randrange(section.size // _INSN) * _INSN, _INSTRUCTION)
    return data


def _btf(dice: random.Random, data: bytearray, sections: tuple[_Section, ...]) -> bytearray:
    section = dice.choice([section for section in sections if section.name in (".BTF", ".BTF.ext")])
    if dice.random() < 0.4:
        _poke(dice, data, section.offset, _BTF_HEADER)
        return data
    for _ in range(dice.choice([1, 2, 4])):
        _poke(dice, data, section.offset + 24 + dice.randrange((section.size - 24) // 4) * 4, _BTF_TYPE)
    return data


def _strings(dice: random.Random, data: bytearray, sections: tuple[_Section, ...]) -> bytearray:
    """Names: without an end, not UTF-8, with a slash or a dot, very long by losing the zero bytes between them."""
    section = dice.choice([section for section in sections if section.type == _SHT_STRTAB and section.size])
    at = section.offset + dice.randrange(section.size)
    room = section.offset + section.size - at
    scribble = dice.choice([b"\xff\xfe", b"/", b"../", b"%s%n", b"\n", b"A" * room])[:room]
    data[at : at + len(scribble)] = scribble
    return data


def _map_definitions(dice: random.Random, data: bytearray, sections: tuple[_Section, ...]) -> bytearray:
    """The numbers of a map's definition live in BTF array types; its section and symbol are edited too."""
    maps = [section for section in sections if section.name in (".maps", ".rodata", ".data", ".bss", "maps")]
    if not maps or dice.random() < 0.5:
        return _btf(dice, data, sections)
    _poke(dice, data, dice.choice(maps).header, _SECTION)
    return data


def _splice(dice: random.Random, data: bytearray, sections: tuple[_Section, ...]) -> bytearray:
    del sections
    length = dice.choice([8, 16, 64, 256])
    source, target = dice.randrange(len(data)), dice.randrange(len(data))
    chunk = data[source : source + length]
    data[target : target + len(chunk)] = chunk
    return data


def _blank(dice: random.Random, data: bytearray, sections: tuple[_Section, ...]) -> bytearray:
    section = dice.choice([section for section in sections if section.size and section.type != _SHT_NOBITS])
    start = section.offset + dice.randrange(section.size)
    end = min(start + dice.choice([1, 8, 64, section.size]), section.offset + section.size)
    data[start:end] = bytes([dice.choice([0, 255])]) * (end - start)
    return data


MUTATORS: tuple[tuple[str, Mutator], ...] = (
    ("flip", _flip),
    ("flip-in-section", _flip_in_section),
    ("truncate", _truncate),
    ("grow", _grow),
    ("header", _header),
    ("section-table", _section_table),
    ("swap-sections", _swap_sections),
    ("alias-section", _alias_section),
    ("symbols", _entries(_SHT_SYMTAB, _SYM, _SYMBOL)),
    ("relocations", _entries(_SHT_REL, _REL, _RELOCATION)),
    ("instructions", _instructions),
    ("btf", _btf),
    ("strings", _strings),
    ("map-definitions", _map_definitions),
    ("splice", _splice),
    ("blank", _blank),
)
"""Name and function of every kind of damage, in the order in which they are taken."""
