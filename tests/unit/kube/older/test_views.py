"""What a node reports, as the BpfProgram objects of the older generations."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import pytest

from skep.kube import naming, shape
from skep.kube.older import kinds, translate, views
from tests.unit.kube.older.samples import BPFD, SEED, older, parsed

NOW = datetime.datetime(2026, 5, 4, 3, 2, 1, tzinfo=datetime.UTC)
ETH0 = {
    "interfaceName": "eth0", "priority": 0, "proceedOn": ["Pass", "DispatcherReturn"], "shouldAttach": True,
    "uuid": "bdeac6d3-4128-464e-9161-6010684eca27", "linkId": 4161687115, "linkStatus": "Attached",
}  # fmt: skip
ETH1 = {**ETH0, "interfaceName": "eth1", "uuid": "4c7a6e1f-0b7e-4f5e-9f0a-2f1f0e8f7c11"}
PINS = {"xdp_stats_map": "/run/bpfman/fs/maps/6247/xdp_stats_map"}


def state(
    *programs: dict[str, Any], load: str = "LoadSuccess", message: str = "fine", node: str = "n1"
) -> dict[str, Any]:
    """A state object, as far as it matters."""
    condition = {"type": "Success", "message": message}
    return {"status": {"node": node, "appLoadStatus": load, "conditions": [condition], "programs": list(programs)}}


def program(*links: dict[str, Any], type: str = "XDP", **more: Any) -> dict[str, Any]:
    return {"name": "pass", "type": type, "programId": 6247, "maps": PINS, type.lower(): {"links": list(links)}, **more}


def owned(document: dict[str, Any]) -> dict[str, Any]:
    """An older object as the API server has it, which can be translated."""
    translate.translate(document)
    return {**document, "metadata": {**document["metadata"], "uid": "u-1"}}


def made(owner: Mapping[str, Any], of: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """The views, which have to fit their CRD."""
    kind = kinds.of(owner)
    assert kind is not None
    found = views.views(kind, owner, of, NOW)
    for each in found:
        assert (each["apiVersion"], each["kind"]) == (kind.view.api_version, kind.view.name)
        assert kind.view.spec is not None
        shape.read(kind.view.spec, each["spec"], "spec")
        shape.read(kind.view.status, each["status"], "status")
        for value in each["metadata"]["labels"].values():
            assert len(value) <= naming.LONGEST_LABEL
    return found


def told(view: Mapping[str, Any]) -> tuple[str, str, str]:
    (condition,) = view["status"]["conditions"]
    return condition["type"], condition["reason"], condition["message"]


def test_the_sample_of_bpfmans_instructions() -> None:
    (view,) = made(owned(parsed(SEED)), state(program(ETH0)))
    name = view["metadata"].pop("name")
    assert name.startswith("xdp-pass-all-nodes-") and len(name) == len("xdp-pass-all-nodes-") + 8
    assert view["metadata"] == {
        "labels": {
            "bpfman.io/ownedByProgram": "xdp-pass-all-nodes",
            "bpfman.io/appProgramId": "",
            "kubernetes.io/hostname": "n1",
        },
        "annotations": {
            "bpfman.io/ProgramId": "6247",
            "bpfman.io/bpfProgramAttachPoint": "eth0",
            "bpfman.io.xdpprogramcontroller/interface": "eth0",
        },
        "ownerReferences": [
            {
                "apiVersion": "bpfman.io/v1alpha1", "kind": "XdpProgram", "name": "xdp-pass-all-nodes", "uid": "u-1",
                "controller": True, "blockOwnerDeletion": True,
            }
        ],
    }  # fmt: skip
    assert view["spec"] == {"type": "xdp", "maps": PINS}
    assert told(view) == ("Loaded", "bpfmanLoaded", "Successfully loaded bpfProgram")


def test_one_for_each_attach_point_always_of_the_same_name() -> None:
    owner = owned(parsed(SEED))
    both = [each["metadata"]["name"] for each in made(owner, state(program(ETH0, ETH1)))]
    assert len(set(both)) == 2
    assert [each["metadata"]["name"] for each in made(owner, state(program(ETH1, ETH0)))] == both[::-1]
    other = [each["metadata"]["name"] for each in made(owner, state(program(ETH0, ETH1), node="n2"))]
    assert not set(both) & set(other)


def test_the_sample_of_bpfd() -> None:
    (view,) = made(owned(parsed(BPFD)), state(program(ETH0)))
    assert view["metadata"]["name"] == "xdp-pass-all-nodes-n1"
    assert view["metadata"]["labels"]["owningConfig"] == "xdp-pass-all-nodes"
    assert view["spec"] == {
        "node": "n1",
        "type": "XDP",
        "programs": {"bdeac6d3-4128-464e-9161-6010684eca27": {"attachpoint": {"interface": "eth0"}, "maps": PINS}},
    }
    assert told(view) == ("Loaded", "bpfdLoaded", "Successfully loaded BpfProgram")


@pytest.mark.parametrize(
    ("type", "point", "link", "shown"),
    [
        (
            "TC",
            {"networkmultiattach": {"interface": "eth0", "priority": 0, "direction": "EGRESS"}},
            {"interfaceName": "eth0", "direction": "Egress", "priority": 0, "proceedOn": ["Pipe", "DispatcherReturn"]},
            {"networkmultiattach": {"interfaceselector": {"interface": "eth0"}, "priority": 0, "direction": "EGRESS",
                                    "proceedon": ["DISPATCHER_RETURN"]}},
        ),
        (
            "TRACEPOINT",
            {"singleattach": {"name": "sched/sched_switch"}},
            {"name": "sched/sched_switch"},
            {"singleattach": {"name": "sched/sched_switch"}},
        ),
    ],
)  # fmt: skip
def test_the_other_shapes_of_bpfd(type: str, point: Any, link: dict[str, Any], shown: Any) -> None:
    owner = owned(older("BpfProgramConfig", {"name": "pass", "type": type, "attachpoint": point}))
    (view,) = made(owner, state(program({**link, "uuid": "a", "linkStatus": "NotAttached"}, type=type)))
    assert view["spec"]["programs"] == {"a": {"attachpoint": shown, "maps": PINS}}
    assert told(view)[:2] == ("NotLoaded", "bpfdNotLoaded")


AT = {"interfaceselector": {"interfaces": ["eth0"]}, "priority": 1}
XDP = owned(older("XdpProgram", AT))
IN_PODS = owned(older("XdpProgram", {**AT, "containers": {"pods": {}}}))


@pytest.mark.parametrize(
    ("owner", "of", "verdict"),
    [
        (XDP, state(program({**ETH0, "linkStatus": "NotAttached"})), ("NotLoaded", "bpfmanNotLoaded", "fine")),
        (
            XDP,
            state(program({**ETH0, "linkStatus": "AttachError", "error": "no such interface"})),
            ("NotLoaded", "bpfmanNotLoaded", "no such interface"),
        ),
        (
            XDP,
            state(program({**ETH0, "linkStatus": "DetachError", "error": "busy"})),
            ("NotUnLoaded", "bpfmanNotUnloaded", "busy"),
        ),
        (XDP, state(program(ETH0), load="UnloadError", message="busy"), ("NotUnLoaded", "bpfmanNotUnloaded", "busy")),
        (XDP, state(program(ETH0), load="UnloadSuccess", message=""), ("Unloaded", "bpfmanUnloaded", "unloaded")),
        (
            XDP,
            state(program(programId=None), load="NotLoaded", message=naming.WAITING_FOR_MAPS + ": it fits none"),
            ("MapOwnerNotFound", "mapOwnerNotFound", naming.WAITING_FOR_MAPS + ": it fits none"),
        ),
        (XDP, state(program(programId=None), load="LoadError"), ("NotLoaded", "bpfmanNotLoaded", "fine")),
        (XDP, state(program()), ("Loaded", "bpfmanLoaded", "Successfully loaded bpfProgram; fine")),
        (
            IN_PODS,
            state(program()),
            ("NoContainersOnNode", "noContainersOnNode", "There are no matching containers on the node"),
        ),
    ],
)
def test_what_a_condition_says(owner: Any, of: Any, verdict: tuple[str, str, str]) -> None:
    (view,) = made(owner, of)
    assert told(view) == verdict
    is_noted = "bpfman.io.xdpprogramcontroller/nocontainersonnode" in view["metadata"]["annotations"]
    assert is_noted is (verdict[0] == "NoContainersOnNode")


def test_nothing_is_told_of_a_node_that_has_said_nothing() -> None:
    assert made(XDP, {"metadata": {}}) == ()
    assert made(XDP, state(load="NotSelected")) == ()


def noted(kind: str, spec: dict[str, Any], found: dict[str, Any], **about: Any) -> dict[str, str]:
    (view,) = made(owned(older(kind, spec, **about)), state(found))
    return {
        key: value for key, value in view["metadata"]["annotations"].items() if key != "bpfman.io/ProgramId"
    }  # fmt: skip


def test_each_type_notes_its_place() -> None:
    link = {"uuid": "a", "linkStatus": "Attached"}
    assert noted(
        "TcProgram", {**AT, "direction": "ingress"},
        program({**link, "interfaceName": "eth0", "direction": "Ingress"}, type="TC"),
    ) == {
        "bpfman.io/bpfProgramAttachPoint": "eth0-ingress", "bpfman.io.tcprogramcontroller/interface": "eth0",
    }  # fmt: skip
    assert noted(
        "KprobeProgram", {"func_name": "f", "retprobe": True}, program({**link, "function": "f"}, type="KRetProbe")
    ) == {"bpfman.io/bpfProgramAttachPoint": "f", "bpfman.io.kprobeprogramcontroller/function": "f"}
    assert noted(
        "UprobeNsProgram", {"target": "libc", "func_name": "f", "containers": {"pods": {}}},
        program({**link, "target": "libc", "function": "f", "containerPid": 71}, type="UProbe"), namespace="web",
    ) == {
        "bpfman.io/bpfProgramAttachPoint": "libc-f-71",
        "bpfman.io.uprobensprogramcontroller/target": "libc",
        "bpfman.io.uprobensprogramcontroller/containerpid": "71",
    }  # fmt: skip
    assert noted(
        "FentryProgram", {"func_name": "f"}, program(type="FEntry", fentry={"function": "f", "links": [link]})
    ) == {"bpfman.io/bpfProgramAttachPoint": "f", "bpfman.io.fentryprogramcontroller/function": "f"}
    assert noted("TracepointProgram", {"names": ["a/b"]}, program({**link, "name": "a/b"}, type="TracePoint")) == {
        "bpfman.io/bpfProgramAttachPoint": "a/b",
        "bpfman.io.tracepointprogramcontroller/tracepoint": "a/b",
    }


def test_an_applications_programs_are_told_apart() -> None:
    pair = [
        {"type": "XDP", "xdp": {"bpffunctionname": "_a_", **AT}},
        {"type": "Kprobe", "kprobe": {"bpffunctionname": "b", "func_name": "f"}},
    ]
    owner = owned(older("BpfApplication", {"programs": pair}))
    found = made(
        owner,
        state({**program(ETH0), "name": "_a_"}, {**program({**ETH1, "function": "f"}, type="KProbe"), "name": "b"}),
    )
    assert [each["metadata"]["labels"]["bpfman.io/appProgramId"] for each in found] == ["xdp-_a", "kprobe-b"]
    assert [each["spec"]["type"] for each in found] == ["xdp", "kprobe"]
    assert found[0]["metadata"]["ownerReferences"][0]["kind"] == "BpfApplication"


def test_what_is_in_a_namespace_owns_nothing_of_the_cluster() -> None:
    one = {"type": "XDP", "xdp": {"bpffunctionname": "a", **AT}}
    owner = owned(older("BpfApplication", {"programs": [one]}, namespace="bpfman"))
    of = {"kind": "ClusterBpfApplication", "name": "old", "uid": "u-2", "controller": True}
    (view,) = made(owner, {**state(program(ETH0)), "metadata": {"ownerReferences": [of]}})
    assert view["metadata"]["ownerReferences"] == [of] and "namespace" not in view["metadata"]
    (view,) = made(owner, state(program(ETH0)))
    assert view["metadata"]["ownerReferences"] == []


def test_times_stay_as_long_as_the_type_does() -> None:
    (view,) = made(XDP, state(program(ETH0)))
    before = {"status": {"conditions": [{"type": "Loaded", "lastTransitionTime": "2023-11-07T19:16:42Z"}]}}
    (kept,) = views.settled(view, before)["status"]["conditions"]
    assert kept["lastTransitionTime"] == "2023-11-07T19:16:42Z"
    before["status"]["conditions"][0]["type"] = "NotLoaded"
    assert views.settled(view, before) == view
    assert views.settled(view, None) == view
