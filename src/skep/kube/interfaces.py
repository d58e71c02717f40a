"""Which of the interfaces that are there an ``interfaceSelector`` means. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from skep.kube import expressions, resources


def selected(wanted: resources.Interfaces, there: Sequence[str], primary: Sequence[str]) -> tuple[str, ...]:
    """The names that are meant, each once; () if nothing fits. ``primary``: of the default routes, the best first.

    A name without wildcards is meant whether it is there or not.
    """
    chosen: list[str] = []
    match wanted:
        case resources.Named():
            for word in wanted.names:
                chosen += fnmatch.filter(there, word) if is_pattern(word) else [word]
        case resources.Primary():
            chosen = list(primary[:1])
        case resources.Discovered():
            chosen = [name for name in there if name not in wanted.exclude and _allowed(name, wanted)]
    return tuple(dict.fromkeys(chosen))


def is_pattern(word: str) -> bool:
    """Whether a word stands for names that it matches."""
    return any(letter in word for letter in "*?[")


def _allowed(name: str, wanted: resources.Discovered) -> bool:
    for word in wanted.allowed:
        if not expressions.is_one(word):
            if word == name:
                return True
        elif expressions.parse(word).search(name):
            return True
    return not wanted.allowed
