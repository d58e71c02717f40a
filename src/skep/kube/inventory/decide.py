"""When a node's inventory is written: when it differs, and at most once in ``LEAST`` or ``URGENT`` seconds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from skep.kube.inventory import findings, status

LEAST: Final = 30.0
"""Seconds between two writes."""
URGENT: Final = 5.0
"""The same, when something else is wrong than before."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """What is written is as it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """It differs, and was written too short ago; ``seconds`` until it may be again."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """``status`` shall be written now. ``create``: there is no object yet."""

    status: status.Json
    create: bool


Decision: TypeAlias = Nothing | Wait | Write


def decide(
    written: Mapping[str, Any] | None,  # Any: JSON
    wanted: status.Json,
    *,
    today: str,
    now: float,
    last: float | None,
    least: float = LEAST,
) -> Decision:
    """What to do for a status as it should be.

    ``written``: the object as the API server has it, None for none. ``last``: when we wrote, by the clock of ``now``;
    None: never, as far as this process knows. ``today``: the time for a condition that changes, RFC 3339.
    """
    old = (written or {}).get("status") or {}
    new = status.steady(old, wanted, today)
    if written is not None and old == new:
        return Nothing()
    if _wrong(old) != _wrong(new):
        least = min(least, URGENT)
    if last is not None and now < last + least:
        return Wait(seconds=last + least - now)
    return Write(status=new, create=written is None)


def _wrong(status: Mapping[str, Any]) -> frozenset[tuple[str, ...]]:  # Any: JSON
    return frozenset(map(findings.identity, status.get("findings", ())))
