"""Single types out of the kernel's own BTF, which has more than a hundred thousand: nothing else of it is read.

A part ends at pointers: who asks for a struct wants its layout, and through pointers every type leads to all others.
"""

from __future__ import annotations

import struct
from array import array
from typing import Final

from skep import errors
from skep.bytecode import btf
from skep.bytecode.btf import Btf, Kind, Type

PROGRAM: Final = "program id"
_ID: Final = Type(Kind.INT, "unsigned long", 8, ((64,),))
_HEADER: Final = struct.Struct("=HBBIIIII")
_TYPE: Final = struct.Struct("=III")
_WORDS: Final = {  # words after struct btf_type, and words for each of vlen
    Kind.INT: (1, 0), Kind.ARRAY: (3, 0), Kind.STRUCT: (0, 3), Kind.UNION: (0, 3), Kind.ENUM: (0, 2),
    Kind.FUNC_PROTO: (0, 2), Kind.VAR: (1, 0), Kind.DATASEC: (0, 3), Kind.DECL_TAG: (1, 0), Kind.ENUM64: (0, 3),
}  # fmt: skip
_SIZES: Final = [tuple(4 * words for words in _WORDS.get(Kind(number), (0, 0))) if number else (0, 0)
                 for number in range(max(Kind) + 1)]  # fmt: skip


def part(blob: bytes, type_id: int) -> tuple[Btf, int]:
    """The type with an id and what its layout needs, and its id there. ``BadObject``; id 0 when there is no such type.

    What a pointer points to keeps its name, as a struct that is only declared. A pointer to a function is of type
    ``PROGRAM``: where the kernel tells such a struct to user space, a program's id stands there.
    """
    types_at, strings_at = _parts(blob)
    places = _places(blob)
    made: list[Type] = []
    numbers: dict[int, int] = {}

    def add(one: Type) -> int:
        made.append(one)
        return len(made)

    def take(old: int, depth: int = 0) -> int:
        if not 0 < old <= len(places) or depth > 64:
            return 0
        if old in numbers:
            return numbers[old]
        one = at(old)
        if one.kind is Kind.PTR and is_function(one.size):
            numbers[old] = add(Type(Kind.TYPEDEF, PROGRAM, size=add(_ID)))
            return numbers[old]
        if one.kind is Kind.PTR:
            numbers[old] = add(one._replace(size=pointed(one.size)))
            return numbers[old]
        numbers[old] = add(one)
        inside = btf.shift(one, lambda below: take(below, depth + 1))
        made[numbers[old] - 1] = inside
        return numbers[old]

    def is_function(old: int) -> bool:
        return 0 < old <= len(places) and at(old).kind is Kind.FUNC_PROTO

    def at(old: int) -> Type:
        return _read(blob, types_at + places[old - 1], strings_at)

    def pointed(old: int) -> int:
        for _ in range(64):
            if not 0 < old <= len(places):
                return 0
            one = at(old)
            match one.kind:
                case Kind.STRUCT | Kind.UNION | Kind.FWD:
                    return add(Type(Kind.FWD, one.name, flag=one.kind is Kind.UNION)) if one.name else 0
                case Kind.CONST | Kind.VOLATILE | Kind.RESTRICT | Kind.TYPEDEF | Kind.TYPE_TAG:
                    old = one.size
                case Kind.INT:
                    return take(old)
                case _:
                    return 0
        return 0

    found = take(type_id)
    return Btf(tuple(made)), found


def _places(blob: bytes) -> array[int]:
    """Where each type begins among the types."""
    start, end = _parts(blob)
    found = array("I")
    append, unpack = found.append, _TYPE.unpack_from
    at = start
    try:
        while at < end:
            append(at - start)
            info = unpack(blob, at)[1]
            fixed, each = _SIZES[info >> 24 & 0x1F]
            at += 12 + fixed + each * (info & 0xFFFF)
    except (struct.error, IndexError) as damaged:
        raise _bad() from damaged
    return found


def _parts(blob: bytes) -> tuple[int, int]:
    """Where types and strings begin; the kernel writes them in this order, without a gap."""
    try:
        magic, _, _, size, type_at, type_size, string_at, _ = _HEADER.unpack_from(blob)
    except struct.error as damaged:
        raise _bad() from damaged
    if magic != btf.MAGIC or type_at + type_size != string_at:
        raise _bad()
    return size + type_at, size + string_at


def _read(blob: bytes, at: int, strings: int) -> Type:
    """One type, by the parser for whole blobs."""
    info = _TYPE.unpack_from(blob, at)[1]
    fixed, each = _SIZES[info >> 24 & 0x1F]
    words = blob[at : at + 12 + fixed + each * (info & 0xFFFF)]
    return btf.one(words, lambda name: _text(blob, strings + name))


def _text(blob: bytes, at: int) -> str:
    return blob[at : blob.find(b"\0", at)].decode("utf-8", "surrogateescape")


def _bad() -> errors.BadObject:
    return errors.BadObject("the kernel's BTF cannot be read", why="it is damaged", do="see /sys/kernel/btf/vmlinux")
