"""The ``-o`` option: one answer as text, JSON, YAML, JSON lines or names.

A command makes a ``View``; ``show`` prints it. Everything in it is a function, so that only the chosen form is made.
"""

from __future__ import annotations

import enum
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import click


class Format(enum.StrEnum):
    """The forms of output. ``text`` is bpfman's name for ``table``."""

    TABLE = "table"
    TEXT = "text"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"
    NAME = "name"

    @property
    def structured(self) -> bool:
        """Whether a program reads it."""
        return self in (Format.JSON, Format.JSONL, Format.YAML)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One answer. ``items`` are the documents of a list one by one; ``names`` are "program/12"."""

    document: Callable[[], object]
    items: Callable[[], Iterable[object]]
    names: Callable[[], Iterable[str]]
    text: Callable[[bool], None]
    """Prints it for a person; the argument says whether all columns are wanted."""


def option(command: Callable[..., Any]) -> Callable[..., Any]:  # Any: click's decorators
    """``-o/--output`` for a command, handed over as ``form``."""
    return click.option(
        "-o",
        "--output",
        "form",
        default=Format.TABLE.value,
        show_default=True,
        metavar="FORMAT",
        callback=_parse,
        shell_complete=_complete,
        help=f"{', '.join(Format)}.",
    )(command)


def _parse(ctx: click.Context, parameter: click.Parameter, value: str) -> Format:
    try:
        return Format(value.lower())
    except ValueError:
        raise click.BadParameter(f"{value!r} is not one of {', '.join(Format)}", ctx, parameter) from None


def _complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [form.value for form in Format if form.value.startswith(incomplete)]


def show(view: View, form: Format) -> None:
    """Print an answer in one form."""
    match form:
        case Format.JSON:
            json(view.document())
        case Format.JSONL:
            for item in view.items():
                line(item)
        case Format.YAML:
            yaml(view.document())
        case Format.NAME:
            for name in view.names():
                print(name)
        case Format.TABLE | Format.TEXT:
            view.text(False)
        case Format.WIDE:
            view.text(True)


def json(document: object) -> None:
    """Print JSON, indented by two blanks."""
    from json import dumps

    print(dumps(document, indent=2, ensure_ascii=False))


def line(document: object) -> None:
    """Print JSON on one line, at once."""
    from json import dumps

    print(dumps(document, ensure_ascii=False, separators=(",", ":")), flush=True)


def yaml(document: object) -> None:
    """Print YAML in the order of the document."""
    import yaml as library

    dumper = getattr(library, "CSafeDumper", library.SafeDumper)
    print(library.dump(document, Dumper=dumper, sort_keys=False, allow_unicode=True), end="")


def note(text: str) -> None:
    """Tell the person something on stderr that is not the answer."""
    print(f"skep: note: {text}", file=sys.stderr)


def warnings(texts: Iterable[str]) -> None:
    """Tell the person what to know about an operation that succeeded."""
    for text in texts:
        print(f"skep: warning: {text}", file=sys.stderr)


def looks(times: int | None, interval: float) -> Iterator[int]:
    """0, 1, 2 … for whoever watches something, ``interval`` seconds apart; for ever where ``times`` is None."""
    number = 0
    while times is None or number < times:
        if number:
            time.sleep(interval)
        yield number
        number += 1
