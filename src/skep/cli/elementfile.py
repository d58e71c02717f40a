"""Elements of maps in files: what ``skep map dump -o json``, ``-o jsonl`` prints, read back with the line of each."""

from __future__ import annotations

import itertools
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
    key = _datum(value.get("key"), value.get("key_hex"), name, number)
    one = _datum(value.get("value"), value.get("value_hex"), name, number)
    said, raw = value.get("values"), value.get("values_hex")
    if not all(each is None or isinstance(each, list) for each in (said, raw)):
        raise _wrong(name, number, "its values are not a list")
    # Bytes that do not belong to the values beside them say nothing.
    bytes_ = raw if said is None or len(raw or ()) == len(said) else None
    values = tuple(_datum(each, its, name, number) for each, its in itertools.zip_longest(said or (), bytes_ or ()))
    if one is None and not values:
        raise _wrong(name, number, "it has no value")
    return Line(
        number=number,
        key="" if key is None else key.json or f"hex:{(key.raw or b'').hex()}",
        element=model.MapElement(key=key, value=one, values=tuple(each for each in values if each is not None)),
    )


def _datum(value: object, raw: object, name: str, number: int) -> model.Datum | None:
    """What people read, and the bytes that it was read from."""
    if value is None and raw is None:
        return None
    try:
        data = None if raw is None else bytes.fromhex(str(raw))
    except ValueError as error:
        raise _wrong(name, number, f"{str(raw)[:20]!r} are not bytes in hexadecimal") from error
    return model.Datum(json="" if value is None else json.dumps(value, ensure_ascii=False), raw=data)


def _blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _wrong(name: str, number: int, why: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(f"{name}, line {number}: this is not an element", why=why, do=_SHAPE)
