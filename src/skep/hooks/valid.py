"""Checks that attachments share: each returns the value or raises ``InvalidRequest`` with range and remedy."""

from __future__ import annotations

from collections.abc import Mapping

from skep import errors, model
from skep.hooks import hook


def priority(value: int) -> int:
    """A place in an order: 0 to 2**31 - 1, smaller first."""
    if not 0 <= value <= hook.MAX_PRIORITY:
        raise errors.InvalidRequest(
            f"priority {value} is out of range",
            why=f"priorities go from 0 (first) to {hook.MAX_PRIORITY}",
            do="choose one in that range",
        )
    return value


def verdicts(kind: str, known: Mapping[str, int], codes: tuple[int, ...]) -> tuple[int, ...]:
    """Verdict codes of ``kind`` programs, sorted and each once."""
    for code in codes:
        if code not in known.values():
            raise errors.InvalidRequest(
                f"{code} is not {_article(kind)} verdict",
                why="verdicts are " + ", ".join(f"{name} {number}" for name, number in known.items()),
                do="choose among these",
            )
    return tuple(sorted(set(codes)))


def parse_verdicts(kind: str, known: Mapping[str, int], text: str) -> tuple[int, ...]:
    """Verdicts by name or code, separated by commas: "pass,drop"."""
    codes = []
    for word in filter(None, (part.strip().lower() for part in text.split(","))):
        if word in known:
            codes.append(known[word])
        elif word.isascii() and word.removeprefix("-").isdigit():
            codes.append(int(word))
        else:
            raise errors.InvalidRequest(
                f"{word!r} is not {_article(kind)} verdict",
                why="verdicts are " + ", ".join(known),
                do="separate them by commas",
            )
    return verdicts(kind, known, tuple(codes))


def _article(kind: str) -> str:
    return f"an {kind}" if kind == "XDP" else f"a {kind}"


def text(what: str, value: str) -> str:
    """A name that must not be empty."""
    if not value or "\0" in value:
        raise errors.InvalidRequest(
            f"{what} is empty" if not value else f"{what} contains a NUL character", do="give a value"
        )
    return value


def kernel_name(what: str, value: str) -> str:
    """The name of something in the kernel: letters, digits, '_' and '.' ("vfs_read.isra.0")."""
    if not value or not all(letter.isascii() and (letter.isalnum() or letter in "_.$") for letter in value):
        raise errors.InvalidRequest(
            f"{what} {value!r} is not a kernel symbol's name",
            why="they have letters, digits, '_' and '.'",
            do="see /proc/kallsyms and the events of tracefs",
        )
    return value


def some(what: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """At least one name, none of them empty."""
    if not values:
        raise errors.InvalidRequest(f"{what} is missing", do="name at least one")
    for value in values:
        text(what, value)
    return values


def path(what: str, value: str) -> str:
    """An absolute path."""
    text(what, value)
    if not value.startswith("/"):
        raise errors.InvalidRequest(f"{what} {value!r} is not an absolute path", do="write it from the root")
    return value


def netns(value: str | None) -> str | None:
    """A network namespace: an absolute path, a name of ``ip netns``, or "pid:123"; None for skep's own."""
    if value is not None and "/" in text("the network namespace", value):
        path("the network namespace", value)
    return value


def interface(value: model.InterfaceRef) -> model.InterfaceRef:
    """An interface by whatever words, and its namespace."""
    text("the interface's name", value.name)
    netns(value.netns)
    return value


def natural(what: str, value: int, limit: int) -> int:
    """A whole number from 0 to ``limit``."""
    if not 0 <= value <= limit:
        raise errors.InvalidRequest(
            f"{what} {value} is out of range", why=f"it goes from 0 to {limit}", do="give a number in that range"
        )
    return value


def pid(what: str, value: int | None) -> int | None:
    """A process id (1 to 2**31 - 1), or None."""
    if value is not None and not 1 <= value < 2**31:
        raise errors.InvalidRequest(
            f"{what} {value} is not a process id", why="process ids are positive", do="see `ps -e`"
        )
    return value


def parse_text(value: str) -> str:
    """Text as it is."""
    return value


def parse_int(value: str) -> int:
    """A whole number, decimal or with 0x, 0o, 0b."""
    try:
        return int(value, 0)
    except ValueError:
        pass
    try:
        return int(value, 10)
    except ValueError as error:
        raise errors.InvalidRequest(f"{value!r} is not a whole number", do="give digits") from error


def parse_bool(value: str) -> bool:
    """ "yes" or "no"."""
    return choice("the answer", value.lower(), ("yes", "no")) == "yes"


def parse_words(value: str) -> tuple[str, ...]:
    """Words separated by commas."""
    return tuple(word for part in value.split(",") if (word := part.strip()))


def parse_ints(value: str) -> tuple[int, ...]:
    """Whole numbers separated by commas; see ``parse_int``."""
    return tuple(parse_int(word) for word in parse_words(value))


def choice(what: str, value: str, allowed: tuple[str, ...]) -> str:
    """One of a few words."""
    if value not in allowed:
        raise errors.InvalidRequest(
            f"{what} {value!r} is not known", why="it is one of " + ", ".join(allowed), do="choose one of these"
        )
    return value
