"""When an application's status is written: at once what kind of state it is in, now and then how far it is. Pure."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

from skep.kube.operator.records import Told

PROGRESS: Final = 1.0
"""Seconds between two statuses that differ only in how far it is: whoever watches reads no faster, and each is a write
and an event for all who watch."""
UNHEARD: Final = 10.0
"""Seconds that the watch may take to tell what was written; on a busy API server it does. Until then it is not written
again, nor told as an Event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written last: when (the loop's clock), in the place of what, and what."""

    at: float
    before: Told
    told: Told


def wait(last: Written | None, before: Told, told: Told, now: float) -> float:
    """How many seconds to wait with writing ``told`` where the watch says ``before``; 0: not at all."""
    if last is None:
        return 0.0
    # The time in it is that of looking while the watch still tells of another type.
    if last.before == before and _timeless(last.told) == _timeless(told):
        return max(0.0, last.at + UNHEARD - now)
    if _goes_on(last.told, told):
        return max(0.0, last.at + PROGRESS - now)
    return 0.0


def _goes_on(before: Told, after: Told) -> bool:
    """Whether two statuses differ only in how far it is. The phase of a rollout and what it remembers are more than
    that: whoever leads next knows them from the status alone."""
    if (before.type, before.generation) != (after.type, after.generation):
        return False
    if before.rollout is None or after.rollout is None:
        return before.rollout is after.rollout
    was = dataclasses.replace(
        before.rollout, updated=after.rollout.updated, ready=after.rollout.ready, message=after.rollout.message
    )
    return was == after.rollout


def _timeless(told: Told) -> Told:
    return dataclasses.replace(told, since="")
