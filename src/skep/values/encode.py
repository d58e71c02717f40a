"""Values to bytes, strictly: what is missing, unknown, too large or of another kind is an error that says where."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import struct
import sys
from typing import Final

from skep import errors
from skep.bytecode.btf import Btf, Kind, Type
from skep.values.decode import decode
from skep.values.fields import (
    Field,
    Json,
    enumerators,
    fields,
    integer,
    is_byte,
    is_char,
    is_network_order,
    put_bits,
)

_FLOATS: Final = {2: "=e", 4: "=f", 8: "=d"}
_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")
_DEEPEST: Final = 32


def encode(types: Btf, type_id: int, value: Json, *, what: str = "value", base: bytes | None = None) -> bytes:
    """The bytes of ``value``; padding is zero. ``InvalidRequest`` names the member, ``what`` being the whole.

    With ``base``, the value's present bytes, members that are not given keep theirs.
    """
    size = types.size_of(type_id)
    data = bytearray(size if base is None else base[:size].ljust(size, b"\0"))
    _Writer(types, keep=base is not None).write(type_id, value, data, 0, what, 0)
    return bytes(data)


class _Writer:
    """``keep``: members may be missing."""

    def __init__(self, types: Btf, *, keep: bool) -> None:
        self._types = types
        self._keep = keep

    def write(self, type_id: int, value: Json, data: bytearray, at: int, path: str, depth: int) -> None:
        """Put ``value`` at byte ``at``."""
        one = self._types.resolve(type_id)
        if depth > _DEEPEST:
            raise _wrong(path, "its type is nested too deeply", "give it as hex:…")
        size = self._types.size_of(type_id)
        if isinstance(value, str) and value.startswith("hex:"):
            data[at : at + size] = from_hex(value, size, path)
            return
        if one is None:
            if value is not None:
                raise _wrong(path, "it has no type", "leave it out")
            return
        match one.kind:
            case Kind.INT | Kind.ENUM | Kind.ENUM64:
                number = self._number(type_id, one, value, path, 0)
                data[at : at + size] = number.to_bytes(size, sys.byteorder)
            case Kind.ARRAY:
                self._array(type_id, one, value, data, at, path, depth)
            case Kind.STRUCT | Kind.UNION | Kind.DATASEC:
                self._members(type_id, one, value, data, at, path, depth)
            case Kind.PTR:
                number = _whole(0 if value is None else value, path, "an address such as 0x0")
                _fits(number, 0, (1 << 64) - 1, path, "a pointer")
                data[at : at + 8] = number.to_bytes(8, sys.byteorder)
            case Kind.FLOAT if size in _FLOATS:
                data[at : at + size] = _float(value, size, path)
            case _:
                raise _wrong(path, f"{self._types.spell(type_id)} can only be given as bytes", f"hex: and {size} bytes")

    def _members(self, type_id: int, one: Type, value: Json, data: bytearray, at: int, path: str, depth: int) -> None:
        spelt = self._types.spell(type_id)
        if not isinstance(value, dict):
            raise _wrong(path, f"{spelt} is written as an object", f"for example {self._example(one)}")
        known = {field.name: field for field in fields(self._types, one)}
        for name in value:
            if name not in known:
                near = errors.near_misses(name, known)
                raise _wrong(
                    path,
                    f"{spelt} has no member {name!r}",
                    f"did you mean {', '.join(near)}?" if near else f"it has {', '.join(known)}",
                )
        given = [known[name] for name in value]
        missing = [one.name for one in known.values() if not any(one.overlaps(each) for each in given) and one.size]
        if missing and not self._keep:
            raise _wrong(path, f"of {spelt}, {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing",
                         "give every member, or keep the others with --merge")  # fmt: skip
        # The largest first: of a union's members the smaller ones then leave their bytes in it.
        for field in sorted(given, key=lambda each: -each.size):
            self._field(field, value[field.name], data, at, f"{path}.{field.name}", depth)
        self._check_unions(given, value, data, at, path, depth)

    def _field(self, field: Field, value: Json, data: bytearray, at: int, path: str, depth: int) -> None:
        if not field.bits:
            self.write(field.type_id, value, data, at + field.bit // 8, path, depth + 1)
            return
        one = self._types.resolve(field.type_id)
        if one is None or one.kind not in (Kind.INT, Kind.ENUM, Kind.ENUM64):
            raise _wrong(path, "it is a bit field and not a number", "give the whole as hex:…")
        put_bits(data, at * 8 + field.bit, field.bits, self._number(field.type_id, one, value, path, field.bits))

    def _check_unions(
        self, given: list[Field], value: dict[str, Json], data: bytearray, at: int, path: str, depth: int
    ) -> None:
        """Members that share bytes may all be given when they say the same."""
        for field in given:
            rivals = [other for other in given if other is not field and field.overlaps(other)]
            if not rivals:
                continue
            alone = bytearray(data)
            self._field(field, value[field.name], alone, at, path, depth)
            if self._told(field, alone, at) != self._told(field, data, at):
                raise _wrong(path, f"{field.name} and {rivals[0].name} share bytes and differ", "give one of them")

    def _told(self, field: Field, data: bytearray, at: int) -> Json:
        if field.bits:
            return bytes(data).hex()
        first = at + field.bit // 8
        return decode(self._types, field.type_id, bytes(data[first : first + self._types.size_of(field.type_id)]))

    def _array(self, type_id: int, one: Type, value: Json, data: bytearray, at: int, path: str, depth: int) -> None:
        element, _, count = (int(word) for word in one.items[0])
        spelt, size = self._types.spell(type_id), self._types.size_of(element)
        if isinstance(value, str):
            raw = self._text(element, count, value, spelt, path)
            data[at : at + count] = raw.ljust(count, b"\0")
            return
        if not isinstance(value, list):
            raise _wrong(path, f"{spelt} is written as a list", f"of {count} values")
        if not size:
            count = 0
        if len(value) != count:
            raise _wrong(path, f"{spelt} has {count} elements, not {len(value)}", "give every element")
        for index, each in enumerate(value):
            self.write(element, each, data, at + index * size, f"{path}[{index}]", depth + 1)

    def _text(self, element: int, count: int, value: str, spelt: str, path: str) -> bytes:
        if is_char(self._types, element):
            raw = value.encode()
            if len(raw) > count:
                raise _wrong(path, f"{value!r} has {len(raw)} bytes, {spelt} {count}", "shorten it")
            if "\0" in value:
                raise _wrong(path, "text ends at its first NUL", "give the bytes as a list or as hex:…")
            return raw
        if not is_byte(self._types, element):
            raise _wrong(path, f"{spelt} is not text", f"write a list of {count} values")
        if count == 6 and _MAC.fullmatch(value):
            return bytes.fromhex(value.replace(":", "").replace("-", ""))
        with contextlib.suppress(ValueError):
            raw = ipaddress.ip_address(value).packed
            if len(raw) == count:
                return raw
        raise _wrong(
            path,
            f"{value!r} is not {spelt}",
            f"write a list of {count} numbers, or hex: and {count} bytes"
            + {4: ", or an IPv4 address", 6: ", or a MAC address", 16: ", or an IPv6 address"}.get(count, ""),
        )

    def _number(self, type_id: int, one: Type, value: Json, path: str, bits: int) -> int:
        """The number as it lies in memory: unsigned, of the type's width."""
        how = integer(one, bits)
        spelt = self._types.spell(type_id) + (f":{bits}" if bits else "")
        if one.kind is Kind.INT:
            if isinstance(value, str) and one.size == 4 and not bits and value.count(".") == 3:
                return self._address(type_id, value, spelt, path)
            if isinstance(value, bool) and not how.boolean:
                raise _wrong(path, f"{spelt} is a number, not {value!s}".lower(), "write a number")
            number = _whole(value, path, f"a number, for {spelt}")
        else:
            names = enumerators(one)
            if isinstance(value, str) and value in names:
                number = names[value]
            elif isinstance(value, str) and not _is_number(value):
                near = errors.near_misses(value, names)
                raise _wrong(path, f"{spelt} has no {value!r}",
                             f"did you mean {', '.join(near)}?" if near else f"it has {', '.join(names)}")  # fmt: skip
            else:
                number = _whole(value, path, f"a name or number of {spelt}")
            if -(1 << how.bits - 1) <= number < 0 and number in names.values():
                number &= (1 << how.bits) - 1
                return number
        _fits(number, how.lowest, how.highest, path, spelt)
        return number & (1 << how.bits) - 1

    def _address(self, type_id: int, value: str, spelt: str, path: str) -> int:
        try:
            raw = ipaddress.IPv4Address(value).packed
        except ValueError:
            raise _wrong(
                path, f"{value!r} is neither a number nor an IPv4 address", "write 10.0.0.1 or a number"
            ) from None
        if not is_network_order(self._types, type_id):
            raise _wrong(
                path, f"in which byte order {spelt} holds an address is not known", f"hex:{raw.hex()} is network order"
            )
        return int.from_bytes(raw, sys.byteorder)

    def _example(self, one: Type) -> str:
        names = [field.name for field in fields(self._types, one)]
        return "{" + ", ".join(f'"{name}": …' for name in names[:3]) + (", …}" if len(names) > 3 else "}")


