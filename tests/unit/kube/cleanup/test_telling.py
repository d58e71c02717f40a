"""Which kinds a cleanup deletes, and what it says that it waits for."""

from __future__ import annotations

from typing import Any

import pytest

from skep.kube.cleanup import telling

LEAVING = {"name": "a", "namespace": "ns", "deletionTimestamp": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("kind", "deleted", "current"),
    [
        ("ClusterBpfApplication", True, True),
        ("BpfApplication", True, True),
        ("BpfNsApplication", True, False),
        ("XdpProgram", True, False),
        ("UprobeNsProgram", True, False),
        ("BpfProgramConfig", True, False),
        ("BpfProgram", False, False),
        ("BpfNsProgram", False, False),
        ("BpfApplicationState", False, False),
        ("ClusterBpfApplicationState", False, False),
        ("NodeBpfInventory", False, False),
        ("Config", False, False),
    ],
)
def test_what_is_deleted(kind: str, deleted: bool, current: bool) -> None:
    assert telling.makes_programs_run(kind) is deleted
    assert telling.is_current(kind) is current


def test_what_keeps_applications() -> None:
    waiting = {"status": {"conditions": [{"type": "Pending", "message": "being deleted; waiting for node-2"}]}}
    left: list[dict[str, Any]] = [
        {"kind": "BpfApplication", "metadata": LEAVING, **waiting},
        {"kind": "XdpProgram", "metadata": {**LEAVING, "namespace": None, "name": "b"}},
        {"kind": "XdpProgram", "metadata": {"name": "c"}},
    ]
    assert telling.applications(left) == (
        "waiting for BpfApplication/ns/a (being deleted; waiting for node-2), "
        "XdpProgram/b (the operator has not let go of it), XdpProgram/c (not deleted yet)"
    )
    assert telling.applications(left * 3).endswith(" and 4 more")
    assert telling.applications([]) == ""


def pod(name: str, node: str, **rest: Any) -> dict[str, Any]:
    volumes = [{"name": "maps", "csi": {"driver": "csi.bpfman.io"}}, {"name": "other", "emptyDir": {}}]
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": {"nodeName": node, "volumes": volumes}, **rest}


def test_pods_that_have_maps_mounted() -> None:
    other = {"metadata": {"name": "d", "namespace": "ns"}, "spec": {"volumes": [{"name": "x", "csi": {"driver": "y"}}]}}
    pods = [pod("a", "n1"), pod("b", "n2"), pod("c", "n1", status={"phase": "Succeeded"}), other]
    assert telling.mounting(pods, ("n2",)) == ["ns/a"]


def test_programs_that_no_application_has() -> None:
    def inventory(node: str, managed: int) -> dict[str, Any]:
        programs = [{"name": "count", "owner": {"managed": True}}, {"name": "other", "owner": {"managed": False}}]
        return {"metadata": {"name": node}, "status": {"counts": {"managed": managed}, "programs": programs}}

    assert telling.loaded([inventory("n1", 0), inventory("gone", 1)], ("gone",)) == ""
    assert telling.loaded([inventory("n1", 1)], ()) == "programs that no application has: 1 on n1 (count)"


def test_nodes_that_are_not_clean() -> None:
    def cleaning(node: str, *, ready: bool = False, **state: Any) -> dict[str, Any]:
        status: dict[str, Any] = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
        return {"spec": {"nodeName": node}, "status": {**status, "initContainerStatuses": [state]}}

    daemons = {"metadata": {"generation": 1}, "status": {"observedGeneration": 1}}
    failed = {"terminated": {"exitCode": 3, "message": "skep: error: the node is not clean\n"}}
    pods = [
        cleaning("n1", ready=True),
        cleaning("n2", state={"running": {}}),
        cleaning("n3", state={"waiting": {"reason": "ErrImagePull", "message": "no such image"}}),
        cleaning("n4", state={"waiting": {"message": "back-off"}}, lastState=failed),
        cleaning("gone"),
    ]
    assert telling.cleaning(daemons, pods, ("gone",)) == (
        "waiting for nodes to be cleaned: n2, n3 (no such image), n4 (skep: error: the node is not clean)"
    )
    assert telling.cleaning(daemons, pods[:1], ()) == ""
    daemons["status"] |= {"desiredNumberScheduled": 2, "currentNumberScheduled": 1}
    assert telling.cleaning(daemons, pods[:1], ()) == "waiting for nodes to be cleaned: 1 more"
    assert "controller" in telling.cleaning({"metadata": {"generation": 1}}, [], ())
