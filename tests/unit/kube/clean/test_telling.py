"""What cleaning a cluster says that it waits for."""

from __future__ import annotations

from typing import Any

from skep.kube.clean import telling


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

    assert telling.loaded([inventory("n1", 0), inventory("gone", 1)], ("gone",)) == []
    assert telling.loaded([inventory("n1", 1)], ()) == ["n1 has count"]


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
    assert telling.cleaning(daemons, pods, ("gone",)) == [
        "n2", "n3 (no such image)", "n4 (skep: error: the node is not clean)",
    ]  # fmt: skip
    assert telling.cleaning(daemons, pods[:1], ()) == []
    daemons["status"] |= {"desiredNumberScheduled": 2, "currentNumberScheduled": 1}
    assert telling.cleaning(daemons, pods[:1], ()) == ["1 without a pod"]
    assert telling.cleaning({"metadata": {"generation": 1}}, [], ()), "nobody has looked at it yet"


def test_not_more_are_named_than_anybody_reads() -> None:
    assert telling.some(["a", "b"]) == "a, b"
    assert telling.some([str(number) for number in range(9)]) == "0, 1, 2, 3, 4, and 4 more"
