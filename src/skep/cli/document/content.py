"""Elements and events of maps as JSON documents."""

from __future__ import annotations

import json

from skep import model


def shape(shape: model.MapShape) -> dict[str, object]:
    """What BTF says of a map's keys and values; null where it says nothing."""
    return {
        "key_type": _type(shape.key),
        "value_type": _type(shape.value),
        "types_from": shape.origin,
        "cpus": shape.cpus,
    }


def entry(entry: model.MapEntry) -> dict[str, object]:
    """One element: typed where BTF types it, else "hex:…", which ``map update`` takes back; and its bytes."""
    values = [typed(text, raw) for text, raw in _both(entry)]
    document: dict[str, object] = {}
    if entry.key:
        document["key"] = typed(entry.key_json, entry.key)
    document |= {"value": values[0]} if len(values) == 1 else {"values": values}
    if entry.inner is not None:
        document["inner_map_id"] = entry.inner
    if entry.program is not None:
        document["program_id"] = entry.program
    if entry.key:
        document["key_hex"] = entry.key.hex()
    raw = [one.hex() for one in entry.values]
    return document | ({"value_hex": raw[0]} if len(raw) == 1 else {"values_hex": raw})


def record(record: model.MapRecord) -> dict[str, object]:
    """One event, or how many were lost."""
    document: dict[str, object] = {} if record.cpu is None else {"cpu": record.cpu}
    if record.lost:
        return document | {"lost": record.lost}
    document["event"] = typed(record.json, record.data)
    if record.size > len(record.data):
        document |= {"size": record.size, "truncated": True}
    return document


def text(entry: model.MapEntry) -> tuple[str, str]:
    """Key and value on one line each; per-CPU values as a list."""
    values = [text or f"hex:{raw.hex()}" for text, raw in _both(entry)]
    value = values[0] if len(values) == 1 else f"[{', '.join(values)}]"
    if entry.inner is not None:
        value = f"map {entry.inner}"
    if entry.program is not None:
        value = f"program {entry.program}"
    return entry.key_json or f"hex:{entry.key.hex()}" if entry.key else "-", value


def typed(text: str, raw: bytes) -> object:
    """The value that JSON text says, or the bytes as "hex:…"."""
    return json.loads(text) if text else f"hex:{raw.hex()}"


def _both(entry: model.MapEntry) -> list[tuple[str, bytes]]:
    return list(zip(entry.values_json or ("",) * len(entry.values), entry.values, strict=True))


def _type(type: model.MapType | None) -> dict[str, object] | None:
    if type is None:
        return None
    fields = [{"name": one.name, "type": one.type, "bit": one.bit, "bits": one.bits} for one in type.fields]
    return {"name": type.name, "size": type.size, "fields": fields}
