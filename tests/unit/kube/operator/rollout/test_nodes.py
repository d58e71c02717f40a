"""States become the nodes of a rollout, and its phase the condition of the application."""

from __future__ import annotations

import dataclasses
import datetime

import pytest

from skep.kube import kinds, naming, shape
from skep.kube.operator import records
from skep.kube.operator.records import NodeLabel
from skep.kube.operator.rollout import asked, nodes, numbers
from skep.kube.operator.rollout import told as rollouts
from skep.kube.operator.rollout.told import Phase, Told
from tests.unit.kube.operator.test_aggregate import EARLIER, NOW, STAMP, cluster, state

STAGED = records.application(
    {
        "metadata": {"name": "counter", "uid": "u1", "generation": 3},
        "spec": {"nodeSelector": {}, "rollout": {"order": [{"matchLabels": {"role": "web"}}]}},
        "status": {"conditions": [{"type": "Pending", "lastTransitionTime": EARLIER}]},
    }
)
ROLLED = Told(
    phase=Phase.PROGRESSING, revision="r2", previous="r1", updated=1, ready=1, total=2, failed=("a",), cause="a: no",
    message="so it goes", since=STAMP, stored_in="bpfman",
)  # fmt: skip


def test_members() -> None:
    assert STAGED.rollout is not None
    mine = {
        NodeLabel("a"): state("a", assigned="r1", observed="r1", running="r1", since=NOW),
        NodeLabel("gone"): state("gone", assigned="r1"),
        NodeLabel("b"): state("b", deleted=True),
    }
    expected = [NodeLabel("a"), NodeLabel("b"), NodeLabel("c")]
    a, b, c = nodes.members(STAGED.rollout, expected, mine, cluster("a", "b", "c", web="a", broken="c"))
    assert (a.group, a.assigned, a.observed, a.running, a.since, a.well) == (0, "r1", "r1", "r1", NOW, True)
    assert (b.group, b.there, c.there, c.ready) == (1, False, False, False)
    assert nodes.strays(expected, mine) == [NodeLabel("gone")]


@pytest.mark.parametrize(
    ("phase", "type", "becomes", "message"),
    [
        (Phase.PROGRESSING, "Success", "Pending", "rollout progressing: so it goes"),
        (Phase.PROGRESSING, "Pending", "Pending", "rollout progressing: so it goes"),
        (Phase.PAUSED, "Error", "Error", "m; rollout paused: 1 of 2 nodes have revision r2"),
        (Phase.RETURNED, "Success", "Error", "rollout returned: so it goes"),
        (Phase.RETURNED, "Error", "Error", "rollout returned: so it goes"),
        (Phase.COMPLETE, "Success", "Success", "m"),
        (Phase.COMPLETE, "Pending", "Pending", "m"),
    ],
)
def test_the_condition(phase: Phase, type: str, becomes: str, message: str) -> None:
    rolled = dataclasses.replace(ROLLED, phase=phase)
    made = nodes.overlaid(STAGED, records.Told(generation=3, type=type, message="m"), rolled, NOW)
    assert (made.type, made.message, made.rollout) == (becomes, message, rolled)
    assert made.since == (EARLIER if becomes == "Pending" else STAMP)


def test_without_nodes_there_is_nothing_to_wait_for() -> None:
    rolled = dataclasses.replace(ROLLED, total=0)
    assert nodes.overlaid(STAGED, records.Told(type="Success", message="m"), rolled, NOW).type == naming.SUCCESS


def test_a_status_is_what_the_crd_takes_and_is_read_as_it_was_written() -> None:
    document = records.Told(generation=3, type="Pending", message="m", since=STAMP, rollout=ROLLED).document()
    shape.read(kinds.CLUSTER_APPLICATION.status, document, "status")
    assert rollouts.read(document["rollout"]) == ROLLED
    assert rollouts.read(None) is None and rollouts.read({"phase": "Unheard", "revision": "r"}) is None
    empty = Told(phase=Phase.COMPLETE, revision="r")
    assert rollouts.read(empty.document()) == empty
    assert set(empty.document()) == set(ROLLED.document()), "a merge patch leaves what is left out"


def test_what_is_asked() -> None:
    made = asked.read({"minReadySeconds": 5, "paused": True, "onFailure": "Return"})
    assert (made.settle, made.paused, made.on_failure) == (datetime.timedelta(seconds=5), True, asked.OnFailure.RETURN)
    assert asked.read({}) == asked.Asked()


def test_a_rollout_that_cannot_be_read_is_an_error_of_the_application() -> None:
    made = records.application(
        {"metadata": {"name": "a", "uid": "u"}, "spec": {"nodeSelector": {}, "rollout": {"maxUnavailable": "some"}}}
    )
    assert made.nodes is None and "spec.rollout.maxUnavailable is 'some'" in made.problem


def test_phases_are_counted() -> None:
    told = dataclasses.replace(STAGED.told, rollout=ROLLED)
    (family,) = numbers.Numbers(lambda: [dataclasses.replace(STAGED, told=told), STAGED]).collect()
    assert {each.labels["phase"]: each.value for each in family.samples if each.value} == {"Progressing": 1}
    assert len(family.samples) == len(Phase)
