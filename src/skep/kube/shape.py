"""The grammar of objects: what a field may hold. One description gives the parser (``read``) and the CRD (``schema``).

The words are those of Kubernetes' structural schemas; a rule is written twice, in CEL for the API server and in Python
for ``read``, side by side.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from skep import errors

INT32, INT64 = 2**31, 2**63
_QUANTITY = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
"""resource.Quantity as Kubernetes' own schemas have it."""
_PERCENT = "^([1-9][0-9]?|100)%$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A string. ``pattern`` is found anywhere unless it is anchored, as in all of OpenAPI. Lengths in characters."""

    choices: tuple[str, ...] = ()
    pattern: str = ""
    shortest: int = 0
    longest: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A whole number from ``low`` to ``high``. None: as far as ``bits`` (32 or 64) reach.

    ``promised``: whether the schema says a format; upstream says int32 of ids that do not fit it.
    """

    low: int | None = None
    high: int | None = None
    bits: int = 64
    promised: bool = True


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""


@dataclass(frozen=True, slots=True)
class Octets:
    """Bytes: base64, or a list of numbers from 0 to 255, which Go's decoder takes too and every sample writes."""


@dataclass(frozen=True, slots=True)
class Time:
    """A time as RFC 3339 writes it."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount as Kubernetes writes it: 2, "500m", "128Mi"; read as text."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many of something: a whole number from 1, or a percentage of them from "1%" to "100%"."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """An object with a grammar of somebody else's, who is handed it as it is and judges it."""


@dataclass(frozen=True, slots=True)
class Anything:
    """Whatever JSON it is: text, an object, a list; somebody else judges it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """A list. ``keys``: fields of its items which together occur once."""

    of: Shape
    fewest: int = 0
    most: int | None = None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Names and values, chosen by the author."""

    of: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a record. ``default`` None: there is none."""

    name: str
    shape: Shape
    doc: str
    required: bool = False
    default: Any = None  # Any: JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What fields say about each other: in CEL, and in Python for the same JSON with defaults filled in."""

    cel: str
    message: str
    holds: Callable[[Mapping[str, Any]], bool]  # Any: JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An object with known fields. ``one``: exactly one of them is there. ``atomic``: written as a whole."""

    fields: tuple[Field, ...]
    rules: tuple[Rule, ...] = ()
    one: bool = False
    atomic: bool = False


Shape: TypeAlias = "Text|Number|Flag|Octets|Time|Quantity|Share|Foreign|Anything|Many|Table|Record"


def read(shape: Shape, value: object, path: str) -> Any:  # Any: JSON, with bytes for Octets
    """``value`` with its defaults filled in. InvalidRequest with the path of what is wrong ("spec.programs[2]")."""
    match shape:
        case Text():
            return _text(shape, value, path)
        case Number():
            return _number(shape, value, path)
        case Flag():
            if not isinstance(value, bool):
                raise wrong(path, value, "it is true or false")
            return value
        case Octets():
            return _octets(value, path)
        case Time():
            if not isinstance(value, str):
                raise wrong(path, value, "it is a time such as 2026-01-31T12:00:00Z")
            return value
        case Quantity():
            return _quantity(value, path)
        case Share():
            return _share(value, path)
        case Foreign():
            if not isinstance(value, Mapping):
                raise wrong(path, value, "it is an object")
            return dict(value)
        case Anything():
            return value
        case Many():
            return _many(shape, value, path)
        case Table():
            if not isinstance(value, Mapping):
                raise wrong(path, value, "it is an object of names and values")
            return {_name(key, path): read(shape.of, item, f"{path}.{key}") for key, item in value.items()}
        case Record():
            return _record(shape, value, path)


def wrong(path: str, value: object, why: str) -> errors.InvalidRequest:
    """The error for a value that does not fit."""
    text = repr(value)
    shown = text if len(text) <= 60 else f"{text[:57]}…"
    return errors.InvalidRequest(f"{path} is {shown}", why=why, do="correct the object")


