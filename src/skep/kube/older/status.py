"""What became of an older object, in the conditions of its own generation. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from skep import errors
from skep.kube import naming

NOT_YET_LOADED, RECONCILE_ERROR, RECONCILE_SUCCESS, DELETE_ERROR = (
    "NotYetLoaded", "ReconcileError", "ReconcileSuccess", "DeleteError",
)  # fmt: skip
"""Condition types of older objects."""
SUCCEEDED: Final = "bpfProgramReconciliation Succeeded on all nodes"
"""The message that bpfman and bpfd wrote; scripts compare with it."""
_REASONS: Final = {NOT_YET_LOADED: "ProgramsNotYetLoaded"}
"""Condition type -> reason, where that is another word."""
LONGEST: Final = 8192
"""Characters of a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An older object's condition."""

    type: str
    message: str


def told(status: Mapping[str, Any] | None, *, generation: int, deleting: bool = False) -> Told | None:  # Any: JSON
    """The condition of an older object from the status of the current one that was made of it.

    ``status`` None or {}: it was made just now. ``generation``: the current object's; a status of an earlier one says
    nothing yet. ``deleting``: the older object is being deleted; None then as long as that goes well.
    """
    found = status or {}
    first: Mapping[str, Any] = next(iter(found.get("conditions") or ()), {})
    type, message = first.get("type", ""), first.get("message", "")
    if deleting:
        return Told(type=DELETE_ERROR, message=message) if type == naming.DELETE_ERROR else None
    if not type or found.get("observedGeneration", generation) < generation:
        return Told(type=NOT_YET_LOADED, message="waiting for the operator")
    match type:
        case naming.SUCCESS:
            # Without any node it is a success too, and its message says that there is none.
            rest = "" if found.get("desired", 1) else f": {message}"
            return Told(type=RECONCILE_SUCCESS, message=SUCCEEDED + rest)
        case naming.PENDING:
            return Told(type=NOT_YET_LOADED, message=message)
        case naming.DELETE_ERROR:
            return Told(type=DELETE_ERROR, message=message)
    return Told(type=RECONCILE_ERROR, message=message)


def refused(error: errors.SkepError) -> Told:
    """The condition of an object that cannot be translated, or whose name somebody else has."""
    return Told(type=RECONCILE_ERROR, message=str(error))


def status(
    told: Told, *, before: Mapping[str, Any] | None, now: datetime.datetime
) -> dict[str, Any] | None:  # Any: JSON
    """The status to write, None if ``before`` says the same."""
    made = condition(told.type, _REASONS.get(told.type, told.type), told.message, before, now)
    return None if (before or {}).get("conditions") == [made] else {"conditions": [made]}


def condition(
    type: str, reason: str, message: str, before: Mapping[str, Any] | None, now: datetime.datetime
) -> dict[str, Any]:  # Any: JSON
    """The one condition of a status; its time is that of ``before`` as long as the type is."""
    first: Mapping[str, Any] = next(iter((before or {}).get("conditions") or ()), {})
    since = first.get("lastTransitionTime") if first.get("type") == type else None
    return {
        "type": type,
        "status": "True",
        "reason": reason,
        "message": message if len(message) <= LONGEST else message[: LONGEST - 1] + "…",
        "lastTransitionTime": since or now.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
