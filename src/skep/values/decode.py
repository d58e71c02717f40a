"""Bytes to values."""

from __future__ import annotations

import math
import struct
import sys
from typing import Final

from skep import errors
from skep.bytecode.btf import Btf, Kind, Type
from skep.values.fields import (
    Field,
    Integer,
    Json,
    enumerators,
    fields,
    get_bits,
    integer,
    is_char,
)

_DEEPEST: Final = 32
_FLOATS: Final = {2: "=e", 4: "=f", 8: "=d"}


def decode(types: Btf, type_id: int, data: bytes) -> Json:
    """The value of a type that ``data`` holds. ``BadObject`` when the type is larger than the data, or senseless."""
    return _Reader(types, data).read(type_id, 0, 0)


class _Reader:
    """``left``: members and elements that may still be told. BTF is somebody else's: it must not cost more than the
    bytes are worth, and a union of unions would."""

    def __init__(self, types: Btf, data: bytes) -> None:
        self._types = types
        self._data = data
        self._left = 4096 + 16 * len(data)

    def read(self, type_id: int, at: int, depth: int) -> Json:
        """The value at byte ``at``."""
        one = self._types.resolve(type_id)
        self._left -= 1
        if depth > _DEEPEST or self._left < 0:
            raise _bad("it is nested too deeply")
        if one is None:
            return None
        size = self._types.size_of(type_id)
        if at + size > len(self._data):
            raise _bad(f"{self._types.spell(type_id)} needs {size} bytes at {at}, there are {len(self._data)}")
        match one.kind:
            case Kind.INT | Kind.ENUM | Kind.ENUM64:
                return _number(one, integer(one), int.from_bytes(self._data[at : at + size], sys.byteorder))
            case Kind.ARRAY:
                return self._array(one, at, depth)
            case Kind.STRUCT | Kind.UNION | Kind.DATASEC:
                return {field.name: self._field(field, at, depth) for field in fields(self._types, one)}
            case Kind.PTR:
                return hex(int.from_bytes(self._data[at : at + 8], sys.byteorder))
            case Kind.FLOAT if size in _FLOATS:
                return _float(struct.unpack_from(_FLOATS[size], self._data, at)[0])
            case _:
                return "hex:" + self._data[at : at + size].hex()

    def _field(self, field: Field, at: int, depth: int) -> Json:
        if not field.bits:
            return self.read(field.type_id, at + field.bit // 8, depth + 1)
        one = self._types.resolve(field.type_id)
        self._left -= 1
        if one is None or one.kind not in (Kind.INT, Kind.ENUM, Kind.ENUM64):
            raise _bad(f"bit field {field.name} is not a number")
        if at * 8 + field.bit + field.bits > len(self._data) * 8:
            raise _bad(f"bit field {field.name} lies beyond the value")
        return _number(one, integer(one, field.bits), get_bits(self._data, at * 8 + field.bit, field.bits))

    def _array(self, one: Type, at: int, depth: int) -> Json:
        element, _, count = (int(word) for word in one.items[0])
        size = self._types.size_of(element)
        if is_char(self._types, element):
            text = as_text(self._data[at : at + count])
            if text is not None:
                return text
        if not size:
            return []
        return [self.read(element, at + index * size, depth + 1) for index in range(count)]


def as_text(data: bytes) -> str | None:
    """What a ``char[]`` says up to its first NUL; None when that is not printable text.

    What stands behind the NUL is left over from earlier and says nothing.
    """
    if not data:
        return None
    try:
        text = data.partition(b"\0")[0].decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() and not text.startswith("hex:") else None


def _number(one: Type, how: Integer, raw: int) -> Json:
    number = raw - (1 << how.bits) if how.signed and how.bits and raw >> how.bits - 1 else raw
    if one.kind is Kind.INT:
        return bool(number) if how.boolean and number in (0, 1) else number
    mask = (1 << how.bits) - 1
    # An enumerator of an unsigned type may be written as a negative number, and the other way round.
    return next((name for name, each in enumerators(one).items() if each & mask == raw), number)


def _float(number: float) -> Json:
    """JSON has no words for these."""
    if math.isnan(number):
        return "nan"
    if math.isinf(number):
        return "inf" if number > 0 else "-inf"
    return number


def _bad(why: str) -> errors.BadObject:
    return errors.BadObject("the value cannot be told by its BTF", why=why, do="look at its bytes: -o json tells them")
