"""Programs run on request and iterators read, between domain and ``skep.v1``."""

from __future__ import annotations

from skep import model
from skep.pb import skep_pb2
from skep.rpc.convert import attachment


def pack_run(wanted: model.Run) -> skep_pb2.RunProgramRequest:
    """A wish for a run as a message."""
    return skep_pb2.RunProgramRequest(
        program_id=wanted.program, packet=wanted.packet, context=wanted.context, repeat=wanted.repeat
    )


def unpack_run(message: skep_pb2.RunProgramRequest) -> model.Run:
    """A message as a wish for a run."""
    return model.Run(
        program=model.ProgramId(message.program_id),
        packet=message.packet,
        context=message.context,
        repeat=message.repeat or 1,
    )


def pack_ran(ran: model.Ran) -> skep_pb2.RunProgramResponse:
    """What came of a run, as a message."""
    return skep_pb2.RunProgramResponse(
        operation=ran.operation,
        program_id=ran.program,
        answer=ran.answer,
        verdict=ran.verdict,
        times=ran.times,
        duration_ns=ran.duration_ns,
        packet=ran.packet,
        context=ran.context,
        warnings=ran.warnings,
    )


def unpack_ran(message: skep_pb2.RunProgramResponse) -> model.Ran:
    """A message as what came of a run."""
    return model.Ran(
        operation=model.OperationId(message.operation),
        program=model.ProgramId(message.program_id),
        answer=message.answer,
        verdict=message.verdict,
        times=message.times,
        duration_ns=message.duration_ns if message.HasField("duration_ns") else None,
        packet=message.packet,
        context=message.context,
        warnings=tuple(message.warnings),
    )


def pack_read(wanted: model.ReadIterator) -> skep_pb2.ReadIteratorRequest:
    """A wish for what an iterator prints, as a message."""
    message = skep_pb2.ReadIteratorRequest(limit=wanted.limit)
    if wanted.attachment is not None:
        message.attachment.CopyFrom(attachment.pack(wanted.attachment).iterator)
    if wanted.link is not None:
        message.link_id = wanted.link
    if wanted.program is not None:
        message.program_id = wanted.program
    return message


def unpack_read(message: skep_pb2.ReadIteratorRequest) -> model.ReadIterator:
    """A message as a wish for what an iterator prints. InvalidRequest: see ``attachment.unpack``."""
    through = None
    if message.HasField("attachment"):
        through = attachment.unpack(skep_pb2.Attachment(iterator=message.attachment))
    return model.ReadIterator(
        link=model.LinkId(message.link_id) if message.HasField("link_id") else None,
        program=model.ProgramId(message.program_id) if message.HasField("program_id") else None,
        attachment=through,
        limit=message.limit,
    )
