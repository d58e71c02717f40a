"""Operations and their answers between domain and ``skep.v1``.

An object's bytes travel beside the header, in chunks: ``unpack_load`` and ``unpack_replace`` take them as an argument.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from skep import errors, model
from skep.pb import skep_pb2
from skep.rpc.convert import attachment, capability, program

CHUNK_BYTES = 1024 * 1024
"""Of an object, in one message; gRPC's own limit for a message is 4 MiB by default."""


def pack(operation: model.Operation) -> tuple[skep_pb2.Operation, bytes]:
    """Any operation as a message, and the bytes of its object (b"" when it has none)."""
    match operation:
        case model.Load():
            return skep_pb2.Operation(load=pack_load(operation)), operation.object
        case model.Unload():
            return skep_pb2.Operation(unload=pack_unload(operation)), b""
        case model.Attach():
            return skep_pb2.Operation(attach=pack_attach(operation)), b""
        case model.Detach():
            return skep_pb2.Operation(detach=pack_detach(operation)), b""
        case model.UpdateLink():
            return skep_pb2.Operation(update_link=pack_update(operation)), b""
        case model.ReplaceProgram():
            return skep_pb2.Operation(replace_program=pack_replace(operation)), operation.object
        case model.Adopt():
            return skep_pb2.Operation(adopt=pack_adopt(operation)), b""
    assert_never(operation)


def unpack(message: skep_pb2.Operation, object: bytes) -> model.Operation:
    """A message as any operation. InvalidRequest when it is none, or when bytes come with one that takes none."""
    kind = message.WhichOneof("operation")
    if object and kind not in ("load", "replace_program"):
        raise errors.InvalidRequest(
            "the request carries an object that its operation does not take", do="send it without one"
        )
    match kind:
        case "load":
            return unpack_load(message.load, object)
        case "unload":
            return unpack_unload(message.unload)
        case "attach":
            return unpack_attach(message.attach)
        case "detach":
            return unpack_detach(message.detach)
        case "update_link":
            return unpack_update(message.update_link)
        case "replace_program":
            return unpack_replace(message.replace_program, object)
        case "adopt":
            return unpack_adopt(message.adopt)
    raise errors.InvalidRequest("the request names no operation", do="fill in one of Operation's fields")


def chunks(object: bytes) -> Iterator[bytes]:
    """An object in pieces of at most ``CHUNK_BYTES``."""
    view = memoryview(object)
    for start in range(0, len(object), CHUNK_BYTES):
        yield bytes(view[start : start + CHUNK_BYTES])


def pack_load(operation: model.Load) -> skep_pb2.LoadHeader:
    """A load without its bytes."""
    return skep_pb2.LoadHeader(
        source=program.pack_source(operation.source),
        programs=[
            skep_pb2.ProgramSpec(name=spec.name, hook=spec.hook, attach_func=spec.attach_func)
            for spec in operation.programs
        ],
        metadata=operation.metadata,
        global_data=operation.global_data,
        map_owner_id=operation.map_owner,
        object_bytes=len(operation.object),
        read_file=operation.read_file,
    )


def unpack_load(message: skep_pb2.LoadHeader, object: bytes) -> model.Load:
    """A load out of its header and bytes."""
    return model.Load(
        object=object,
        source=program.unpack_source(message.source),
        programs=tuple(_spec(spec) for spec in message.programs),
        metadata=dict(message.metadata),
        global_data=dict(message.global_data),
        map_owner=model.ProgramId(message.map_owner_id) if message.HasField("map_owner_id") else None,
        read_file=message.read_file,
    )


def pack_unload(operation: model.Unload) -> skep_pb2.UnloadRequest:
    """An unload as a request."""
    return skep_pb2.UnloadRequest(program_id=operation.program)


def unpack_unload(message: skep_pb2.UnloadRequest) -> model.Unload:
    """A request as an unload."""
    return model.Unload(program=model.ProgramId(message.program_id))


def pack_attach(operation: model.Attach) -> skep_pb2.AttachRequest:
    """An attach as a request."""
    return skep_pb2.AttachRequest(
        program_id=operation.program,
        attachment=attachment.pack(operation.attachment),
        metadata=operation.metadata,
        literal=operation.literal,
    )


