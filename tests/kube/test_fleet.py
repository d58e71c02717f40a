"""A small fleet under a real operator: how much is written, what is touched, and that nothing stays when nodes go.

Numbers of writes are the API server's own; no time is compared with anything. The large one is ``bench/fleet.py``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from skep.kube import naming
from skep.kube.operator import aggregate, pace
from tests.kube import operator_rig
from tests.kube.fleet import agents, counts, rig
from tests.kube.fleet.rig import APPLICATIONS, STATES
from tests.kube.plane import ControlPlane, until

NODES, CHURN = 60, 10
NAMES = tuple(f"fleet-{number}" for number in range(5))
NAMESPACE = "fleet"
OLD, NEW = "localhost/fleet:1", "localhost/fleet:2"


def wanted(name: str, url: str) -> dict[str, object]:
    return rig.application(name, url, nodeSelector={"matchLabels": {agents.LABEL: "fleet"}})


@pytest.fixture(scope="module")
def fleet(cleared: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Fleet]:
    """All applications on all nodes."""
    plane = cleared
    operator_rig.prepare(plane)
    plane.kubectl("create", "namespace", NAMESPACE)
    directory = tmp_path_factory.mktemp("fleet")
    plane.apply(operator_rig.config(NAMESPACE))
    try:
        with (
            rig.fleet(plane, directory, "fleet", NAMESPACE, NODES) as made,
            operator_rig.operator(plane, tmp_path_factory.mktemp("operator"), "--log", "info"),
        ):
            made.ask("begin")
            yield made
            plane.kubectl("delete", APPLICATIONS, *NAMES, "--ignore-not-found", "--timeout=60s")
    finally:
        plane.kubectl("delete", "config", naming.CONFIG, "--wait=false")
        release = '{"metadata":{"finalizers":null}}'
        plane.kubectl("patch", "config", naming.CONFIG, "--type=merge", "-p", release, check=False)
        until("all is collected", lambda: not plane.list("daemonset"))


class Step:
    """What the API server was asked while something was done."""

    def __init__(self, fleet: rig.Fleet, do: Callable[[], object]) -> None:
        before, began = counts.counted(fleet.plane)[0], time.monotonic()
        do()
        self.came = counts.counted(fleet.plane)[0] - before
        self.seconds = time.monotonic() - began

    @property
    def told(self) -> int:
        """Writes of applications by the operator, without those that a test makes."""
        return self.came.writes(APPLICATIONS)

    def bound(self, of: int) -> float:
        """Statuses of so many applications at most: when it begins and when it ends, a word of each kind, and in
        between how far it is, now and then. Theirs may be one of each for a finalizer, one for what a test writes."""
        return of * (self.seconds / pace.PROGRESS + 6)


def test_two_writes_make_a_state(fleet: rig.Fleet) -> None:
    def roll_out() -> None:
        fleet.plane.apply(*(wanted(name, OLD) for name in NAMES))
        fleet.applied(*NAMES, on=NODES)

    step = Step(fleet, roll_out)
    states = NODES * len(NAMES)
    assert len(fleet.states()) == states
    assert step.came.writes(STATES) == 2 * states, step.came.of(STATES)
    assert step.told <= step.bound(len(NAMES)), step.came.of(APPLICATIONS)


def test_a_change_touches_only_its_own(fleet: rig.Fleet) -> None:
    before = fleet.states(f"{naming.OWNED}!={NAMES[0]}")

    def change() -> None:
        fleet.plane.apply(wanted(NAMES[0], NEW))
        fleet.applied(NAMES[0], on=NODES)

    step = Step(fleet, change)
    assert fleet.states(f"{naming.OWNED}!={NAMES[0]}") == before and len(before) == NODES * (len(NAMES) - 1)
    assert step.came.writes(STATES) == NODES, step.came.of(STATES)
    assert step.told <= step.bound(1), step.came.of(APPLICATIONS)


def test_half_of_the_nodes_refuse(fleet: rig.Fleet) -> None:
    half = fleet.members[: NODES // 2]
    name = NAMES[1]

    def refuse() -> None:
        fleet.ask("refuse", nodes=half, applications=[name])
        fleet.plane.apply(wanted(name, NEW))
        until("it fails on half", lambda: fleet.told().get(name) == f"Error {NODES - len(half)}/{NODES}")
        # Each has tried a second time by then, and has had nothing new to say.
        turns = fleet.ask("counts")["turns"]
        until("they try again", lambda: fleet.ask("counts")["turns"] >= turns + len(half), 30)

    step = Step(fleet, refuse)
    status = fleet.plane.get(APPLICATIONS, name)["status"]
    message = status["conditions"][0]["message"]
    assert status["failed"] == len(half)
    assert message.startswith(
        f"failed on {len(half)} of {NODES} nodes: {', '.join(half[:5])} and {len(half) - 5} more: "
    )
    assert "the kernel refused the program" in message and "what was applied before runs on" in message
    assert message.count("refused") == 1 and len(message) <= aggregate.LONGEST
    assert step.came.writes(STATES) == NODES, step.came.of(STATES)
    assert step.told <= step.bound(1), step.came.of(APPLICATIONS)
    fleet.ask("refuse", nodes=half, applications=[])
    fleet.applied(name, on=NODES)


def test_nodes_come_and_go(fleet: rig.Fleet) -> None:
    leaving = fleet.members[:CHURN]
    labels = f"{naming.HOSTNAME} in ({','.join(leaving)})"
    assert len(fleet.states(labels)) == CHURN * len(NAMES)

    def churn() -> None:
        for number in range(0, CHURN, 5):
            fleet.leave(leaving[number : number + 5])
            fleet.join(5)
        fleet.ready()
        until("their states are gone", lambda: not fleet.states(labels), 60)
        fleet.applied(*NAMES, on=NODES)

    step = Step(fleet, churn)
    states = CHURN * len(NAMES)
    assert len(fleet.states()) == NODES * len(NAMES)
    # Those that go are let go and deleted, those that come are made and told.
    assert step.came.writes(STATES) <= 4 * states, step.came.of(STATES)


def test_a_node_that_flaps_writes_nothing(fleet: rig.Fleet) -> None:
    """kwok makes it ready each time that it is not."""
    name = fleet.members[0]
    path = "{.status.conditions[?(@.type=='Ready')].status}"
    off = json.dumps({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Flaps"}]}})

    def flap() -> None:
        for _ in range(20):
            fleet.plane.kubectl("patch", "node", name, "--subresource=status", "--type=strategic", "-p", off)
            until("it is ready", lambda: fleet.plane.kubectl("get", "node", name, "-o", f"jsonpath={path}") == "True")

    step = Step(fleet, flap)
    assert step.came.writes(STATES) == 0, step.came.of(STATES)
    assert step.told == 0, step.came.of(APPLICATIONS)


def test_a_removal_is_two_writes_a_state(fleet: rig.Fleet) -> None:
    def remove() -> None:
        fleet.plane.kubectl("delete", APPLICATIONS, NAMES[2])
        until("its states are gone", lambda: not fleet.states(f"{naming.OWNED}={NAMES[2]}"), 60)

    step = Step(fleet, remove)
    assert step.came.writes(STATES) <= 2 * NODES, step.came.of(STATES)
