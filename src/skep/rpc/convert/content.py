"""What maps hold, between domain and ``skep.v1``."""

from __future__ import annotations

from skep import errors, model
from skep.pb import skep_pb2
from skep.rpc.convert import observed

_VERBS = {
    model.MapVerb.UPDATE: skep_pb2.MapVerb.MAP_VERB_UPDATE,
    model.MapVerb.DELETE: skep_pb2.MapVerb.MAP_VERB_DELETE,
}


def pack_datum(datum: model.Datum | None) -> skep_pb2.Datum | None:
    """A key or value as a message."""
    return None if datum is None else skep_pb2.Datum(json=datum.json, raw=datum.raw)


def unpack_datum(message: skep_pb2.Datum) -> model.Datum:
    """A message as a key or value."""
    return model.Datum(json=message.json, raw=message.raw if message.HasField("raw") else None)


def pack_shape(shape: model.MapShape) -> skep_pb2.MapShape:
    """A map's types as a message."""
    return skep_pb2.MapShape(
        map=observed.pack_map(shape.view),
        key=_pack_type(shape.key),
        value=_pack_type(shape.value),
        origin=shape.origin,
        cpus=shape.cpus,
    )


def unpack_shape(message: skep_pb2.MapShape) -> model.MapShape:
    """A message as a map's types."""
    return model.MapShape(
        view=observed.unpack_map(message.map),
        key=_unpack_type(message.key) if message.HasField("key") else None,
        value=_unpack_type(message.value) if message.HasField("value") else None,
        origin=message.origin,
        cpus=message.cpus,
    )


def pack_entry(entry: model.MapEntry | None) -> skep_pb2.MapEntry | None:
    """An element as a message."""
    if entry is None:
        return None
    return skep_pb2.MapEntry(
        key=entry.key,
        values=entry.values,
        key_json=entry.key_json,
        values_json=entry.values_json,
        inner_map_id=entry.inner,
        program_id=entry.program,
    )


def unpack_entry(message: skep_pb2.MapEntry) -> model.MapEntry:
    """A message as an element."""
    return model.MapEntry(
        key=message.key,
        values=tuple(message.values),
        key_json=message.key_json,
        values_json=tuple(message.values_json),
        inner=model.MapId(message.inner_map_id) if message.HasField("inner_map_id") else None,
        program=model.ProgramId(message.program_id) if message.HasField("program_id") else None,
    )


def pack_page(page: model.MapPage) -> skep_pb2.MapPage:
    """Some elements as a message."""
    message = skep_pb2.MapPage(token=page.token)
    message.entries.extend(packed for entry in page.entries if (packed := pack_entry(entry)) is not None)
    return message


def unpack_page(message: skep_pb2.MapPage) -> model.MapPage:
    """A message as some elements."""
    return model.MapPage(entries=tuple(unpack_entry(one) for one in message.entries), token=message.token)


def pack_dump(wanted: model.MapDump) -> skep_pb2.DumpMapRequest:
    """A question for elements as a message."""
    return skep_pb2.DumpMapRequest(map=wanted.map, after=wanted.after, limit=wanted.limit)


def unpack_dump(message: skep_pb2.DumpMapRequest) -> model.MapDump:
    """A message as a question for elements."""
    return model.MapDump(map=message.map, after=message.after, limit=message.limit)


def pack_write(wanted: model.MapWrite) -> skep_pb2.WriteMapRequest:
    """A change as a message."""
    return skep_pb2.WriteMapRequest(
        map=wanted.map,
        verb=_VERBS[wanted.verb],
        key=pack_datum(wanted.key),
        value=pack_datum(wanted.value),
        values=map(_packed, wanted.values),
        cpu=wanted.cpu,
        mode=skep_pb2.MapMode.ValueType(wanted.mode.value),
        merge=wanted.merge,
        unsafe_foreign=wanted.unsafe_foreign,
    )


def unpack_write(message: skep_pb2.WriteMapRequest) -> model.MapWrite:
    """A message as a change. InvalidRequest for verbs and modes that are not known."""
    verb = next((verb for verb, number in _VERBS.items() if number == message.verb), None)
    if verb is None:
        raise errors.InvalidRequest("the request names no verb", do="fill in update or delete")
    return model.MapWrite(
        map=message.map,
        verb=verb,
        key=unpack_datum(message.key) if message.HasField("key") else None,
        value=unpack_datum(message.value) if message.HasField("value") else None,
        values=tuple(unpack_datum(one) for one in message.values),
        cpu=message.cpu if message.HasField("cpu") else None,
        mode=_mode(message.mode),
        merge=message.merge,
        unsafe_foreign=message.unsafe_foreign,
    )


