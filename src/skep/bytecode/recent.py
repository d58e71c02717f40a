"""Remembers what was last made of a few small byte strings: the same object is often loaded many times.

Bounded by count and by size, because a parsed object takes several times the room of its bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, TypeVar

OBJECTS: Final = 8
"""Results to keep of functions that make much of their bytes: a whole object, its types."""
PROGRAMS: Final = 256
"""The same for what is little, of one program: several long chains' members."""
LARGEST: Final = 64 * 1024
"""Bytes; what is larger is made anew each time."""

P = ParamSpec("P")
R = TypeVar("R")


def recent(
    kept: int,
) -> Callable[[Callable[Concatenate[bytes, P], R]], Callable[Concatenate[bytes, P], R]]:
    """Decorate a function that shall remember its last ``kept`` results.

    It must be pure, its arguments hashable and its results immutable. What it raises is not remembered.
    """

    def decorate(make: Callable[Concatenate[bytes, P], R]) -> Callable[Concatenate[bytes, P], R]:
        remembered = functools.lru_cache(maxsize=kept)(make)

        @functools.wraps(make)
        def made(data: bytes, /, *args: P.args, **kwargs: P.kwargs) -> R:
            if len(data) > LARGEST:
                return make(data, *args, **kwargs)
            return remembered(data, *args, **kwargs)  # type: ignore[arg-type]  # lru_cache takes only what is hashable

        return made

    return decorate
