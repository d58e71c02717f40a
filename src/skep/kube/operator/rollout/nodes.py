"""States of an application -> the nodes of its rollout, and its status -> the application's. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import replace

from skep.kube import naming
from skep.kube.operator import aggregate
from skep.kube.operator.records import Application, NodeLabel, State, Told, shortened
from skep.kube.operator.rollout.asked import Asked
from skep.kube.operator.rollout.decide import Member
from skep.kube.operator.rollout.told import Phase
from skep.kube.operator.rollout.told import Told as Rolled


def members(
    asked: Asked, expected: Iterable[NodeLabel], mine: Mapping[NodeLabel, State], cluster: aggregate.Cluster
) -> list[Member]:
    """The nodes that are to have the application."""
    return [_member(asked, label, mine.get(label), cluster) for label in expected]


def strays(expected: Iterable[NodeLabel], mine: Mapping[NodeLabel, State]) -> list[NodeLabel]:
    """Nodes that are no longer selected and are assigned a revision still: they would begin with it one day."""
    return [label for label, state in mine.items() if state.assigned and label not in set(expected)]


def overlaid(application: Application, told: Told, rolled: Rolled, now: datetime.datetime) -> Told:
    """The application's status with that of its rollout: it is a success when all nodes have the newest spec."""
    type, message = told.type, told.message
    if rolled.phase is not Phase.COMPLETE and rolled.total:
        phase = f"rollout {rolled.phase.value.lower()}"
        if type == naming.ERROR and rolled.phase is not Phase.RETURNED:
            message = f"{message}; {phase}: {rolled.updated} of {rolled.total} nodes have revision {rolled.revision}"
        else:
            # After a return no node refuses any more, and yet the spec is not what runs.
            type = naming.ERROR if rolled.phase is Phase.RETURNED else naming.PENDING
            message = f"{phase}: {rolled.message}"
    before = application.told
    since = before.since if before.type == type and before.since else aggregate.stamp(now)
    return replace(told, type=type, message=shortened(message, aggregate.LONGEST), since=since, rollout=rolled)


def _member(asked: Asked, label: NodeLabel, state: State | None, cluster: aggregate.Cluster) -> Member:
    node = cluster.nodes[label]
    if state is None:
        return Member(label=label, name=node.name, group=asked.group(node.labels), there=False, ready=node.ready)
    return Member(
        label=label, name=node.name, group=asked.group(node.labels), there=not state.deleted, ready=node.ready,
        assigned=state.assigned, observed=state.observed, running=state.running,
        type=state.type, message=state.message, since=state.since,
    )  # fmt: skip
