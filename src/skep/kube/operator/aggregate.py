"""States of an application on its nodes -> its status. Pure.

Counted are the nodes that its selector takes and that run the agent, or are meant to: where nobody will ever report,
waiting would never end. One condition, whose type is the state; its message names nodes and the first errors, and is
bounded.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from skep.kube import naming
from skep.kube.operator.records import Application, Node, NodeLabel, State, Told, listed, shortened

SILENT = datetime.timedelta(seconds=60)
"""How long a node may take to undo a deleted application before its silence is an error."""
ERRORS = 3
"""Different errors that a message tells."""
LONGEST = 2000
"""Characters of a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The nodes by the label that stands for their names, and the names of those that run the agent or are meant to."""

    nodes: Mapping[NodeLabel, Node]
    running: AbstractSet[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The status as it ought to be. ``gone``: deleted, and no node has anything of it. ``again``: look then anew."""

    told: Told
    gone: bool = False
    again: datetime.timedelta | None = None


class _Sight(enum.Enum):
    WAITING = enum.auto()
    READY = enum.auto()
    FAILED = enum.auto()


def verdict(application: Application, states: Iterable[State], cluster: Cluster, now: datetime.datetime) -> Verdict:
    """What to tell about an application. ``states``: those with its name; another's of the same name are left out."""
    mine = own(application, states)
    if application.deleted is not None:
        return _deleting(application, application.deleted, mine, cluster, now)
    if application.nodes is None:
        return Verdict(told=_told(application, naming.ERROR, application.problem, now))
    selected = _selected(application, cluster)
    expected = expects(application, mine, cluster)
    seen = {label: _sight(mine.get(label), application.generation) for label in expected}
    ready = [label for label in expected if seen[label] is _Sight.READY]
    waiting = [label for label in expected if seen[label] is _Sight.WAITING]
    failed = [label for label in expected if seen[label] is _Sight.FAILED]
    # Where it is no longer wanted nothing is expected, but what could not be removed there is told.
    failed += [
        label
        for label, state in mine.items()
        if label in cluster.nodes and label not in selected and state.type in (naming.UNLOAD_ERROR, naming.ERROR)
    ]
    type, message = _words(application, mine, cluster, selected, expected, ready, waiting, failed)
    return Verdict(
        told=_told(application, type, message, now, desired=len(expected), ready=len(ready), failed=len(failed))
    )


def own(application: Application, states: Iterable[State]) -> dict[NodeLabel, State]:
    """Of the states with its name those of this application, by node."""
    # Upstream's agents name states by chance, so a node may have two for a while: what is held counts.
    ordered = sorted(states, key=lambda state: (state.held, state.owner == application.uid))
    return {state.node: state for state in ordered if state.owner in (application.uid, "")}


def expects(application: Application, mine: Mapping[NodeLabel, State], cluster: Cluster) -> list[NodeLabel]:
    """The nodes that are to have it and can be expected to say so."""
    selected = _selected(application, cluster)
    return [label for label, node in selected.items() if node.name in cluster.running or label in mine]


def _selected(application: Application, cluster: Cluster) -> dict[NodeLabel, Node]:
    nodes = application.nodes
    if nodes is None:
        return {}
    return {label: node for label, node in cluster.nodes.items() if nodes.selects(node.labels)}


def _words(
    application: Application,
    mine: Mapping[NodeLabel, State],
    cluster: Cluster,
    selected: Mapping[NodeLabel, Node],
    expected: list[NodeLabel],
    ready: list[NodeLabel],
    waiting: list[NodeLabel],
    failed: list[NodeLabel],
) -> tuple[str, str]:
    """The condition's type and message."""
    if failed:
        also = f"; waiting for {_names(waiting, cluster)}" if waiting else ""
        of = f"failed on {len(failed)} of {len(expected)} nodes" if expected else f"failed on {_nodes(len(failed))}"
        return naming.ERROR, f"{of}: {_errors(failed, mine, cluster)}{also}"
    if not cluster.nodes or not selected:
        return naming.SUCCESS, "no node has the labels that its nodeSelector wants"
    if not cluster.running and not expected:
        return naming.PENDING, "no node runs the agent; see the Config bpfman-config and its DaemonSet"
    if not expected:
        return naming.PENDING, f"no node that it selects runs the agent: {_names(list(selected), cluster)}"
    if waiting:
        done = f"applied on {len(ready)} of {len(expected)} nodes; " if ready else ""
        return naming.PENDING, f"{done}waiting for {_names(waiting, cluster)}"
    return naming.SUCCESS, f"applied on {_nodes(len(ready))}"


