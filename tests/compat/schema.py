"""A gRPC schema as plain values, so that two of them can be compared field by field.

Here: the values, and how they are read from a protobuf descriptor. ``prost.py`` reads them from generated Rust.
Pure except for the descriptor that is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf import descriptor_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import FileDescriptor

_PROTO = descriptor_pb2.FieldDescriptorProto


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field. ``type`` is protobuf's word ("uint32"), a message's or enum's full name, or "map<string, bytes>".

    ``label`` is "", "optional" or "repeated". A singular message field is always "optional" here: its presence is
    tracked with or without the word, and generated Rust does not keep the difference.
    ``oneof`` is the name of the oneof, or "".
    """

    name: str
    number: int
    type: str
    label: str = ""
    oneof: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One call of a service; ``streams`` is "", "request", "response" or "both"."""

    name: str
    request: str
    response: str
    streams: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """Everything that is on the wire: messages, enums and services by full name."""

    messages: dict[str, frozenset[Field]]
    enums: dict[str, frozenset[tuple[str, int]]]
    services: dict[str, frozenset[Method]]


def differences(ours: Schema, theirs: Schema) -> tuple[str, ...]:
    """Every difference as one line that names the place, "+" for what only ours has, "-" for what only theirs has."""
    lines: list[str] = []
    tables = (
        ("message", ours.messages, theirs.messages),
        ("enum", ours.enums, theirs.enums),
        ("service", ours.services, theirs.services),
    )
    for kind, mine, other in tables:
        for name in sorted({*mine, *other}):
            if name not in other:
                lines.append(f"+ {kind} {name}")
            elif name not in mine:
                lines.append(f"- {kind} {name}")
            else:
                lines.extend(sorted(f"+ {name}: {entry}" for entry in set(mine[name]) - set(other[name])))
                lines.extend(sorted(f"- {name}: {entry}" for entry in set(other[name]) - set(mine[name])))
    return tuple(lines)


def from_descriptor(file: FileDescriptor) -> Schema:
    """The schema of one .proto file as the protobuf runtime has it."""
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)
    messages: dict[str, frozenset[Field]] = {}
    enums = {f"{proto.package}.{enum.name}": _values(enum) for enum in proto.enum_type}
    todo = [(proto.package, message) for message in proto.message_type]
    while todo:
        scope, message = todo.pop()
        if message.options.map_entry:
            continue
        name = f"{scope}.{message.name}"
        messages[name] = frozenset(_field(message, field) for field in message.field)
        enums.update({f"{name}.{enum.name}": _values(enum) for enum in message.enum_type})
        todo.extend((name, nested) for nested in message.nested_type)
    services = {
        f"{proto.package}.{service.name}": frozenset(_method(method) for method in service.method)
        for service in proto.service
    }
    return Schema(messages=messages, enums=enums, services=services)


def _values(enum: descriptor_pb2.EnumDescriptorProto) -> frozenset[tuple[str, int]]:
    return frozenset((value.name, value.number) for value in enum.value)


def _field(message: descriptor_pb2.DescriptorProto, field: descriptor_pb2.FieldDescriptorProto) -> Field:
    kind = _type_of(field)
    entry = next((nested for nested in message.nested_type if nested.name == kind.rpartition(".")[2]), None)
    if entry is not None and entry.options.map_entry:
        key, value = sorted(entry.field, key=lambda part: part.number)
        return Field(name=field.name, number=field.number, type=f"map<{_type_of(key)}, {_type_of(value)}>")
    in_oneof = field.HasField("oneof_index") and not field.proto3_optional
    label = ""
    if field.label == _PROTO.LABEL_REPEATED:
        label = "repeated"
    elif field.proto3_optional or (field.type == _PROTO.TYPE_MESSAGE and not in_oneof):
        label = "optional"
    oneof = message.oneof_decl[field.oneof_index].name if in_oneof else ""
    return Field(name=field.name, number=field.number, type=kind, label=label, oneof=oneof)


def _type_of(field: descriptor_pb2.FieldDescriptorProto) -> str:
    if field.type_name:
        return field.type_name.removeprefix(".")
    return _PROTO.Type.Name(field.type).removeprefix("TYPE_").lower()


def _method(method: descriptor_pb2.MethodDescriptorProto) -> Method:
    streams = {(False, False): "", (True, False): "request", (False, True): "response", (True, True): "both"}
    return Method(
        name=method.name,
        request=method.input_type.removeprefix("."),
        response=method.output_type.removeprefix("."),
        streams=streams[method.client_streaming, method.server_streaming],
    )