def unpack_attach(message: skep_pb2.AttachRequest) -> model.Attach:
    """A request as an attach."""
    return model.Attach(
        program=model.ProgramId(message.program_id),
        attachment=attachment.unpack(message.attachment),
        metadata=dict(message.metadata),
        literal=message.literal,
    )


def pack_detach(operation: model.Detach) -> skep_pb2.DetachRequest:
    """A detach as a request."""
    return skep_pb2.DetachRequest(link_id=operation.link)


def unpack_detach(message: skep_pb2.DetachRequest) -> model.Detach:
    """A request as a detach."""
    return model.Detach(link=model.LinkId(message.link_id))


def pack_update(operation: model.UpdateLink) -> skep_pb2.UpdateLinkRequest:
    """A link's update as a request."""
    codes = operation.proceed_on
    return skep_pb2.UpdateLinkRequest(
        link_id=operation.link,
        priority=operation.priority,
        proceed_on=None if codes is None else skep_pb2.Verdicts(codes=codes),
        program_id=operation.program,
    )


def unpack_update(message: skep_pb2.UpdateLinkRequest) -> model.UpdateLink:
    """A request as a link's update."""
    return model.UpdateLink(
        link=model.LinkId(message.link_id),
        priority=message.priority if message.HasField("priority") else None,
        proceed_on=tuple(message.proceed_on.codes) if message.HasField("proceed_on") else None,
        program=model.ProgramId(message.program_id) if message.HasField("program_id") else None,
    )


def pack_replace(operation: model.ReplaceProgram) -> skep_pb2.ReplaceHeader:
    """A replacement without its bytes."""
    values = operation.global_data
    return skep_pb2.ReplaceHeader(
        program_id=operation.program,
        source=program.pack_source(operation.source),
        name=operation.name,
        global_data=None if values is None else skep_pb2.GlobalData(values=values),
        object_bytes=len(operation.object),
        stored=operation.stored,
        read_file=operation.read_file,
    )


def unpack_replace(message: skep_pb2.ReplaceHeader, object: bytes) -> model.ReplaceProgram:
    """A replacement out of its header and bytes."""
    return model.ReplaceProgram(
        program=model.ProgramId(message.program_id),
        object=object,
        source=program.unpack_source(message.source),
        name=message.name if message.HasField("name") else None,
        global_data=dict(message.global_data.values) if message.HasField("global_data") else None,
        stored=model.Digest(message.stored) if message.HasField("stored") else None,
        read_file=message.read_file,
    )


def pack_adopt(operation: model.Adopt) -> skep_pb2.AdoptRequest:
    """An adoption as a request."""
    return skep_pb2.AdoptRequest(pin=operation.pin)


def unpack_adopt(message: skep_pb2.AdoptRequest) -> model.Adopt:
    """A request as an adoption."""
    return model.Adopt(pin=message.pin)


def pack_done(done: model.Done) -> skep_pb2.Done:
    """What an operation made, as a message."""
    return skep_pb2.Done(
        operation=done.operation,
        programs=[program.pack(made) for made in done.programs],
        links=done.links,
        warnings=done.warnings,
    )


def unpack_done(message: skep_pb2.Done) -> model.Done:
    """A message as what an operation made."""
    return model.Done(
        operation=model.OperationId(message.operation),
        programs=tuple(program.unpack_managed(made) for made in message.programs),
        links=tuple(model.LinkId(id) for id in message.links),
        warnings=tuple(message.warnings),
    )


def pack_preview(preview: model.Preview) -> skep_pb2.PreviewResponse:
    """What an operation would do, as a message."""
    return skep_pb2.PreviewResponse(
        steps=preview.steps, warnings=preview.warnings, capabilities=capability.pack(preview.capabilities)
    )


def unpack_preview(message: skep_pb2.PreviewResponse) -> model.Preview:
    """A message as what an operation would do."""
    return model.Preview(
        steps=tuple(message.steps),
        warnings=tuple(message.warnings),
        capabilities=capability.unpack(message.capabilities),
    )


def _spec(message: skep_pb2.ProgramSpec) -> model.ProgramSpec:
    return model.ProgramSpec(
        name=message.name,
        hook=model.HookName(message.hook) if message.HasField("hook") else None,
        attach_func=message.attach_func if message.HasField("attach_func") else None,
    )
