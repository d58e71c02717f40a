"""Elements of maps in files: what ``skep map dump -o json``, ``-o jsonl`` prints, read back with the line of each."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from skep import errors, model

STDIN: Final = "-"
_LIST: Final = re.compile(r'\s*(?:\{\s*"entries"\s*:\s*)?\[')
"""A list of elements, or the document that holds one."""
_BLANK: Final = re.compile(r"\s*")
_NEXT: Final = re.compile(r"\s*,\s*")
_DECODER: Final = json.JSONDecoder()
_SHAPE: Final = 'a line is {"key": …, "value": …}; see what skep map dump -o jsonl prints'


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An element and where it stands in its file. ``key`` is its text, for messages."""

    number: int
    key: str
    element: model.MapElement


def read(path: str) -> str:
    """A file's text, or standard input's. NotFound, Denied, InvalidRequest for what is not text."""
    try:
        if path == STDIN:
            return sys.stdin.buffer.read().decode()
        with open(path, "rb") as file:
            return file.read().decode()
    except UnicodeDecodeError as error:
        raise errors.InvalidRequest(f"{path} is not text", why=str(error), do="give JSON in UTF-8") from error
    except FileNotFoundError as error:
        raise errors.NotFound(f"cannot read {path}", why="there is no such file", do="check the path") from error
    except PermissionError as error:
        raise errors.Denied(f"cannot read {path}", why="permission denied", do="check the file's mode") from error
    except OSError as error:
        raise errors.InvalidRequest(f"cannot read {path}", why=error.strerror or "", do="name a file") from error


def lines(text: str, name: str) -> Iterator[Line]:
    """The elements of a text one after the other; ``name`` is the file's. InvalidRequest with the line."""
    listed = _LIST.match(text)
    at = _blank(text, listed.end() if listed else 0)
    number, counted = 1, 0
    while at < len(text) and not (listed and text[at] == "]"):
        number += text.count("\n", counted, at)
        counted = at
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise _wrong(name, number, str(error)) from error
        yield _line(value, name, number)
        at = _blank(text, end)
        if listed and at < len(text) and text[at] != "]":
            comma = _NEXT.match(text, at)
            if comma is None:
                raise _wrong(name, number, "a comma is missing behind it")
            at = comma.end()
    if listed and at >= len(text):
        raise _wrong(name, number, "the list does not end: the file is cut off")


def _line(value: object, name: str, number: int) -> Line:
    if not isinstance(value, dict):
        raise _wrong(name, number, f"it is {json.dumps(value)[:40]}")
    several = value.get("values", value.get("values_hex"))
    if several is not None and not isinstance(several, list):
        raise _wrong(name, number, "its values are not a list")
    key = _datum(value, "key")
    one = _datum(value, "value")
    if one is None and not several:
        raise _wrong(name, number, "it has no value")
    bytes_only = "values" not in value
    element = model.MapElement(
        key=key,
        value=one,
        values=tuple(model.Datum(json=json.dumps(f"hex:{each}" if bytes_only else each)) for each in several or ()),
    )
    return Line(number=number, key="" if key is None else key.json, element=element)


def _datum(value: dict[str, object], field: str) -> model.Datum | None:
    """What a person may have changed first, then the bytes."""
    if field in value:
        return model.Datum(json=json.dumps(value[field], ensure_ascii=False))
    raw = value.get(f"{field}_hex")
    return None if raw is None else model.Datum(json=json.dumps(f"hex:{raw}"))


def _blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _wrong(name: str, number: int, why: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(f"{name}, line {number}: this is not an element", why=why, do=_SHAPE)
