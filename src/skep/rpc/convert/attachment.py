"""Attachments between their dataclasses and ``skep.v1.Attachment``, by the names of types and fields.

A message has its dataclass's name, and fields of the same names; an interface is two fields there, ``interface`` and
``netns``. Range checks are the dataclasses' own; here is only the shape.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from skep import errors, hooks
from skep.hooks import codec
from skep.pb import skep_pb2


def pack(attachment: object) -> skep_pb2.Attachment:
    """A hook's attachment as a message."""
    field = _fields().get(type(attachment).__name__)
    if field is None:
        raise errors.Broken(
            f"attachments of type {type(attachment).__name__} have no message",
            why="proto/skep.proto has no message of that name",
            do="report this as a bug",
        )
    values = codec.encode(attachment)
    interface = values.get("interface")
    if isinstance(interface, Mapping):
        values["interface"], values["netns"] = interface["name"], interface["netns"]
    made = skep_pb2.Attachment()
    one = getattr(made, field)
    one.SetInParent()
    for name, value in values.items():
        if isinstance(value, list):
            getattr(one, name).extend(value)
        elif value is not None:
            setattr(one, name, value)
    return made


def unpack(message: skep_pb2.Attachment) -> object:
    """The attachment that a message asks for. InvalidRequest for values out of range or a missing attachment."""
    field = message.WhichOneof("attachment")
    if field is None:
        raise errors.InvalidRequest(
            "the request names no place to attach to", do=f"fill in one of {', '.join(_fields().values())}"
        )
    one: Message = getattr(message, field)
    shape = one.DESCRIPTOR
    assert shape is not None
    kind = _kinds()[shape.name]
    values: dict[str, object] = {}
    for row in shape.fields:
        if row.has_presence and not one.HasField(row.name):
            continue
        value = getattr(one, row.name)
        values[row.name] = value if isinstance(value, (str, int, bool)) else tuple(value)
    if "netns" not in {row.name for row in dataclasses.fields(kind)} and "interface" in values:
        values["interface"] = {"name": values["interface"], "netns": values.pop("netns", None)}
    return codec.record(kind, values, field)


@functools.cache
def _fields() -> Mapping[str, str]:
    """Message -> field of the oneof."""
    rows = ((row.message_type, row.name) for row in skep_pb2.Attachment.DESCRIPTOR.fields)
    return {kind.name: name for kind, name in rows if kind is not None}


@functools.cache
def _kinds() -> Mapping[str, type[Any]]:
    """Name -> attachment dataclass."""
    return {hook.attachment.__name__: hook.attachment for hook in hooks.HOOKS}
