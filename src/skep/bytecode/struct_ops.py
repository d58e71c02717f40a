"""Tables of functions that an object offers to the kernel: sections ``.struct_ops`` and ``.struct_ops.link``.

Each variable there is one struct of the kernel's (``struct tcp_congestion_ops``). Its members are numbers and text, or
name a program of the object. The object's own declaration of the struct need not be the kernel's: members are found by
name, as libbpf does.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

from skep import errors
from skep.bytecode import btf, elf, programs
from skep.bytecode.btf import Btf, Kind, Type

SECTION: Final = ".struct_ops"
LINK_SECTION: Final = ".struct_ops.link"
BPF_F_LINK: Final = 1 << 13
"""Map flag (linux/bpf.h, Linux 6.4): registered by a link, not by writing it."""

_SHT_REL: Final = 9
_REL: Final = struct.Struct("=QQ")  # Elf64_Rel: offset, info (symbol in the upper half)
_POINTER: Final = 8
_OFFSET: Final = struct.Struct("=Q")
_TABLE_AT, _HEADER_SIZE, _OFFSET_AT = 40, 64, 24  # e_shoff of Elf64_Ehdr; Elf64_Shdr and its sh_offset


class Member(NamedTuple):
    """A member that is not all zeros: its bytes, or the program that it names."""

    name: str
    data: bytes
    program: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One variable. ``type``: its struct's name. ``linked``: whether it is registered by a link."""

    name: str
    type: str
    linked: bool
    members: tuple[Member, ...]

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that it needs, each once."""
        return tuple(dict.fromkeys(one.program for one in self.members if one.program))


def tables(whole: elf.Object) -> tuple[Table, ...]:
    """Every table, in the order of sections and then of places. ``BadObject`` when it cannot be read."""
    found = [one for one in whole.sections if one.name in (SECTION, LINK_SECTION) and one.size]
    if not found:
        return ()
    if len(found) > 1:
        raise _bad(
            f"it has both {SECTION} and {LINK_SECTION}",
            do="give each section an object of its own",
        )
    (section,) = found
    blob = programs.types(whole)
    if not blob:
        raise _bad("it has no BTF")
    types = btf.parse(blob)
    described = types.type(types.find(section.name, Kind.DATASEC))
    if described is None:
        raise _bad(f"its BTF does not describe {section.name}")
    named = _relocations(whole, section)
    places = {one.name: one for one in whole.symbols if one.section == section.index and one.type == elf.STT_OBJECT}
    made = []
    names: set[str] = set()
    for variable_id, _offset, _size in described.items:
        variable = types.type(int(variable_id))
        shape = types.resolve(variable.size) if variable is not None and variable.kind is Kind.VAR else None
        if variable is None or shape is None or shape.kind is not Kind.STRUCT or variable.name not in places:
            raise _bad(f"{section.name} holds something that is not a struct")
        if not (variable.name.isascii() and variable.name.isidentifier()) or variable.name in names:
            raise _bad(f"{section.name} holds a variable with the name {variable.name!r}")
        names.add(variable.name)
        at = places[variable.name].value
        if at + shape.size > len(section.data):
            raise _bad(f"{variable.name!r} does not lie within {section.name}")
        members = _members(types, shape, section.data, at, named)
        linked = section.name == LINK_SECTION
        made.append((at, Table(name=variable.name, type=shape.name, linked=linked, members=members)))
    return tuple(table for _, table in sorted(made, key=lambda one: one[0]))


def unlinked(data: bytes) -> bytes:
    """An object whose ``.struct_ops.link`` is called ``.struct_ops``, which libbpf before 1.2 knows.

    The names of the section and of its BTF are cut short where they stand. What else ends in the same bytes of a string
    table (".rel.struct_ops.link", which nothing looks for) is cut with them. ``BadObject`` when ``data`` is none.
    """
    old, new = LINK_SECTION.encode() + b"\0", SECTION.encode() + b"\0"
    whole = elf.parse(data)
    changed = bytearray(data)
    (table,) = _OFFSET.unpack_from(data, _TABLE_AT)
    for one in whole.sections:
        if one.type == elf.SHT_STRTAB or one.name == ".BTF":
            (at,) = _OFFSET.unpack_from(data, table + one.index * _HEADER_SIZE + _OFFSET_AT)
            changed[at : at + one.size] = one.data.replace(old, new.ljust(len(old), b"\0"))
    return bytes(changed)


def _members(types: Btf, shape: Type, data: bytes, start: int, named: dict[int, str]) -> tuple[Member, ...]:
    found = []
    for name, type_id, bit in shape.items:
        size = types.size_of(int(type_id))
        if shape.flag and int(bit) >> 24:
            at, content = start + (int(bit) & 0xFFFFFF) // 8, b"\1"  # a bit field: libbpf refuses one that is set
        else:
            at = start + (int(bit) & 0xFFFFFF if shape.flag else int(bit)) // 8
            content = data[at : at + size]
        program = named.get(at, "")
        if program:
            found.append(Member(str(name), bytes(_POINTER), program))
        elif any(content):
            found.append(Member(str(name), content))
    return tuple(found)


def _relocations(whole: elf.Object, section: elf.Section) -> dict[int, str]:
    """Place in the section -> program whose address stands there."""
    found: dict[int, str] = {}
    for one in whole.sections:
        if one.type != _SHT_REL or one.info != section.index:
            continue
        if len(one.data) % _REL.size:
            raise _bad("its relocations are cut short")
        for offset, info in _REL.iter_unpack(one.data):
            number = info >> 32
            symbol = whole.symbols[number] if number < len(whole.symbols) else None
            if symbol is None or symbol.type != elf.STT_FUNC:
                raise _bad(f"{section.name} names something that is not a program", do="make it a global function")
            found[offset] = symbol.name
    return found


def _bad(why: str, do: str = "compile the object again with clang -g") -> errors.BadObject:
    return errors.BadObject("the object's struct_ops cannot be read", why=why, do=do)
