"""Reading what strangers wrote: JSON of signatures and roots, field by field, where every wrong turn is one error."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from skep.trust.refused import Reason, Refused

MOST_BYTES = 4 << 20
"""Largest signature, bundle or root that is looked at; real ones have some kilobytes."""

MOST_ITEMS = 64
"""Most members of a list of certificates, log entries, timestamps, hashes of a proof."""


def malformed(why: str) -> Refused:
    """The error for bytes that are not what they claim to be."""
    return Refused(Reason.MALFORMED, why, what="the signature cannot be read")


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object and the path by which it was reached, for errors ("bundle.verificationMaterial")."""

    values: dict[str, object]
    path: str
    most: int = MOST_ITEMS
    """Longest list."""

    def _get(self, name: str) -> object:
        return self.values.get(name)

    def wrong(self, name: str, want: str) -> Refused:
        """The error about one field."""
        return malformed(f"{self.path}.{name} is not {want}")

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """A string; without a default it has to be there."""
        value = self._get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self.wrong(name, "text")
        return value

    def number(self, name: str, default: int | None = None) -> int:
        """A whole number in 0..2^63-1, which protobuf's JSON writes as a string."""
        value = self._get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
            raise self.wrong(name, "a number from 0 to 2^63-1")
        return value

    def raw(self, name: str) -> bytes:
        """Bytes, written in base64."""
        try:
            return base64.b64decode(self.text(name), validate=True)
        except (binascii.Error, ValueError) as error:
            raise self.wrong(name, "base64") from error

    def fields(self, name: str) -> Fields:
        """An object, which has to be there."""
        value = self._get(name)
        if not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return Fields(value, f"{self.path}.{name}")

    def maybe(self, name: str) -> Fields | None:
        """An object, or None where there is none."""
        return self.fields(name) if self.has(name) else None

    def each(self, name: str) -> Iterator[Fields]:
        """The objects of a list; no list is an empty one."""
        for index, value in enumerate(self._list(name)):
            if not isinstance(value, dict):
                raise self.wrong(f"{name}[{index}]", "an object")
            yield Fields(value, f"{self.path}.{name}[{index}]", self.most)

    def raws(self, name: str) -> tuple[bytes, ...]:
        """A list of bytes, each written in base64."""
        items = self._list(name)
        return tuple(Fields({name: item}, self.path).raw(name) for item in items)

    def moment(self, name: str) -> datetime | None:
        """A point in time (RFC 3339), or None where there is none."""
        if not self.has(name):
            return None
        try:
            moment = datetime.fromisoformat(self.text(name))
        except ValueError as error:
            raise self.wrong(name, "a time like 2026-01-31T12:00:00Z") from error
        if moment.tzinfo is None:
            raise self.wrong(name, "a time with its zone")
        return moment

    def _list(self, name: str) -> list[object]:
        value = self._get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(name, "a list")
        if len(value) > self.most:
            raise self.wrong(name, f"a list of at most {self.most}")
        return value


def read_object(data: bytes, path: str) -> Fields:
    """The JSON object in ``data``; ``path`` names it in errors."""
    if len(data) > MOST_BYTES:
        raise malformed(f"{path} has {len(data)} bytes; at most {MOST_BYTES} are read")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise malformed(f"{path} is not JSON") from error
    if not isinstance(value, dict):
        raise malformed(f"{path} is not a JSON object")
    return Fields(value, path)