def from_hex(text: str, size: int, path: str) -> bytes:
    """The bytes that "hex:0a000001" stands for, in memory order; blanks and colons are allowed."""
    try:
        raw = bytes.fromhex(text.removeprefix("hex:").replace(":", " "))
    except ValueError:
        raise _wrong(path, f"{text!r} is not an even number of hexadecimal digits", "write two for each byte") from None
    if len(raw) != size:
        raise _wrong(path, f"it takes {size} bytes, not {len(raw)}", "give every byte, in memory order")
    return raw


def _is_number(text: str) -> bool:
    with contextlib.suppress(ValueError):
        int(text, 0)
        return True
    return False


def _whole(value: Json, path: str, wanted: str) -> int:
    if isinstance(value, str) and len(value) <= 64 and _is_number(value):
        return int(value, 0)
    if isinstance(value, int):
        return int(value)
    raise _wrong(path, f"{_shown(value)} is not {wanted}", "write a number")


def _float(value: Json, size: int, path: str) -> bytes:
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return struct.pack(_FLOATS[size], float(value))
    except (ValueError, OverflowError):
        pass
    raise _wrong(path, f"{_shown(value)} is not a floating-point number of {size} bytes", "write a number")


def _fits(number: int, lowest: int, highest: int, path: str, spelt: str) -> None:
    if not lowest <= number <= highest:
        raise _wrong(path, f"{number} does not fit {spelt}", f"it takes {lowest} to {highest}")


def _shown(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _wrong(path: str, why: str, do: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(f"{path} cannot be written", why=why, do=do)
