"""States of nodes become the status of their application: every rung of the ladder, as a table."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest

from skep.kube import naming
from skep.kube.api.key import Key
from skep.kube.operator import aggregate, records
from skep.kube.operator.records import NodeLabel, Told

NOW = datetime.datetime(2026, 1, 31, 12, 0, 30, tzinfo=datetime.UTC)
STAMP = "2026-01-31T12:00:30Z"
EARLIER = "2026-01-31T11:00:00Z"


def document(**spec: object) -> dict[str, object]:
    return {
        "metadata": {"name": "counter", "uid": "u1", "generation": 3},
        "spec": {"nodeSelector": {}, **spec},
    }


APPLICATION = records.application(document())
WEB = records.application(document(nodeSelector={"matchLabels": {"role": "web"}}))


def state(node: str, type: str = "Success", message: str = "", **changes: Any) -> records.State:
    made = records.State(
        key=Key(name=naming.state_name("counter", node)),
        uid=f"state-{node}",
        of="counter",
        owner="u1",
        node=NodeLabel(node),
        held=True,
        deleted=False,
        type=type,
        message=message,
        generation=3,
    )
    return dataclasses.replace(made, **changes)


def cluster(*names: str, running: str = "", broken: str = "", web: str = "") -> aggregate.Cluster:
    """Nodes by name; those of ``running`` (all if empty) run the agent."""
    nodes = {
        NodeLabel(name): records.Node(
            name=name, labels={"role": "web"} if name in web.split() else {}, ready=name not in broken.split()
        )
        for name in names
    }
    running_names = set(names) if not running else set(running.split()) - {"-"}
    return aggregate.Cluster(nodes=nodes, running=running_names)


CASES = {
    "all are ready": (
        APPLICATION, [state("a"), state("b")], cluster("a", "b"), (2, 2, 0), "Success", "applied on 2 nodes",
    ),
    "one has not begun": (
        APPLICATION, [state("a")], cluster("a", "b"), (2, 1, 0), "Pending", "applied on 1 of 2 nodes; waiting for b",
    ),
    "nobody has begun": (APPLICATION, [], cluster("a", "b"), (2, 0, 0), "Pending", "waiting for a, b"),
    "a state is of an older spec": (
        APPLICATION, [state("a", generation=2)], cluster("a"), (1, 0, 0), "Pending", "waiting for a",
    ),
    "an older error is not told": (
        APPLICATION, [state("a", "Error", "no", generation=2)], cluster("a"), (1, 0, 0), "Pending", "waiting for a",
    ),
    "upstream's agent tells no generation": (
        APPLICATION, [state("a", generation=None)], cluster("a"), (1, 1, 0), "Success", "applied on 1 node",
    ),
    "a state without a condition": (
        APPLICATION, [state("a", "")], cluster("a"), (1, 0, 0), "Pending", "waiting for a",
    ),
    "one failed, one waits": (
        APPLICATION, [state("a", "Error", "the verifier said no"), state("b", "Pending")], cluster("a", "b", "c"),
        (3, 0, 1), "Error", "failed on 1 of 3 nodes: a: the verifier said no; waiting for b, c",
    ),
    "the same error on many is told once": (
        APPLICATION, [state(name, "Error", "no such image") for name in "abcdefg"], cluster(*"abcdefg"),
        (7, 0, 7), "Error", "failed on 7 of 7 nodes: a, b, c, d, e and 2 more: no such image",
    ),
    "many errors": (
        APPLICATION, [state(name, "Error", f"error {name}") for name in "abcde"], cluster(*"abcde"),
        (5, 0, 5), "Error", "failed on 5 of 5 nodes: a: error a; b: error b; c: error c; and 2 other errors",
    ),
    "upstream's condition of a changed list is a failure": (
        APPLICATION, [state("a", "ProgramListChangedError")], cluster("a"), (1, 0, 1), "Error",
        "failed on 1 of 1 nodes: a: ProgramListChangedError",
    ),
    "a tainted node without a daemon does not count": (
        APPLICATION, [state("a")], cluster("a", "tainted", running="a"), (1, 1, 0), "Success", "applied on 1 node",
    ),
    "a node that has a state counts without a pod": (
        APPLICATION, [state("a"), state("plain", "Pending")], cluster("a", "plain", running="a"), (2, 1, 0), "Pending",
        "applied on 1 of 2 nodes; waiting for plain",
    ),
    "only tainted nodes are selected": (
        WEB, [], cluster("a", "b", running="a", web="b"), (0, 0, 0), "Pending",
        "no node that it selects runs the agent: b",
    ),
    "nobody runs the agent": (
        APPLICATION, [], cluster("a", running="-"), (0, 0, 0), "Pending",
        "no node runs the agent; see the Config bpfman-config and its DaemonSet",
    ),
    "no node is selected": (
        WEB, [], cluster("a"), (0, 0, 0), "Success", "no node has the labels that its nodeSelector wants",
    ),
    "no node at all": (APPLICATION, [], cluster(), (0, 0, 0), "Success",
        "no node has the labels that its nodeSelector wants",
    ),
    "others are not counted": (
        WEB, [state("a"), state("b", "Unloaded")], cluster("a", "b", web="a"), (1, 1, 0), "Success",
        "applied on 1 node",
    ),
    "what cannot be removed where it is no longer wanted is told": (
        WEB, [state("a"), state("b", "UnloadError", "busy")], cluster("a", "b", web="a"), (1, 1, 1), "Error",
        "failed on 1 of 1 nodes: b: busy",
    ),
    "a state of a vanished node is not counted": (
        APPLICATION, [state("a"), state("gone", "Error", "no")], cluster("a"), (1, 1, 0), "Success",
        "applied on 1 node",
    ),
    "a state of an earlier application of this name": (
        APPLICATION, [state("a", owner="u0")], cluster("a"), (1, 0, 0), "Pending", "waiting for a",
    ),
    "unreadable selector": (
        records.application(document(nodeSelector={"matchExpressions": [{"key": "a", "operator": "In"}]})), [],
        cluster("a"), (0, 0, 0), "Error",
        "spec.nodeSelector.matchExpressions[0] does not fit together: In and NotIn compare with one or more values, "
        "Exists and DoesNotExist with none (correct the object)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("application", "states", "nodes", "counts", "type", "message"), CASES.values(), ids=CASES.keys()
)
def test_a_status(application, states, nodes, counts, type, message) -> None:
    verdict = aggregate.verdict(application, states, nodes, NOW)
    told = verdict.told
    assert (told.desired, told.ready, told.failed) == counts
    assert (told.type, told.message) == (type, message)
    assert told.generation == 3 and told.since == STAMP
    assert not verdict.gone and verdict.again is None


def test_the_time_moves_with_the_type_only() -> None:
    before = Told(generation=2, desired=9, type="Pending", message="waiting for z", since=EARLIER)
    application = dataclasses.replace(APPLICATION, told=before)
    waiting = aggregate.verdict(application, [], cluster("a"), NOW).told
    assert (waiting.since, waiting.message) == (EARLIER, "waiting for a")
    assert aggregate.verdict(application, [state("a")], cluster("a"), NOW).told.since == STAMP


def test_a_message_is_bounded() -> None:
    names = [f"node-{number:04}" for number in range(1000)]
    states = [state(name, "Error", f"{name} " + "x" * 590) for name in names]
    told = aggregate.verdict(APPLICATION, states, cluster(*names), NOW).told
    assert told.failed == 1000
    assert len(told.message) <= aggregate.LONGEST


def deleted(seconds_ago: int) -> records.Application:
    return dataclasses.replace(APPLICATION, deleted=NOW - datetime.timedelta(seconds=seconds_ago))


DELETIONS = {
    "nothing is left": (5, [state("a", held=False)], cluster("a"), "Pending", "being deleted", 0, None),
    "nodes are at it": (
        5, [state("a"), state("b", held=False)], cluster("a", "b"), "Pending", "being deleted; waiting for a", 0, 55,
    ),
    "an error of loading is not one of deleting": (
        5, [state("a", "Error", "no such image")], cluster("a"), "Pending", "being deleted; waiting for a", 0, 55,
    ),
    "a node reports that it cannot": (
        5, [state("a", "UnloadError", "busy"), state("b")], cluster("a", "b"), "DeleteError",
        "being deleted; cannot be removed from a: busy; waiting for b", 1, 55,
    ),
    "a node that is not ready says nothing": (
        60, [state("a")], cluster("a", broken="a"), "DeleteError",
        "being deleted; no answer from a (the node is not ready)", 1, None,
    ),
    "a node without agent says nothing": (
        61, [state("a"), state("b")], cluster("a", "b", running="b"), "DeleteError",
        "being deleted; no answer from a (no agent runs there), b", 2, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("ago", "states", "nodes", "type", "message", "failed", "again"), DELETIONS.values(), ids=DELETIONS.keys()
)
def test_a_deletion(ago, states, nodes, type, message, failed, again) -> None:
    verdict = aggregate.verdict(deleted(ago), states, nodes, NOW)
    assert (verdict.told.type, verdict.told.message, verdict.told.failed) == (type, message, failed)
    assert verdict.gone is (not any(each.held for each in states))
    assert verdict.again == (None if again is None else datetime.timedelta(seconds=again))


def test_of_two_states_of_a_node_the_held_one_counts() -> None:
    old = state("a", held=True)
    for order in ([old, state("a", held=False)], [state("a", held=False), old]):
        assert not aggregate.verdict(deleted(1), order, cluster("a"), NOW).gone