def _name(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise wrong(f"a name in {path}", key, "it is text; YAML reads yes, no and numbers otherwise unless quoted")
    return key


def _text(shape: Text, value: object, path: str) -> str:
    if not isinstance(value, str):
        raise wrong(path, value, "it is text; quote it")
    if shape.choices and value not in shape.choices:
        raise errors.InvalidRequest(
            f"{path} is {value!r}",
            why="it is one of " + ", ".join(shape.choices),
            do=_choose(value, shape.choices),
        )
    if len(value) < shape.shortest:
        raise wrong(path, value, "it may not be empty" if shape.shortest == 1 else f"at least {shape.shortest} letters")
    if shape.longest is not None and len(value) > shape.longest:
        raise wrong(path, value, f"it may have {shape.longest} characters and has {len(value)}")
    if shape.pattern and re.search(shape.pattern, value) is None:
        raise wrong(path, value, f"it has to match {shape.pattern}")
    return value


def _choose(value: str, choices: tuple[str, ...]) -> str:
    same = [choice for choice in choices if choice.lower() == value.lower()]
    if same:
        return f"write {same[0]}: capitals count"
    near = errors.near_misses(value, choices)
    return "did you mean " + ", ".join(near) + "?" if near else "choose one of these"


def _number(shape: Number, value: object, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong(path, value, "it is a whole number")
    limit = INT32 if shape.bits == 32 else INT64
    low = -limit if shape.low is None else shape.low
    high = limit - 1 if shape.high is None else shape.high
    if not low <= value <= high:
        raise wrong(path, value, f"it goes from {low} to {high}")
    return value


def _octets(value: object, path: str) -> bytes:
    if isinstance(value, list):
        for index, item in enumerate(value):
            if not isinstance(item, int) or isinstance(item, bool) or not 0 <= item <= 255:
                raise wrong(f"{path}[{index}]", item, "a byte goes from 0 to 255")
        return bytes(value)
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            pass
    raise wrong(path, value, "it is base64, or a list of bytes such as [0x0D, 0, 0, 0]")


def _quantity(value: object, path: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str) or re.search(_QUANTITY, str(value)) is None:
        raise wrong(path, value, 'it is an amount such as 2, "500m" or "128Mi"')
    return str(value)


def _share(value: object, path: str) -> int | str:
    if isinstance(value, str) and re.search(_PERCENT, value):
        return value
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < INT32:
        raise wrong(path, value, 'it is a whole number from 1, or a percentage such as "10%"')
    return value


def _many(shape: Many, value: object, path: str) -> list[Any]:  # Any: JSON
    if not isinstance(value, list):
        raise wrong(path, value, "it is a list")
    if len(value) < shape.fewest:
        raise errors.InvalidRequest(f"{path} is too short", why=f"it has at least {shape.fewest}", do="add to it")
    if shape.most is not None and len(value) > shape.most:
        raise errors.InvalidRequest(
            f"{path} is too long", why=f"it has {len(value)} and may have {shape.most}", do="leave some out"
        )
    items = [read(shape.of, item, f"{path}[{index}]") for index, item in enumerate(value)]
    if shape.keys:
        seen: dict[tuple[object, ...], int] = {}
        for index, item in enumerate(items):
            key = tuple(item.get(name) for name in shape.keys)
            if key in seen:
                raise errors.InvalidRequest(
                    f"{path}[{index}] has the {' and '.join(shape.keys)} of {path}[{seen[key]}]",
                    why=", ".join(repr(part) for part in key) + " may occur once",
                    do="rename it, or put it into an application of its own",
                )
            seen[key] = index
    return items


def _record(shape: Record, value: object, path: str) -> dict[str, Any]:  # Any: JSON
    if not isinstance(value, Mapping):
        raise wrong(path or "the document", value, "it is an object with fields")
    known = {field.name: field for field in shape.fields}
    for key in value:
        if key not in known:
            raise errors.InvalidRequest(
                f"{_below(path, str(key))} is unknown",
                why="the fields here are " + ", ".join(known) if known else "there are no fields here",
                do=_meant(str(key), known),
            )
    # null is the same as nothing, as in the API server.
    given = {key: item for key, item in value.items() if item is not None}
    for field in shape.fields:
        if field.required and field.name not in given:
            raise errors.InvalidRequest(f"{_below(path, field.name)} is missing", why=field.doc, do="fill it in")
    if shape.one and len(given) != 1:
        raise errors.InvalidRequest(
            f"{path} has {len(given)} of its fields" if given else f"{path} is empty",
            why="exactly one is given: " + ", ".join(known),
            do="leave one",
        )
    found = {}
    for field in shape.fields:
        if field.name in given:
            found[field.name] = read(field.shape, given[field.name], _below(path, field.name))
        elif field.default is not None:
            found[field.name] = field.default
    for rule in shape.rules:
        if not rule.holds(found):
            raise errors.InvalidRequest(f"{path} does not fit together", why=rule.message, do="correct the object")
    return found


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _meant(name: str, known: Mapping[str, Field]) -> str:
    near = errors.near_misses(name, known)
    return "did you mean " + ", ".join(near) + "?" if near else "leave it out"


def schema(shape: Shape) -> dict[str, Any]:  # Any: JSON
    """The structural OpenAPI v3 schema."""
    made: dict[str, Any]
    match shape:
        case Text():
            made = {"type": "string"}
            if shape.choices:
                made["enum"] = list(shape.choices)
            if shape.pattern:
                made["pattern"] = shape.pattern
            if shape.shortest:
                made["minLength"] = shape.shortest
            if shape.longest is not None:
                made["maxLength"] = shape.longest
        case Number():
            made = {"type": "integer"}
            if shape.promised:
                made["format"] = f"int{shape.bits}"
            # The API server believes no format: what does not fit 32 bits is refused by numbers only.
            low = -INT32 if shape.low is None and shape.bits == 32 else shape.low
            high = INT32 - 1 if shape.high is None and shape.bits == 32 else shape.high
            if low is not None:
                made["minimum"] = low
            if high is not None:
                made["maximum"] = high
        case Flag():
            made = {"type": "boolean"}
        case Octets():
            # With a format the API server takes a list of numbers for it, which "type: string" alone refuses.
            made = {"type": "string", "format": "byte"}
        case Time():
            made = {"type": "string", "format": "date-time"}
        case Quantity() | Share():
            made = {
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "pattern": _QUANTITY,
                "x-kubernetes-int-or-string": True,
            }
            if isinstance(shape, Share):
                made |= {"pattern": _PERCENT, "minimum": 1, "maximum": INT32 - 1}
        case Foreign():
            made = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        case Anything():
            made = {"x-kubernetes-preserve-unknown-fields": True}
        case Many():
            made = {"type": "array", "items": schema(shape.of)}
            if shape.fewest:
                made["minItems"] = shape.fewest
            if shape.most is not None:
                made["maxItems"] = shape.most
            if shape.keys:
                made |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(shape.keys)}
        case Table():
            made = {"type": "object", "additionalProperties": schema(shape.of)}
        case Record():
            made = _object(shape)
    return made


def _object(shape: Record) -> dict[str, Any]:  # Any: JSON
    made: dict[str, Any] = {"type": "object"}
    if shape.fields:
        made["properties"] = {field.name: _property(field) for field in shape.fields}
    if required := [field.name for field in shape.fields if field.required]:
        made["required"] = required
    if shape.one:
        made |= {"minProperties": 1, "maxProperties": 1}
    if shape.rules:
        made["x-kubernetes-validations"] = [{"rule": rule.cel, "message": rule.message} for rule in shape.rules]
    if shape.atomic:
        made["x-kubernetes-map-type"] = "atomic"
    return made


def _property(field: Field) -> dict[str, Any]:  # Any: JSON
    made = {"description": field.doc, **schema(field.shape)}
    if field.default is not None:
        made["default"] = field.default
    return made
