"""Attachments as JSON values and back, from their dataclass fields: one codec for store, CLI and API."""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Mapping

from skep import errors, hooks


def encode(attachment: object) -> dict[str, object]:
    """An attachment as a JSON object; keys are the field names, None stays."""
    assert dataclasses.is_dataclass(attachment) and not isinstance(attachment, type)
    return {field.name: _plain(getattr(attachment, field.name)) for field in dataclasses.fields(attachment)}


def decode(hook: str, value: Mapping[str, object]) -> object:
    """The attachment of hook ``hook`` from its JSON object. InvalidRequest for a wrong field or value, NotFound for
    an unknown hook; missing fields take their defaults."""
    return record(hooks.by_name(hook).attachment, value, hook)


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return encode(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


@functools.cache
def _fields(kind: type) -> Mapping[str, object]:
    return typing.get_type_hints(kind)


def record(kind: type, value: object, where: str) -> object:
    """A dataclass from a JSON object; ``where`` names it in errors. InvalidRequest for a wrong field or value."""
    if not isinstance(value, Mapping):
        raise _wrong(where, "an object", value)
    hints = _fields(kind)
    unknown = sorted(set(value) - set(hints))
    if unknown:
        raise errors.InvalidRequest(
            f"{where} has no field {unknown[0]!r}", why="its fields are " + ", ".join(hints), do="see proto/skep.proto"
        )
    try:
        return kind(**{name: _typed(hints[name], item, f"{where}.{name}") for name, item in value.items()})
    except TypeError as error:
        needed = [
            field.name
            for field in dataclasses.fields(kind)
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        ]
        missing = [name for name in needed if name not in value]
        raise errors.InvalidRequest(f"{where} lacks {', '.join(missing)}", do="fill it in") from error


def _typed(hint: object, value: object, where: str) -> object:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        choices = typing.get_args(hint)
        if value is None and type(None) in choices:
            return None
        (inner,) = (choice for choice in choices if choice is not type(None))
        return _typed(inner, value, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise _wrong(where, "a list", value)
        return tuple(_typed(typing.get_args(hint)[0], item, where) for item in value)
    assert isinstance(hint, type)
    if dataclasses.is_dataclass(hint):
        return record(hint, value, where)
    if issubclass(hint, enum.Enum):
        try:
            return hint(value)
        except ValueError as error:
            known = ", ".join(str(member.value) for member in hint)
            raise errors.InvalidRequest(
                f"{where} is {value!r}", why=f"it is one of {known}", do="choose one of these"
            ) from error
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise _wrong(where, "a number" if hint is int else "text", value)
    return value


def _wrong(where: str, wanted: str, value: object) -> errors.InvalidRequest:
    return errors.InvalidRequest(f"{where} is not {wanted}", why=f"it is {value!r}", do="see proto/skep.proto")
