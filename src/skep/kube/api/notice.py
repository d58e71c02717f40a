"""Kubernetes Events as values: what is told about an object, under which name it is counted, and how much is too much.

Pure: time is an argument. The shape is core/v1's, which ``kubectl describe`` shows. An Event's name follows from what
it says, so that the same thing told again, also by a later process, counts up one object and makes no second.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from skep.kube.api.key import Key
from skep.kube.api.merge import Object

LONGEST: Final = 1024
"""Bytes of an Event's message; the API server refuses more of events.k8s.io/v1, and kubectl shows no more."""
_LONGEST_NAME: Final = 253 - 14
"""Characters of the object's name in an Event's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The object that an Event is about, as ``involvedObject`` names it."""

    api_version: str
    kind: str
    key: Key
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is told: ``reason`` in one word in CamelCase, for machines, and a ``message`` for people."""

    about: About
    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How often it was told, and when first and last, in UTC."""

    count: int
    first: datetime
    last: datetime

    def again(self, today: datetime) -> Times:
        """Told once more."""
        return Times(count=self.count + 1, first=self.first, last=today)


def about(object: Mapping[str, Any]) -> About:  # Any: JSON
    """An object as the API server sends it, to be told about."""
    metadata = object["metadata"]
    return About(
        api_version=object["apiVersion"],
        kind=object["kind"],
        key=Key(namespace=metadata.get("namespace") or "", name=metadata["name"]),
        uid=metadata.get("uid") or "",
    )


def key(notice: Notice) -> Key:
    """Where its Event is: in the object's namespace, or in ``default`` for cluster-scoped ones, as the API server
    demands."""
    of = notice.about
    said = (of.api_version, of.kind, str(of.key), of.uid, notice.reason, notice.message, str(notice.warning))
    digest = hashlib.sha256("\0".join(said).encode()).hexdigest()[:12]
    return Key(namespace=of.key.namespace or "default", name=f"{of.key.name[:_LONGEST_NAME].rstrip('-.')}.{digest}")


def event(notice: Notice, times: Times, *, component: str, host: str) -> Object:
    """The Event that tells it for the first time. ``component`` tells it, on ``host``."""
    at, of = key(notice), notice.about
    involved = {"apiVersion": of.api_version, "kind": of.kind, "name": of.key.name, "uid": of.uid}
    if of.key.namespace:
        involved["namespace"] = of.key.namespace
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": at.name, "namespace": at.namespace},
        "involvedObject": involved,
        "reason": notice.reason,
        "message": cut(notice.message),
        "type": "Warning" if notice.warning else "Normal",
        "source": {"component": component, "host": host},
        "reportingComponent": component,
        "reportingInstance": host,
        "count": times.count,
        "firstTimestamp": time(times.first),
        "lastTimestamp": time(times.last),
    }


def counted(event: Object, times: Times) -> Object:
    """An Event that is there already, told so many times more."""
    return {**event, "count": (event.get("count") or 1) + times.count, "lastTimestamp": time(times.last)}


def cut(message: str) -> str:
    """At most ``LONGEST`` bytes of it: the beginning, and where it is longer an ellipsis."""
    if len(encoded := message.encode()) <= LONGEST:
        return message
    return encoded[: LONGEST - 3].decode(errors="ignore") + "…"


class Budget:
    """How many Events may be written about each object: ``burst`` at once, and one more each ``seconds``.

    A token bucket; the numbers are client-go's. Objects that have not been told about for so long that their bucket is
    full again are forgotten.
    """

    def __init__(self, *, burst: int = 25, seconds: float = 300.0) -> None:
        self._burst = burst
        self._seconds = seconds
        self._free_at: dict[About, float] = {}
        """When all that was written will have been earned again; in the past for a full bucket."""

    def take(self, about: About, now: float) -> bool:
        """Whether one more may be written ``now``, in seconds of a clock that does not go back."""
        full = self._burst * self._seconds
        used = max(self._free_at.get(about, now), now)
        if used + self._seconds > now + full:
            return False
        if len(self._free_at) >= 1024:
            self._free_at = {each: until for each, until in self._free_at.items() if until > now}
        self._free_at[about] = used + self._seconds
        return True


def time(when: datetime) -> str:
    """Kubernetes' Time: RFC 3339 in whole seconds of UTC."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
