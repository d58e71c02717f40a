"""JSON of strangers, read with limits and without surprises, and written so that the same value gives the same bytes.

Pure. Every failure is a ``BadObject``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from skep import errors

DEEPEST: Final = 32
"""Arrays and objects inside of each other; an image's documents need six."""


def read(data: bytes, most: int) -> dict[str, Any]:  # Any: JSON
    """The object that ``data`` is. Refused: more than ``most`` bytes, a name given twice, NaN, deep nesting."""
    if len(data) > most:
        raise bad(f"it has {len(data)} bytes, and {most} are allowed")
    try:
        top = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise bad("it is nested too deeply") from None
    except ValueError as error:  # also UnicodeDecodeError, JSONDecodeError
        raise bad(f"it is not JSON: {str(error)[:120]}") from None
    if not isinstance(top, dict):
        raise bad("it is not a JSON object")
    if _depth(top) > DEEPEST:
        raise bad("it is nested too deeply")
    return top


def write(fields: Mapping[str, Any]) -> bytes:
    """JSON without spaces, in the order given."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def text(fields: Mapping[str, Any], name: str) -> str:
    """A string, "" when it is missing or null."""
    found = fields.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise bad(f"{name} is not text")
    return found


def array(fields: Mapping[str, Any], name: str) -> list[Any]:
    """An array, empty when it is missing or null."""
    found = fields.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise bad(f"{name} is not an array")
    return found


def object(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object, empty when it is missing or null."""
    found = fields.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise bad(f"{name} is not an object")
    return found


def strings(fields: Mapping[str, Any], name: str) -> dict[str, str]:
    """An object whose values are strings, empty when it is missing or null."""
    found = object(fields, name)
    if not all(isinstance(each, str) for each in found.values()):
        raise bad(f"{name} has a value that is not text")
    return found


def bad(why: str) -> errors.BadObject:
    """The error of this module."""
    return errors.BadObject("a document of the image cannot be read", why=why, do="build and push the image again")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name is given twice")  # readers differ in which one they take
    return fields


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _depth(top: dict[str, Any]) -> int:
    deepest = 0
    waiting: list[tuple[Any, int]] = [(top, 1)]
    while waiting:
        one, depth = waiting.pop()
        deepest = max(deepest, depth)
        if depth > DEEPEST:
            break
        inner = one.values() if isinstance(one, dict) else one
        waiting += [(each, depth + 1) for each in inner if isinstance(each, (dict, list))]
    return deepest
