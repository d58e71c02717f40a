"""Where members lie: structs, unions and sections flattened to named bit ranges; what an integer type means."""

from __future__ import annotations

import sys
from typing import Final, NamedTuple

from skep.bytecode.btf import Btf, Kind, Type

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""What ``json`` reads and writes."""

AGGREGATES: Final = frozenset({Kind.STRUCT, Kind.UNION, Kind.DATASEC})
_DEEPEST: Final = 32  # levels of nesting; the kernel's MAX_RESOLVE_DEPTH
_SIGNED, _CHAR, _BOOL = 1, 2, 4  # BTF_INT_*, linux/btf.h


class Field(NamedTuple):
    """A member: ``bit`` counts from the start of the outermost struct, ``bits`` is 0 unless it is a bit field."""

    name: str
    type_id: int
    bit: int
    bits: int
    size: int
    """Bits that it takes."""

    def overlaps(self, other: Field) -> bool:
        """Whether they share a bit."""
        return self.bit < other.bit + other.size and other.bit < self.bit + self.size


class Integer(NamedTuple):
    """What an INT or an enumeration says of its bits."""

    bits: int
    signed: bool
    boolean: bool = False

    @property
    def lowest(self) -> int:
        """The smallest number that fits."""
        return -(1 << self.bits - 1) if self.signed and self.bits else 0

    @property
    def highest(self) -> int:
        """The largest number that fits."""
        return (1 << self.bits - 1) - 1 if self.signed and self.bits else (1 << self.bits) - 1


def fields(types: Btf, one: Type, *, start: int = 0, depth: int = 0) -> tuple[Field, ...]:
    """The members of a STRUCT, UNION or DATASEC in order, those of anonymous members among them."""
    found: list[Field] = []
    if one.kind is Kind.DATASEC:
        for variable_id, offset, size in one.items:
            variable = types.type(int(variable_id))
            if variable is not None and variable.kind is Kind.VAR:
                found.append(Field(variable.name, variable.size, start + int(offset) * 8, 0, int(size) * 8))
        return tuple(found)
    for name, type_id, word in one.items:
        bit, bits = (int(word) & 0xFFFFFF, int(word) >> 24) if one.flag else (int(word), 0)
        inside = types.resolve(int(type_id))
        if inside is None:
            continue
        if not name:
            if inside.kind in (Kind.STRUCT, Kind.UNION) and depth < _DEEPEST:
                found.extend(fields(types, inside, start=start + bit, depth=depth + 1))
            continue
        if inside.kind is Kind.INT and not bits:
            # Before kind_flag a bit field was an INT narrower than its bytes, shifted inside them.
            shift, narrow = int(inside.items[0][0]) >> 16 & 0xFF, int(inside.items[0][0]) & 0xFF
            if narrow and (shift or narrow != inside.size * 8):
                bit, bits = bit + shift, narrow
        size = bits or types.size_of(int(type_id)) * 8
        found.append(Field(str(name), int(type_id), start + bit, bits, size))
    return tuple(found)


def integer(one: Type, bits: int = 0) -> Integer:
    """How to read an INT, ENUM or ENUM64; ``bits`` of a bit field."""
    if one.kind is Kind.INT:
        encoding = int(one.items[0][0]) >> 24 & 0xF
        return Integer(bits or one.size * 8, bool(encoding & _SIGNED), bool(encoding & _BOOL))
    return Integer(bits or one.size * 8, one.flag)


def enumerators(one: Type) -> dict[str, int]:
    """Name -> number of an ENUM or ENUM64."""
    found: dict[str, int] = {}
    for name, *words in one.items:
        number = int(words[0]) | (int(words[1]) << 32 if len(words) > 1 else 0)
        width = 64 if len(words) > 1 else 32
        if one.flag and number >> width - 1:
            number -= 1 << width
        found.setdefault(str(name), number)
    return found


def is_char(types: Btf, type_id: int) -> bool:
    """Whether an array of these is text: C's plain ``char``, not ``__u8``."""
    one = types.resolve(type_id)
    if one is None or one.kind is not Kind.INT or one.size != 1:
        return False
    return one.name == "char" or bool(int(one.items[0][0]) >> 24 & _CHAR)


def is_byte(types: Btf, type_id: int) -> bool:
    """Whether it is an integer of one byte."""
    one = types.resolve(type_id)
    return one is not None and one.kind is Kind.INT and one.size == 1


def is_network_order(types: Btf, type_id: int) -> bool:
    """Whether a typedef on the way says that the bytes are in network order: ``__be32``."""
    for _ in range(_DEEPEST):
        one = types.type(type_id)
        if one is None or one.kind is Kind.INT:
            return False
        if one.kind is Kind.TYPEDEF and one.name in ("__be16", "__be32", "__be64"):
            return True
        type_id = one.size
    return False


def get_bits(data: bytes | bytearray, bit: int, bits: int) -> int:
    """The unsigned number in a range of bits, numbered as this machine's compilers do."""
    first, last = bit // 8, (bit + bits + 7) // 8
    whole = int.from_bytes(data[first:last], sys.byteorder)
    shift = bit % 8 if sys.byteorder == "little" else (last - first) * 8 - bit % 8 - bits
    return whole >> shift & (1 << bits) - 1


def put_bits(data: bytearray, bit: int, bits: int, number: int) -> None:
    """Write ``number`` (its lowest ``bits``) into a range of bits and leave the others alone."""
    first, last = bit // 8, (bit + bits + 7) // 8
    whole = int.from_bytes(data[first:last], sys.byteorder)
    shift = bit % 8 if sys.byteorder == "little" else (last - first) * 8 - bit % 8 - bits
    mask = (1 << bits) - 1 << shift
    whole = whole & ~mask | number << shift & mask
    data[first:last] = whole.to_bytes(last - first, sys.byteorder)
