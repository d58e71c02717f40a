"""One of several lists that an answer is made of: found, or not to be seen, and why not. Pure.

A person who may see a namespace only gets an answer about that, with words for what is missing, and no error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from skep import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """``objects``: what was found; ``error``: why nothing could be."""

    objects: tuple[dict[str, Any], ...] = ()  # Any: JSON
    error: errors.Denied | errors.NotFound | None = None

    @property
    def known(self) -> bool:
        """Whether the list is whole."""
        return self.error is None


def seen(look: Callable[[], Iterable[dict[str, Any] | None]]) -> Part:  # Any: JSON
    """What ``look`` finds; what may not be seen, or is of an unknown kind, is told. Other failures are raised."""
    try:
        return Part(objects=tuple(each for each in look() if each is not None))
    except (errors.Denied, errors.NotFound) as error:
        return Part(error=error)


def untold(parts: Iterable[Part]) -> tuple[str, ...]:
    """What is missing from an answer, in words, each once."""
    found = (f"{each.error.why} ({each.error.do})" for each in parts if each.error is not None)
    return tuple(dict.fromkeys(found))
