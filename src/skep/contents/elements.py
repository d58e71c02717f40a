"""Elements in both forms: bytes and JSON, by a map's types and kind."""

from __future__ import annotations

import json
import struct

from skep import errors, model, values
from skep.bytecode import btf
from skep.values import declared, kinds
from skep.values.encode import from_hex

_ID = struct.Struct("=I")


def entry(types: declared.Types, kind: kinds.Kind, key: bytes, raw: tuple[bytes, ...]) -> model.MapEntry:
    """One element as the kernel gave it. An index is told as a number without BTF, too."""
    inner = program = None
    value_type = types.value
    told: tuple[str, ...] | None = None
    if kind.refers is not kinds.Refers.NOTHING and len(raw[0]) == 4:
        (id,) = _ID.unpack(raw[0])
        inner = model.MapId(id) if kind.refers is kinds.Refers.MAP else None
        program = model.ProgramId(id) if kind.refers is kinds.Refers.PROGRAM else None
        told = (str(id),)
    key_json = text(types.btf, types.key, key)
    if not key_json and kind.indexed and len(key) == 4:
        key_json = str(_ID.unpack(key)[0])
    return model.MapEntry(
        key=key,
        values=raw,
        key_json=key_json,
        values_json=told if told is not None else _all(types.btf, value_type, raw),
        inner=inner,
        program=program,
    )


def text(types: btf.Btf, type_id: int, data: bytes) -> str:
    """The JSON of a value, "" when BTF does not tell it."""
    if not type_id or types.size_of(type_id) > len(data):
        return ""
    try:
        return json.dumps(values.decode(types, type_id, data), ensure_ascii=False, separators=(",", ":"))
    except errors.BadObject:
        return ""


def data(
    given: model.Datum | None, types: btf.Btf, type_id: int, size: int, what: str, *, number: bool = False,
    base: bytes | None = None,
) -> bytes:  # fmt: skip
    """The ``size`` bytes of a key or value as given. ``number``: it is an index or id of 4 bytes, whatever BTF says.

    InvalidRequest: missing, of a wrong size, not of its type, or untyped JSON.
    """
    if given is None:
        raise errors.InvalidRequest(f"a {what} is needed", do=f"give the {what} as JSON, or its {size} bytes as hex:…")
    if given.raw is not None and (not given.json or _says(given, types, type_id, number=number)):
        if len(given.raw) != size:
            raise errors.InvalidRequest(
                f"the {what} has {len(given.raw)} bytes", why=f"it takes {size}", do="give as many bytes as it takes"
            )
        return given.raw
    try:
        value: values.Json = json.loads(given.json)
    except (ValueError, RecursionError) as error:
        raise errors.InvalidRequest(
            f"the {what} is not JSON", why=str(error), do="give JSON, or bytes in hexadecimal"
        ) from error
    if isinstance(value, str) and value.startswith("hex:"):
        return from_hex(value, size, what)
    if number and size == 4:
        return _number(value, what)
    if not type_id:
        raise errors.InvalidRequest(
            f"the {what} can only be given as bytes",
            why="the map has no BTF for it, so nothing says what JSON means",
            do=f"write hex: and {size} bytes in memory order",
        )
    raw = values.encode(types, type_id, value, what=what, base=base)
    if len(raw) != size:
        raise errors.InvalidRequest(
            f"the {what} can only be given as bytes",
            why=f"its type has {len(raw)} bytes, the map takes {size}",
            do="give it in hexadecimal",
        )
    return raw


def _says(given: model.Datum, types: btf.Btf, type_id: int, *, number: bool) -> bool:
    """Whether the bytes that are given are what the JSON beside them says."""
    assert given.raw is not None
    told = text(types, type_id, given.raw)
    if number and len(given.raw) == 4:
        told = str(_ID.unpack(given.raw)[0])
    try:
        value = json.loads(given.json)
        return bool(value == (json.loads(told) if told else f"hex:{given.raw.hex()}"))
    except (ValueError, RecursionError):
        return False


def _number(value: values.Json, what: str) -> bytes:
    try:
        number = int(value, 0) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 1 << 32:
        raise errors.InvalidRequest(
            f"the {what} is not a number from 0 to {(1 << 32) - 1}",
            why=f"it is {value!r}",
            do="give a number in that range",
        )
    return _ID.pack(number)


def _all(types: btf.Btf, type_id: int, raw: tuple[bytes, ...]) -> tuple[str, ...]:
    told = tuple(text(types, type_id, one) for one in raw)
    return told if all(told) else ()