def pack_fill(wanted: model.MapFill) -> skep_pb2.FillMapRequest:
    """Many elements to write as a message."""
    return skep_pb2.FillMapRequest(
        map=wanted.map,
        elements=[
            skep_pb2.MapElement(
                key=pack_datum(each.key), value=pack_datum(each.value), values=map(_packed, each.values)
            )
            for each in wanted.elements
        ],
        mode=skep_pb2.MapMode.ValueType(wanted.mode.value),
        merge=wanted.merge,
        unsafe_foreign=wanted.unsafe_foreign,
    )


def unpack_fill(message: skep_pb2.FillMapRequest) -> model.MapFill:
    """A message as many elements to write. InvalidRequest for a mode that is not known."""
    return model.MapFill(
        map=message.map,
        elements=tuple(
            model.MapElement(
                key=unpack_datum(each.key) if each.HasField("key") else None,
                value=unpack_datum(each.value) if each.HasField("value") else None,
                values=tuple(unpack_datum(one) for one in each.values),
            )
            for each in message.elements
        ),
        mode=_mode(message.mode),
        merge=message.merge,
        unsafe_foreign=message.unsafe_foreign,
    )


def _packed(datum: model.Datum) -> skep_pb2.Datum:
    packed = pack_datum(datum)
    assert packed is not None
    return packed


def _mode(number: int) -> model.MapMode:
    if number not in {mode.value for mode in model.MapMode}:
        raise errors.InvalidRequest(f"there is no mode {number}", do="0 any, 1 new, 2 existing")
    return model.MapMode(number)


def pack_written(written: model.MapWritten) -> skep_pb2.MapWritten:
    """What became of a change, as a message."""
    return skep_pb2.MapWritten(
        operation=written.operation,
        map_id=written.map,
        entry=pack_entry(written.entry),
        warnings=written.warnings,
    )


def unpack_written(message: skep_pb2.MapWritten) -> model.MapWritten:
    """A message as what became of a change."""
    return model.MapWritten(
        operation=model.OperationId(message.operation),
        map=model.MapId(message.map_id),
        entry=unpack_entry(message.entry) if message.HasField("entry") else None,
        warnings=tuple(message.warnings),
    )


def pack_follow(wanted: model.MapFollow) -> skep_pb2.MapEventsRequest:
    """A wish for events as a message."""
    return skep_pb2.MapEventsRequest(
        map=wanted.map,
        type=wanted.type,
        limit=wanted.limit,
        seconds=wanted.seconds,
        unsafe_foreign=wanted.unsafe_foreign,
    )


def unpack_follow(message: skep_pb2.MapEventsRequest) -> model.MapFollow:
    """A message as a wish for events."""
    return model.MapFollow(
        map=message.map,
        type=message.type,
        limit=message.limit,
        seconds=message.seconds,
        unsafe_foreign=message.unsafe_foreign,
    )


def pack_records(records: tuple[model.MapRecord, ...]) -> skep_pb2.MapRecords:
    """Some events as a message."""
    return skep_pb2.MapRecords(
        records=[
            skep_pb2.MapRecord(data=one.data, json=one.json, size=one.size, cpu=one.cpu, lost=one.lost)
            for one in records
        ]
    )


def unpack_records(message: skep_pb2.MapRecords) -> tuple[model.MapRecord, ...]:
    """A message as some events."""
    return tuple(
        model.MapRecord(
            data=one.data,
            json=one.json,
            size=one.size,
            cpu=one.cpu if one.HasField("cpu") else None,
            lost=one.lost,
        )
        for one in message.records
    )


def _pack_type(type: model.MapType | None) -> skep_pb2.MapType | None:
    if type is None:
        return None
    return skep_pb2.MapType(
        name=type.name,
        size=type.size,
        fields=[skep_pb2.MapField(name=one.name, type=one.type, bit=one.bit, bits=one.bits) for one in type.fields],
    )


def _unpack_type(message: skep_pb2.MapType) -> model.MapType:
    return model.MapType(
        name=message.name,
        size=message.size,
        fields=tuple(
            model.MapField(name=one.name, type=one.type, bit=one.bit, bits=one.bits) for one in message.fields
        ),
    )
