"""Who holds a Lease (coordination.k8s.io/v1), until when, and what a holder writes into it. Pure: time is an argument.

As in client-go, nobody's clock is compared with another's: a lease is over when its record has not changed for as long
as it lasts, by the clock of whoever looks. Both kinds of leader, upstream's operator and ours, keep to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from skep.kube.api.merge import Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Seconds: how long a lease lasts without renewal, after how long without one the holder stops, and how often it
    renews (and others look). The defaults are controller-runtime's."""

    lasts: float = 15.0
    gives_up: float = 10.0
    every: float = 2.0

    def __post_init__(self) -> None:
        if not self.lasts > self.gives_up > self.every > 0:
            raise ValueError("a holder has to renew before it gives up, and give up before the lease is over")


def holder(spec: Mapping[str, Any]) -> str:  # Any: JSON
    """Who holds it; "" if nobody does."""
    return spec.get("holderIdentity") or ""


def is_free(spec: Mapping[str, Any], *, me: str, since: float, now: float) -> bool:  # Any: JSON
    """Whether ``me`` may take it: it is nobody's, or mine, or has stayed as it is since ``since`` for too long."""
    return holder(spec) in ("", me) or now >= since + (spec.get("leaseDurationSeconds") or 0)


def taken(spec: Mapping[str, Any], *, me: str, terms: Terms, today: datetime) -> Object:  # Any: JSON
    """The record with which ``me`` takes or renews it. ``today`` is in UTC."""
    new = {
        **spec,
        "holderIdentity": me,
        # Whole seconds, and never less than we count on.
        "leaseDurationSeconds": int(-(-terms.lasts // 1)),
        "renewTime": micro_time(today),
    }
    if holder(spec) != me:
        new["acquireTime"] = micro_time(today)
        new["leaseTransitions"] = (spec.get("leaseTransitions") or 0) + (1 if spec else 0)
    return new


def released(spec: Mapping[str, Any], *, today: datetime) -> Object:  # Any: JSON
    """The record of a lease that its holder has given back: anybody may take it at once."""
    return {**spec, "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": micro_time(today)}


def micro_time(today: datetime) -> str:
    """Kubernetes' MicroTime: RFC 3339 in UTC with exactly six digits of a second."""
    return today.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