def _deleting(
    application: Application,
    deleted: datetime.datetime,
    mine: Mapping[NodeLabel, State],
    cluster: Cluster,
    now: datetime.datetime,
) -> Verdict:
    """A deleted application is kept until no agent has a finalizer on a state of it.

    Nodes are given some time before their silence counts, so that a deletion which goes well shows no error.
    """
    left = sorted(label for label, state in mine.items() if state.held)
    if not left:
        return Verdict(told=_told(application, naming.PENDING, "being deleted", now), gone=True)
    refused = [label for label in left if mine[label].type == naming.UNLOAD_ERROR]
    rest = [label for label in left if label not in refused]
    patience = deleted + SILENT - now
    late = rest if patience <= datetime.timedelta() else []
    sentences = []
    if refused:
        sentences.append(f"cannot be removed from {_errors(refused, mine, cluster)}")
    if late:
        sentences.append("no answer from " + listed([_silence(label, cluster) for label in late]))
    elif rest:
        sentences.append(f"waiting for {_names(rest, cluster)}")
    type = naming.DELETE_ERROR if refused or late else naming.PENDING
    told = _told(application, type, "being deleted; " + "; ".join(sentences), now, failed=len(refused) + len(late))
    return Verdict(told=told, again=None if late or not rest else patience)


def _silence(label: NodeLabel, cluster: Cluster) -> str:
    """A node that does not answer, with the likely reason."""
    node = cluster.nodes.get(label)
    if node is None:
        return f"{label} (there is no such node)"
    if node.name not in cluster.running:
        return f"{node.name} (no agent runs there)"
    return node.name if node.ready else f"{node.name} (the node is not ready)"


def _sight(state: State | None, generation: int) -> _Sight:
    if state is None or (state.generation is not None and state.generation < generation):
        return _Sight.WAITING
    match state.type:
        case "" | naming.PENDING | naming.UNLOADED:
            return _Sight.WAITING
        case naming.SUCCESS:
            return _Sight.READY
    return _Sight.FAILED


def _errors(labels: list[NodeLabel], mine: Mapping[NodeLabel, State], cluster: Cluster) -> str:
    """The errors, each with the nodes that have it, the most frequent first."""
    nodes: dict[str, list[NodeLabel]] = {}
    for label in labels:
        nodes.setdefault(mine[label].message or mine[label].type, []).append(label)
    ordered = sorted(nodes.items(), key=lambda each: (-len(each[1]), _names(each[1], cluster)))
    told = [f"{_names(where, cluster)}: {message}" for message, where in ordered[:ERRORS]]
    more = len(ordered) - ERRORS
    return "; ".join(told) + (f"; and {more} other errors" if more > 0 else "")


def _names(labels: list[NodeLabel], cluster: Cluster) -> str:
    return listed(sorted(cluster.nodes[label].name if label in cluster.nodes else label for label in labels))


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _told(
    application: Application,
    type: str,
    message: str,
    now: datetime.datetime,
    *,
    desired: int = 0,
    ready: int = 0,
    failed: int = 0,
) -> Told:
    before = application.told
    since = before.since if before.type == type and before.since else stamp(now)
    return Told(
        generation=application.generation,
        desired=desired,
        ready=ready,
        failed=failed,
        type=type,
        message=shortened(message, LONGEST),
        since=since,
    )


def stamp(now: datetime.datetime) -> str:
    """A time as Kubernetes writes it: RFC 3339, UTC, whole seconds."""
    return now.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
