"""Reads a gRPC schema from the Rust source that prost and tonic generate. Pure: text in, values out.

Only the shapes that prost-build 0.12 and tonic-build 0.11 write are understood; anything else between ``#[prost(`` and
the field it stands on is an error, so that a field can never be overlooked.
"""

from __future__ import annotations

import re
from dataclasses import replace

from tests.compat.schema import Field, Method, Schema

_SCALARS = {"string", "bytes", "bool", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "float", "double",
            "fixed32", "fixed64", "sfixed32", "sfixed64"}  # fmt: skip
_MODULE = re.compile(r"^\s*pub mod (\w+) \{$")
_STRUCT = re.compile(r"^\s*pub struct (\w+) \{(\})?$")
_ENUM = re.compile(r"^\s*pub enum (\w+) \{$")
_DERIVE = re.compile(r"^\s*#\[derive\(.*::prost::(Message|Oneof|Enumeration)\)\]$")
_ATTRIBUTE = re.compile(r"^\s*#\[prost\((.*)\)\]$")
_MEMBER = re.compile(r"^\s*pub (?:r#)?(\w+):\s*(.*?),?$")
_VARIANT = re.compile(r"^\s*(\w+)\((.*)\),$")
_VALUE = re.compile(r"^\s*(\w+) = (-?\d+),$")
_VALUE_NAME = re.compile(r'^\s*(\w+)::(\w+) => "(\w+)",$')
_CALL = re.compile(
    r"pub async fn \w+\(\s*&mut self,\s*request: impl tonic::Into(Streaming)?Request<(.*?)>,?\s*\)"
    r"(.*?)GrpcMethod::new\(\"([\w.]+)\", \"(\w+)\"\)",
    re.DOTALL,
)
_RESPONSE = re.compile(r"tonic::Response<(tonic::codec::Streaming<)?([\w:]+)>")


