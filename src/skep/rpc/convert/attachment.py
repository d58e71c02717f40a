"""Attachments between their dataclasses and ``skep.v1.Attachment``.

Range checks are the dataclasses' own; here is only the shape.
"""

from __future__ import annotations

from skep import errors, model
from skep.hooks import tcx, tracepoint, uprobe, xdp
from skep.pb import skep_pb2

SUPPORTED = "xdp, tcx, tracepoint, uprobe and uretprobe"


def pack(attachment: object) -> skep_pb2.Attachment:
    """A hook's attachment as a message."""
    match attachment:
        case xdp.XdpAttachment():
            return skep_pb2.Attachment(
                xdp=skep_pb2.XdpAttachment(
                    interface=attachment.interface.name,
                    netns=attachment.interface.netns,
                    priority=attachment.priority,
                    proceed_on=attachment.proceed_on,
                    mode=attachment.mode,
                )
            )
        case tcx.TcxAttachment():
            return skep_pb2.Attachment(
                tcx=skep_pb2.TcxAttachment(
                    interface=attachment.interface.name,
                    netns=attachment.interface.netns,
                    direction=attachment.direction,
                    priority=attachment.priority,
                )
            )
        case tracepoint.TracepointAttachment():
            return skep_pb2.Attachment(
                tracepoint=skep_pb2.TracepointAttachment(group=attachment.group, name=attachment.name)
            )
        case uprobe.UprobeAttachment():
            return skep_pb2.Attachment(
                uprobe=skep_pb2.UprobeAttachment(
                    target=attachment.target,
                    fn_name=attachment.fn_name,
                    offset=attachment.offset,
                    pid=attachment.pid,
                    container_pid=attachment.container_pid,
                )
            )
    raise errors.Broken(
        f"attachments of type {type(attachment).__name__} have no message",
        why="proto/skep.proto knows " + SUPPORTED,
        do="report this as a bug",
    )


def unpack(message: skep_pb2.Attachment) -> object:
    """The attachment that a message asks for. InvalidRequest for values out of range or a missing attachment."""
    match message.WhichOneof("attachment"):
        case "xdp":
            wanted = message.xdp
            return xdp.XdpAttachment(
                interface=_interface(wanted),
                priority=wanted.priority,
                proceed_on=tuple(wanted.proceed_on),
                mode=xdp.parse_mode(wanted.mode) if wanted.HasField("mode") else None,
            )
        case "tcx":
            return tcx.TcxAttachment(
                interface=_interface(message.tcx),
                direction=tcx.parse_direction(message.tcx.direction),
                priority=message.tcx.priority,
            )
        case "tracepoint":
            return tracepoint.TracepointAttachment(group=message.tracepoint.group, name=message.tracepoint.name)
        case "uprobe":
            return _uprobe(message.uprobe)
    raise errors.InvalidRequest("the request names no place to attach to", do=f"fill in one of {SUPPORTED}")


def _interface(message: skep_pb2.XdpAttachment | skep_pb2.TcxAttachment) -> model.InterfaceRef:
    return model.InterfaceRef(name=message.interface, netns=message.netns if message.HasField("netns") else None)


def _uprobe(message: skep_pb2.UprobeAttachment) -> uprobe.UprobeAttachment:
    return uprobe.UprobeAttachment(
        target=message.target,
        fn_name=message.fn_name if message.HasField("fn_name") else None,
        offset=message.offset,
        pid=message.pid if message.HasField("pid") else None,
        container_pid=message.container_pid if message.HasField("container_pid") else None,
    )
