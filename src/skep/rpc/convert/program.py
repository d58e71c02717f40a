"""Programs, their sources and filters between domain and ``skep.v1``."""

from __future__ import annotations

from typing import assert_never

from skep import errors, model
from skep.pb import skep_pb2
from skep.rpc.convert import observed


def pack(program: model.Program | model.ForeignProgram) -> skep_pb2.Program:
    """A program, managed or foreign, as a message."""
    match program:
        case model.ForeignProgram():
            return skep_pb2.Program(foreign=observed.pack_program(program.kernel))
        case model.Program():
            status = program.status
            return skep_pb2.Program(
                record=_pack_record(program.record),
                status=skep_pb2.ProgramStatus(
                    kernel=None if status.kernel is None else observed.pack_program(status.kernel),
                    pin_present=status.pin_present,
                    stale=status.stale,
                ),
                links=program.links,
                used_by=program.used_by,
                map_dir=program.map_dir,
            )
    assert_never(program)


def unpack(message: skep_pb2.Program) -> model.Program | model.ForeignProgram:
    """A message as a program, managed or foreign."""
    if not message.HasField("record"):
        return model.ForeignProgram(kernel=observed.unpack_program(message.foreign))
    return unpack_managed(message)


def unpack_managed(message: skep_pb2.Program) -> model.Program:
    """A message that holds a managed program."""
    status = message.status
    return model.Program(
        record=_unpack_record(message.record),
        status=model.ProgramStatus(
            kernel=observed.unpack_program(status.kernel) if status.HasField("kernel") else None,
            pin_present=status.pin_present,
            stale=status.stale,
        ),
        links=tuple(model.LinkId(id) for id in message.links),
        used_by=tuple(model.ProgramId(id) for id in message.used_by),
        map_dir=message.map_dir,
    )


def pack_source(source: model.Source) -> skep_pb2.Source:
    """Where an object came from, as a message."""
    match source:
        case model.FileSource():
            return skep_pb2.Source(file=skep_pb2.FileSource(path=source.path))
        case model.ImageSource():
            return skep_pb2.Source(
                image=skep_pb2.ImageSource(
                    url=source.url, pull_policy=source.pull_policy, digest=source.digest, trust=source.trust
                )
            )
    assert_never(source)


def unpack_source(message: skep_pb2.Source) -> model.Source:
    """A message as where an object came from. InvalidRequest when it says nothing."""
    match message.WhichOneof("source"):
        case "file":
            return model.FileSource(path=message.file.path)
        case "image":
            image = message.image
            return model.ImageSource(
                url=image.url, pull_policy=image.pull_policy, digest=image.digest, trust=image.trust
            )
    raise errors.InvalidRequest("the request does not say where the object comes from", do="fill in source")


def pack_filter(wanted: model.ProgramFilter) -> skep_pb2.ListProgramsRequest:
    """Which programs to list, as a request."""
    return skep_pb2.ListProgramsRequest(
        managed_only=wanted.managed_only,
        prog_type=wanted.prog_type,
        hooks=wanted.hooks,
        metadata=wanted.metadata,
    )


def unpack_filter(message: skep_pb2.ListProgramsRequest) -> model.ProgramFilter:
    """A request as which programs to list."""
    return model.ProgramFilter(
        managed_only=message.managed_only,
        prog_type=message.prog_type if message.HasField("prog_type") else None,
        hooks=tuple(model.HookName(name) for name in message.hooks),
        metadata=dict(message.metadata),
    )


def _pack_record(record: model.ProgramRecord) -> skep_pb2.ProgramRecord:
    return skep_pb2.ProgramRecord(
        key=record.key,
        generation=record.generation,
        id=record.id,
        tag=record.tag,
        loaded_at_ns=record.loaded_at_ns,
        boot_id=record.boot_id,
        name=record.name,
        hook=record.hook,
        section=record.section,
        prog_type=record.prog_type,
        object=record.object,
        source=pack_source(record.source),
        pin=record.pin,
        set=record.set,
        maps=[_pack_map(ref) for ref in record.maps],
        owner=record.owner,
        owner_id=record.owner_id,
        attach_func=record.attach_func,
        license=record.license,
        gpl_compatible=record.gpl_compatible,
        metadata=record.metadata,
        global_data=record.global_data,
        loaded_by=observed.pack_caller(record.loaded_by),
        created_at=record.created_at,
        updated_at=record.updated_at,
    )


def _unpack_record(message: skep_pb2.ProgramRecord) -> model.ProgramRecord:
    return model.ProgramRecord(
        key=model.ProgramKey(message.key),
        generation=message.generation,
        id=model.ProgramId(message.id),
        tag=message.tag,
        loaded_at_ns=message.loaded_at_ns,
        boot_id=message.boot_id,
        name=message.name,
        hook=model.HookName(message.hook),
        section=message.section,
        prog_type=message.prog_type,
        object=model.Digest(message.object),
        source=unpack_source(message.source),
        pin=model.ProgramPin(message.pin),
        set=model.SetKey(message.set),
        maps=tuple(_unpack_map(ref) for ref in message.maps),
        owner=model.SetKey(message.owner) if message.HasField("owner") else None,
        owner_id=model.ProgramId(message.owner_id) if message.HasField("owner_id") else None,
        attach_func=message.attach_func if message.HasField("attach_func") else None,
        license=message.license,
        gpl_compatible=message.gpl_compatible,
        metadata=dict(message.metadata),
        global_data=dict(message.global_data),
        loaded_by=observed.unpack_caller(message.loaded_by),
        created_at=message.created_at,
        updated_at=message.updated_at if message.HasField("updated_at") else None,
    )


def _pack_map(ref: model.MapRef) -> skep_pb2.MapRef:
    return skep_pb2.MapRef(name=ref.name, pin=ref.pin, internal=ref.internal, shared=ref.shared)


def _unpack_map(message: skep_pb2.MapRef) -> model.MapRef:
    return model.MapRef(
        name=message.name, pin=model.MapPin(message.pin), internal=message.internal, shared=message.shared
    )
