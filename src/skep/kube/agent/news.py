"""What of a change is worth an Event on the application. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from skep.kube import naming
from skep.kube.agent import sight
from skep.kube.agent.outcome import Outcome, shortened

LONGEST = 1000
"""Characters of an Event's note (events.k8s.io/v1 takes 1024)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One Event. ``warning``: of type Warning, else Normal."""

    reason: str
    note: str
    warning: bool = False


def news(
    came: Outcome, before: Mapping[str, Any], after: Mapping[str, Any] | None, *, node: str, pods: tuple[sight.Pod, ...]
) -> Iterator[News]:  # Any: JSON
    """What happened between two statuses of a state; ``after`` None: nothing that it tells of."""
    if came.renewed and came.application is not None:
        yield _recreated(came.application.name, node, pods)
    if after is None:
        return
    if came.kept:
        return  # the operator tells of rollouts, and not once for each node
    old, new = _condition(before), _condition(after)
    if (old.get("type"), old.get("message")) == (new["type"], new["message"]):
        return
    reason = _REASONS.get((new["type"], after["appLoadStatus"])) or _REASONS[new["type"], ""]
    if (old.get("type"), before.get("appLoadStatus")) == (new["type"], after["appLoadStatus"]) and not _bad(new):
        # Links come and go with pods; only what went wrong is told again when it goes wrong otherwise.
        return
    yield News(reason=reason, note=shortened(f"node {node}: {new['message']}", LONGEST), warning=_bad(new))


_REASONS = {
    (naming.SUCCESS, ""): "Attached",
    (naming.PENDING, ""): "Waiting",
    (naming.ERROR, "LoadError"): "LoadFailed",
    (naming.ERROR, ""): "AttachFailed",
    (naming.UNLOADED, "NotSelected"): "NotSelected",
    (naming.UNLOADED, ""): "Unloaded",
    (naming.UNLOAD_ERROR, ""): "UnloadFailed",
}
"""Condition and appLoadStatus -> the Event's reason."""


def _condition(status: Mapping[str, Any]) -> Mapping[str, Any]:  # Any: JSON
    return next(iter(status.get("conditions") or ()), {})


def _bad(condition: Mapping[str, Any]) -> bool:  # Any: JSON
    return condition["type"] in (naming.ERROR, naming.UNLOAD_ERROR)


def _recreated(application: str, node: str, pods: tuple[sight.Pod, ...]) -> News:
    affected = sorted(f"{pod} (volume {name})" for pod in pods for name, of in pod.volumes.items() if of == application)
    whom = f"; these pods still have the old maps until they are made anew: {', '.join(affected)}" if affected else ""
    return News(
        reason="MapsRecreated",
        note=shortened(f"node {node}: programs were loaded anew, and their maps with them{whom}", LONGEST),
        warning=bool(affected),
    )
