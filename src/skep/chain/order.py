"""Which member of a chain runs first.

XDP and tc chains are sorted as bpfman does: lower priority first; at equal priority a member being attached now goes
before those already there; then by name. TCX keeps insertion order at equal priority instead, because it is the kernel
that orders and skep only says next to whom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from skep import errors

HIGHEST_PRIORITY: Final = 0  # runs first
LOWEST_PRIORITY: Final = (1 << 31) - 1  # bpfman.v1 carries an int32

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place(Generic[Key]):
    """What decides a member's position. ``key`` is the caller's own name for it; ``attached``: it was there before."""

    key: Key
    name: str
    priority: int
    attached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Before(Generic[Key]):
    """Attach in front of this live member."""

    key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class After(Generic[Key]):
    """Attach behind this live member."""

    key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """No member of ours is there: no anchor."""


def check_priority(priority: int) -> int:
    """``priority`` itself; ``InvalidRequest`` outside 0..2^31-1."""
    if HIGHEST_PRIORITY <= priority <= LOWEST_PRIORITY:
        return priority
    raise errors.InvalidRequest(
        f"priority {priority} is out of range",
        why=f"a priority is {HIGHEST_PRIORITY} (runs first) to {LOWEST_PRIORITY}",
        do="choose a priority in that range",
    )


def sort(places: Sequence[Place[Key]]) -> tuple[Place[Key], ...]:
    """The members in the order they run. Equal in everything: the order given, so that a re-run changes nothing."""
    return tuple(sorted(places, key=lambda place: (place.priority, place.attached, place.name)))


def tcx_anchor(live: Sequence[tuple[Key, int]], priority: int) -> Before[Key] | After[Key] | Alone:
    """Where a new TCX member goes among ``live`` (key, priority) in kernel order.

    Before the first live member with a strictly greater priority, else after the last: equal priorities keep the
    order in which they came.
    """
    for key, other in live:
        if other > priority:
            return Before(key=key)
    return After(key=live[-1][0]) if live else Alone()
