"""What ``status.rollout`` tells: written by the operator, and all that it remembers of a rollout. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NODES = 10
"""Failed nodes that are told."""


class Phase(enum.StrEnum):
    """How far a rollout is. ``RETURNING`` and ``RETURNED`` stay until the spec changes: the revision is known as bad.
    ``COMPLETE`` stays as well: from then on nodes that join get the revision at once."""

    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    RETURNING = "Returning"
    RETURNED = "Returned"
    COMPLETE = "Complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A rollout's status. ``revision``: the spec's; ``previous``: the newest before it that was good on all nodes.

    ``cause``: what the first node said that refused the revision; with ``failed`` kept after the return.
    """

    phase: Phase
    revision: str
    previous: str = ""
    updated: int = 0
    ready: int = 0
    total: int = 0
    failed: tuple[str, ...] = ()
    cause: str = ""
    message: str = ""
    since: str = ""
    stored_in: str = ""

    def document(self) -> dict[str, Any]:  # Any: JSON
        """As the API server stores it."""
        # All of it, also what is empty: a merge patch leaves what is left out.
        return {
            "phase": str(self.phase),
            "revision": self.revision,
            "previous": self.previous,
            "updated": self.updated,
            "ready": self.ready,
            "total": self.total,
            "failed": list(self.failed),
            "cause": self.cause,
            "message": self.message,
            "since": self.since,
            "storedIn": self.stored_in,
        }


def read(status: Mapping[str, Any] | None) -> Told | None:  # Any: JSON
    """``status.rollout``, whoever wrote it; None if it says nothing."""
    given = status or {}
    if given.get("phase") not in tuple(Phase) or not given.get("revision"):
        return None
    return Told(
        phase=Phase(given["phase"]),
        revision=given["revision"],
        previous=given.get("previous", ""),
        updated=given.get("updated", 0),
        ready=given.get("ready", 0),
        total=given.get("total", 0),
        failed=tuple(given.get("failed") or ()),
        cause=given.get("cause", ""),
        message=given.get("message", ""),
        since=given.get("since", ""),
        stored_in=given.get("storedIn", ""),
    )
