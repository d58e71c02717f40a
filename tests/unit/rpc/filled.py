"""Makes a value of any domain dataclass with every field set, no two alike: what a conversion forgets, shows."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from skep import model
from skep.hooks import xdp

ATTACHMENT = xdp.XdpAttachment(
    interface=model.InterfaceRef(name="eth7", netns="/run/netns/blue"),
    priority=77,
    proceed_on=(2, 31),
    mode=model.XdpMode.SKB,
)


def filled(kind: Any, numbers: Iterator[int] | None = None) -> Any:
    """A value of ``kind``: unions take their first member, containers get two entries, enums their last value."""
    numbers = numbers or itertools.count(1)
    if isinstance(kind, typing.NewType):
        return filled(kind.__supertype__, numbers)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return filled(inner[0], numbers)
    if origin is tuple:
        return (filled(inner[0], numbers), filled(inner[0], numbers))
    if origin is Mapping:
        return {filled(inner[0], numbers): filled(inner[1], numbers) for _ in range(2)}
    if kind is object:
        return ATTACHMENT
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{field.name: filled(hints[field.name], numbers) for field in dataclasses.fields(kind)})
    if issubclass(kind, enum.Enum):
        return list(kind)[-1]
    number = next(numbers)
    return {bool: True, int: number, float: number + 0.5, str: f"text {number}", bytes: b"bytes %d" % number}[kind]
