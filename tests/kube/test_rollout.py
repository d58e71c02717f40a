"""Staged rollouts: on real nodes under traffic, and with thirty agents that are played, half of which refuse."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skep.kube import naming
from tests.kube import nodes, rollout_rig
from tests.kube import operator_rig as rig
from tests.kube.plane import ControlPlane, until
from tests.kube.rollout_rig import Fleet

FLOOD = """
import signal, socket, sys, time
sent, going = 0, True
def stop(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, stop)
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
    out.bind((sys.argv[1], 0))
    while going:
        out.send(b"\\xff" * 6 + b"\\x02" + b"\\0" * 5 + b"\\x88\\xb5" + b"\\0" * 50)
        sent += 1
        time.sleep(0.001)
print(sent)
"""


def rolled(plane: ControlPlane, document: dict[str, Any]) -> dict[str, Any]:
    """status.rollout as it is now."""
    found: dict[str, Any] = rig.seen(plane, document).get("status", {}).get("rollout", {})
    return found


def becomes(plane: ControlPlane, document: dict[str, Any], phase: str, words: str = "") -> dict[str, Any]:
    """status.rollout as soon as it is in a phase, about the spec as it was written last."""

    def look() -> dict[str, Any]:
        now = rig.seen(plane, document)
        told: dict[str, Any] = now["status"]["rollout"]
        assert now["status"]["observedGeneration"] == now["metadata"]["generation"], now["status"]
        assert told["phase"] == phase and words in told["message"], told
        return told

    return until(f"a rollout is {phase}", look, 60)


@contextlib.contextmanager
def flood(node: nodes.Node) -> Iterator[list[int]]:
    """Packets arrive at ``near`` all the time; afterwards how many is in the list."""
    command = [*node.network.enter, sys.executable, "-c", FLOOD, node.network.far]
    sending = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    told: list[int] = []
    try:
        yield told
        sending.send_signal(signal.SIGTERM)
        told.append(int(sending.communicate(timeout=30)[0]))
    finally:
        sending.kill()
        sending.wait()


def test_from_node_to_node_under_traffic(plane: ControlPlane, tmp_path: Path) -> None:
    rig.prepare(plane)
    with contextlib.ExitStack() as held:
        held.enter_context(rig.operator(plane, tmp_path))
        first, second, third = (
            held.enter_context(nodes.node(plane, tmp_path, rollout="real", canary=canary))
            for canary in ("no", "no", "yes")
        )
        # The canary is first by its label, the others follow by name.
        order = [third, first, second]
        names = [each.name for each in order]
        rollout_rig.heartbeat(plane, *names)
        urls = {n: first.image(tmp_path, "pair", f"VERSION={n}", tag=f"v{n}") for n in (1, 2, 3)}
        urls[4] = first.image(tmp_path, "pair", "BROKEN", tag="v4")

        def version(number: int, *interfaces: str, **rollout: Any) -> dict[str, Any]:
            links = [{"interfaceSelector": {"interfaces": ["near", *interfaces]}}]
            # The second is the one that the verifier refuses.
            programs = ("first", "second") if number == 4 else ("first",)
            return nodes.application(
                "staged", urls[number],
                programs=[{"name": name, "type": "XDP", "xdp": {"links": links}} for name in programs],
                nodeSelector={"matchLabels": {"rollout": "real"}},
                rollout={"order": [{"matchLabels": {"canary": "yes"}}], "minReadySeconds": 1, **rollout},
            )  # fmt: skip

        app = version(1)
        plane.apply(app)
        held.callback(nodes.gone, *order)
        held.callback(plane.kubectl, "delete", "clusterbpfapplication", "staged", "--wait=false")
        one = becomes(plane, app, "Complete", "3 of 3 nodes have revision")
        before = third.counted()
        with flood(third) as sent:
            plane.apply(version(2))
            turns = [_turns(plane, names)]
            until("it is complete", lambda: _followed(plane, app, names, turns, one["revision"]), 60)
            two = becomes(plane, app, "Complete")
            assert [each for each in turns if each[0]] and two["previous"] == one["revision"]
            for order_seen, changing in turns:
                assert order_seen in ([], names[:1], names[:2], names), "in order"
                assert changing <= 1, "one at a time"

            # An interface that the second in the order has not: it refuses, and the third keeps what it has.
            for each in (third, second):
                _ip(each, "link", "add", "extra", "type", "veth", "peer", "name", "extra-peer")
            rollout_rig.heartbeat(plane, *names)
            plane.apply(version(3, "extra"))
            three = becomes(plane, app, "Paused", "no interface 'extra'")
            assert (three["failed"], three["updated"]) == ([first.name], 2), "it has the code, and not all links"
            rig.wait_for(plane, app, "Error", "rollout paused: 2 of 3 nodes have revision")
            assert second.state("staged")["revision"] == two["revision"]
            assert len(second.links()) == 1 and second.condition("staged")[0] == "Success"
            _ip(first, "link", "add", "extra", "type", "veth", "peer", "name", "extra-peer")
            three = becomes(plane, app, "Complete", "3 of 3")

            # The verifier refuses it: all are as they were.
            rollout_rig.heartbeat(plane, *names)
            plane.apply(version(4, onFailure="Return"))
            four = becomes(plane, app, "Returned", f"all nodes have {three['revision']} again")
            assert four["failed"] == [third.name] and "invalid access to packet" in four["cause"]
            rig.wait_for(plane, app, "Error", "rollout returned")
            for each in order:
                assert each.state("staged")["revision"] == three["revision"]
                assert each.condition("staged")[0] == "Success" and len(each.links()) == 2
            # An agent that begins anew knows only what is stored: it follows an interface that comes and goes with it.
            third.kill()
            _ip(third, "link", "del", "extra")
            third.start()
            third.becomes("staged", "Error", "no interface 'extra'")
            _ip(third, "link", "add", "extra", "type", "veth", "peer", "name", "extra-peer")
            third.becomes("staged", "Success", "1 program loaded, 2 links attached")
            assert third.state("staged")["revision"] == three["revision"]
            # And where it is stored no longer, all stays as it is.
            third.kill()
            name = naming.revision_name("staged", three["revision"])
            plane.kubectl("delete", "controllerrevision", "-n", naming.NAMESPACE, name)
            third.start()
            third.becomes("staged", "Pending", f"keeps what it has: revision {three['revision']} cannot be had")
            assert len(third.links()) == 2
            assert becomes(plane, app, "Returned")["revision"] == four["revision"], "and no node is given the other"
        assert third.counted() - before == sent[0] > 1000, "no packet was lost"
        events = {each["reason"] for each in plane.list("events") if each["involvedObject"]["name"] == "staged"}
        assert {"RolloutStarted", "RolloutComplete", "RolloutPaused", "RolloutResumed", "RolloutReturned"} <= events


def _ip(node: nodes.Node, *words: str) -> None:
    subprocess.run(["ip", "-n", node.network.name, *words], check=True)


def _turns(plane: ControlPlane, names: list[str]) -> tuple[list[str], int]:
    """The nodes that are assigned the newest revision, in their order, and how many of them do not run it yet."""
    found = {
        each["status"]["node"]: (each["metadata"].get("annotations", {}).get(naming.REVISION), each["status"])
        for each in plane.list("clusterbpfapplicationstates", labels=f"{naming.OWNED}=staged")
    }
    target = plane.get("clusterbpfapplication", "staged").get("status", {}).get("rollout", {}).get("revision")
    begun = [name for name in names if found[name][0] == target]
    return begun, sum(found[name][1].get("observedRevision") != target for name in begun)


def _followed(
    plane: ControlPlane, app: dict[str, Any], names: list[str], turns: list[tuple[list[str], int]], old: str
) -> bool:
    told = rolled(plane, app)
    if told["revision"] == old:
        return False
    turns.append(_turns(plane, names))
    return bool(told["phase"] == "Complete")


def test_thirty_nodes_of_which_half_refuse(plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    rig.prepare(plane)
    names = [f"fleet-{number:02}" for number in range(30)]
    fleet = Fleet(namespace, "many", names)

    def version(tag: str, **rollout: Any) -> dict[str, Any]:
        code = {"image": {"url": f"localhost/bytecode:{tag}"}}
        nodes = {"matchLabels": {"fleet": namespace}}
        asked = {"maxUnavailable": "20%", **rollout}
        return rig.application("many", namespace, byteCode=code, nodeSelector=nodes, rollout=asked)

    app = version("v1")
    with fleet.playing(plane):
        with rig.operator(plane, tmp_path):
            plane.apply(app)
            one = becomes(plane, app, "Complete", "30 of 30")["revision"]
            assert (fleet.running(), fleet.stored()) == ({one: 30}, [one])

            fleet.refusing = set(names[1::2])
            plane.apply(version("v2", onFailure="Return"))
            two = becomes(plane, app, "Returned", "the verifier said no")
            # An agent that had begun with the other just before runs it for a moment.
            until("all have the first again", lambda: (fleet.running(), fleet.assigned()) == ({one: 30}, {one}))
            assert two["previous"] == one and set(two["failed"]) <= fleet.refusing and len(two["failed"]) <= 6

            fleet.refusing = set()
            plane.apply(version("v3", minReadySeconds=1))
            until("it is under way", lambda: 12 <= rolled(plane, app).get("updated", 0) < 30)
        # Another takes over where the first left off; two nodes are gone, and two are no longer selected.
        fleet.vanish(*names[-2:])
        for each in names[:2]:
            plane.kubectl("label", "node", each, "fleet-")
        with rig.operator(plane, tmp_path):
            three = becomes(plane, app, "Complete", "26 of 26")["revision"]
            assert fleet.most <= 6, "a fifth of thirty"
            until("who is not selected is assigned nothing", lambda: fleet.assigned() == {three, ""})
            assert set(fleet.stored()) >= {one, three}

            for tag in ("v4", "v5"):
                plane.apply(version(tag, maxUnavailable="100%"))
                becomes(plane, app, "Complete", "26 of 26")
            until("three are kept", lambda: len(fleet.stored()) == 3)

            plane.kubectl("patch", "bpfapplication", "many", "-n", namespace, "--type=json", "-p",
                          '[{"op": "remove", "path": "/spec/rollout"}]')  # fmt: skip
            until("nothing is left of it", lambda: rolled(plane, app) == {} and fleet.assigned() == {""})
            until("no revision is stored", lambda: fleet.stored() == [])

            # Back again, and deleted in the middle.
            plane.apply(version("v6", minReadySeconds=3600))
            until("it is under way", lambda: rolled(plane, app).get("updated", 0) > 0)
            began = time.monotonic()
            plane.kubectl("delete", "bpfapplication", "many", "-n", namespace, "--wait=false")
            until("it is gone", lambda: not rig.seen(plane, app))
            assert time.monotonic() - began < 20 and fleet.stored() == []


def test_an_operator_without_the_role_says_so(plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    """Somebody has upgraded the operator, and not its roles: it goes on once they are there."""
    rig.prepare(plane)
    binding = ("rolebinding", "bpfman-revisions-rolebinding", "-n", naming.NAMESPACE)
    app = rig.application("denied", namespace, nodeSelector={"matchLabels": {"no": "node"}}, rollout={})
    plane.kubectl("delete", *binding)
    try:
        with rig.operator(plane, tmp_path):
            plane.apply(app)

            def told() -> bool:
                events = [each for each in plane.list("events", namespace=namespace) if each["type"] == "Warning"]
                return any(each["reason"] == "OperatorDenied" and "controllerrevisions" in each["message"].lower()
                           for each in events)  # fmt: skip

            until("an Event says so", told)
            rig.prepare(plane)
            until("it goes on", lambda: rolled(plane, app).get("revision"))
            plane.kubectl("delete", "bpfapplication", "denied", "-n", namespace)
    finally:
        rig.prepare(plane)


@pytest.mark.parametrize(
    ("rollout", "words"),
    [
        ({"maxUnavailable": 0}, "spec.rollout.maxUnavailable"),
        ({"maxUnavailable": "0%"}, "spec.rollout.maxUnavailable"),
        ({"maxUnavailable": "half"}, "spec.rollout.maxUnavailable"),
        ({"onFailure": "Stop"}, 'supported values: "Pause", "Return"'),
        ({"minReadySeconds": -1}, "spec.rollout.minReadySeconds"),
        ({"order": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}, "In and NotIn compare with"),
    ],
)
def test_what_is_no_rollout_is_refused(plane: ControlPlane, rollout: dict[str, Any], words: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        plane.apply(rig.application("refused", rollout=rollout))
    assert words.lower() in str(refused.value.stderr).lower()