def snake(name: str) -> str:
    """``XdpAttachInfo`` as prost spells it in Rust's modules and fields: ``xdp_attach_info``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def parse(source: str, package: str) -> Schema:
    """The schema of ``package`` in prost's ``source``.

    Names of oneof members come back in snake case, which is right for every name that prost can have made from one.
    Raises ``ValueError`` for a line of prost's that is not understood.
    """
    items = _items(source)
    found: dict[str, list[Field]] = {name: [] for kind, name, _ in items if kind == "Message"}
    names = {_rust_path(name): name for _, name, _ in items}
    oneofs = {_rust_path(name): body for kind, name, body in items if kind == "Oneof"}
    enums: dict[str, frozenset[tuple[str, int]]] = {}
    for kind, name, body in items:
        if kind == "Enumeration":
            enums[f"{package}.{name}"] = _enum(name, body, source)
        elif kind == "Message":
            for attribute, field_name, rust_type in _members(body, _MEMBER):
                found[name].extend(_fields(attribute, field_name, rust_type, name, names, oneofs, package))
    return Schema(
        messages={f"{package}.{name}": frozenset(fields) for name, fields in found.items()},
        enums=enums,
        services=_services(source, package),
    )


def spelled(schema: Schema) -> Schema:
    """The same schema with the names of its messages as prost spells them: ``XDPAttachInfo`` is ``XdpAttachInfo``."""

    def rust(name: str) -> str:
        *scope, last = name.split(".")
        return ".".join([*scope, re.sub(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]+", lambda word: word[0].capitalize(), last)])

    return Schema(
        messages={
            rust(name): frozenset(replace(field, type=rust(field.type)) for field in fields)
            for name, fields in schema.messages.items()
        },
        enums={rust(name): values for name, values in schema.enums.items()},
        services={
            name: frozenset(replace(call, request=rust(call.request), response=rust(call.response)) for call in calls)
            for name, calls in schema.services.items()
        },
    )


def _rust_path(name: str) -> str:
    """``ListResponse.ListResult`` as a Rust path from the package: ``list_response::ListResult``."""
    *outer, last = name.split(".")
    return "::".join([*(snake(part) for part in outer), last])


def _items(source: str) -> list[tuple[str, str, list[str]]]:
    """(kind, name inside the package, lines of the body) of every struct and enum that prost derives something for.

    Generated code is formatted: a body ends at the line that closes with the indentation of its first line.
    """
    camels = {snake(name): name for name in re.findall(r"pub struct (\w+)", source)}
    items: list[tuple[str, str, list[str]]] = []
    modules: list[tuple[str, str]] = []  # (end line, name)
    lines = source.splitlines()
    kind = ""
    index = 0
    while index < len(lines):
        line = lines[index]
        index += 1
        if modules and line == modules[-1][0]:
            modules.pop()
        elif match := _MODULE.match(line):
            modules.append((line[: len(line) - len(line.lstrip())] + "}", match[1]))
        elif match := _DERIVE.match(line):
            kind = match[1]
        elif kind and (match := _STRUCT.match(line) or _ENUM.match(line)):
            end = line[: len(line) - len(line.lstrip())] + "}"
            body: list[str] = []
            if not line.endswith("{}"):
                close = lines.index(end, index)
                body, index = lines[index:close], close + 1
            scope = [camels.get(module, module) for _, module in modules]
            items.append((kind, ".".join([*scope, match[1]]), body))
            kind = ""
    return items


def _members(body: list[str], shape: re.Pattern[str]) -> list[tuple[str, str, str]]:
    """(attribute, name, Rust type) of every member; a type may stand on the next line."""
    members: list[tuple[str, str, str]] = []
    attribute = ""
    text = "\n".join(body)
    for line in re.sub(r":\n\s+", ": ", text).splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("//"):
            continue
        if match := _ATTRIBUTE.match(line):
            attribute = match[1]
        elif (match := shape.match(line)) and attribute:
            members.append((attribute, match[1], match[2]))
            attribute = ""
        else:
            raise ValueError(f"not understood: {stripped!r}")
    return members


def _fields(
    attribute: str,
    name: str,
    rust_type: str,
    scope: str,
    names: dict[str, str],
    oneofs: dict[str, list[str]],
    package: str,
) -> list[Field]:
    """The field, or the fields of the oneof, that one member of a struct stands for."""
    words, values = _words(attribute)
    if "oneof" not in values:
        return [_field(words, values, name, rust_type, scope, names, package)]
    body = oneofs[values["oneof"]]
    inner = f"{scope}.{values['oneof'].rpartition('::')[2]}"
    fields = []
    for member_attribute, variant, variant_type in _members(body, _VARIANT):
        member_words, member_values = _words(member_attribute)
        field = _field(member_words, member_values, snake(variant), variant_type, inner, names, package)
        fields.append(Field(name=field.name, number=field.number, type=field.type, oneof=name))
    numbers = ", ".join(str(field.number) for field in fields)
    if numbers != values["tags"]:
        raise ValueError(f"{scope}.{name}: tags {values['tags']} on the oneof, {numbers} on its members")
    return fields


def _field(
    words: set[str], values: dict[str, str], name: str, rust_type: str, scope: str, names: dict[str, str], package: str
) -> Field:
    number = int(values["tag"])
    if "map" in values:
        return Field(name=name, number=number, type=f"map<{values['map']}>")
    if "message" in words:
        kind = f"{package}.{_resolve(rust_type, scope, names)}"
    elif "enumeration" in values:
        kind = f"{package}.{_resolve(values['enumeration'], scope, names)}"
    else:
        (kind,) = words & _SCALARS
    (label,) = words & {"optional", "repeated"} or {""}
    unknown = words - _SCALARS - {"message", "optional", "repeated"}
    if unknown:
        raise ValueError(f"{scope}.{name}: unknown words {sorted(unknown)}")
    return Field(name=name, number=number, type=kind, label=label)


def _words(attribute: str) -> tuple[set[str], dict[str, str]]:
    """``string, optional, tag = "3"`` as its words and its values."""
    values = dict(re.findall(r'(\w+) = "([^"]*)"', attribute))
    rest = re.sub(r'\w+ = "[^"]*"', "", attribute)
    return {word.strip() for word in rest.split(",") if word.strip()}, values


def _resolve(rust_type: str, scope: str, names: dict[str, str]) -> str:
    """The protobuf name that a Rust path stands for, seen from the module in which ``scope`` is defined."""
    path = re.sub(r"^.*<|>+$", "", rust_type)
    module = [snake(part) for part in scope.split(".")[:-1]]
    while path.startswith("super::"):
        path = path.removeprefix("super::")
        module = module[:-1]
    full = "::".join([*module, path])
    if full not in names:
        raise ValueError(f"{scope}: unknown type {rust_type!r}")
    return names[full]


def _enum(name: str, body: list[str], source: str) -> frozenset[tuple[str, int]]:
    """Values under the names of the .proto file, which prost keeps in ``as_str_name``."""
    numbers: dict[str, int] = {}
    for line in body:
        match = _VALUE.match(line)
        if match:
            numbers[match[1]] = int(match[2])
        elif line.strip() and not line.strip().startswith("//"):
            raise ValueError(f"{name}: not understood: {line.strip()!r}")
    found = (_VALUE_NAME.match(line) for line in source.splitlines())
    spelled = {match[2]: match[3] for match in found if match and match[1] in (name, "Self")}
    return frozenset((spelled[variant], number) for variant, number in numbers.items())


def _services(source: str, package: str) -> dict[str, frozenset[Method]]:
    services: dict[str, set[Method]] = {}
    for client_streams, request, between, service, name in _CALL.findall(source):
        answer = _RESPONSE.search(between)
        if answer is None:
            raise ValueError(f"{service}.{name}: no answer type")
        streams = {(False, False): "", (True, False): "request", (False, True): "response", (True, True): "both"}
        method = Method(
            name=name,
            request=f"{package}.{request.rpartition('::')[2]}",
            response=f"{package}.{answer[2].rpartition('::')[2]}",
            streams=streams[bool(client_streams), bool(answer[1])],
        )
        services.setdefault(service, set()).add(method)
    return {service: frozenset(methods) for service, methods in services.items()}
