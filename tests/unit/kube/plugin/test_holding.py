"""Programs of all nodes: whose they are, which are wanted, and what they come to."""

from __future__ import annotations

from typing import Any

import pytest

from skep.kube.plugin import holding
from skep.kube.plugin.holding import By
from tests.unit.kube.plugin import objects

AGENT_POD = {"pod": {"uid": "u1", "namespace": "kube-system", "name": "cilium-x2b7q"}}
PROGRAMS = (
    objects.held(1, "count", objects.ours("ClusterBpfApplication/firewall"), "xdp eth0"),
    objects.held(2, "from_container", objects.process("cilium", 27, **AGENT_POD), "tcx ingress lxc1", type="schedcls"),
    objects.held(3, "old", {"managed": False, "pins": ["/sys/fs/bpf/a/b/c"]}, type="kprobe", memory="1Mi"),
)


@pytest.mark.parametrize(
    ("owner", "text", "kin"),
    [
        (objects.ours("BpfApplication/web/x@worker-1"), "BpfApplication/web/x", "BpfApplication/web/x"),
        (objects.ours("X/y@n", chain="xdp eth0"), "chain of X/y", "chain of X/y"),
        (objects.ours("X/y", chain="xdp eth0", application="y, z"), "chain of y, z", "chain of y, z"),
        ({"managed": True, "application": "hand"}, "hand", "hand"),
        ({"managed": True}, "skep", "skep"),
        (
            objects.process("cilium", 27, **AGENT_POD), "cilium[27] in pod kube-system/cilium-x2b7q",
            "cilium in pods of kube-system",
        ),
        (objects.process("tc", 9, unit="net.service"), "tc[9] in net.service", "tc in net.service"),
        ({"managed": False, "pins": ["/sys/fs/bpf/a/b/c"]}, "pin /sys/fs/bpf/a/b/c", "pins in /sys/fs/bpf/a"),
        ({"managed": False, "cgroups": [{"path": "/x", "unit": "u.slice"}]}, "in u.slice", "in u.slice"),
        ({"managed": False}, "", ""),
    ],
)  # fmt: skip
def test_owners(owner: dict[str, Any], text: str, kin: str) -> None:
    assert (holding.owner(owner), holding.owner(owner, kin=True)) == (text, kin)


@pytest.mark.parametrize(
    ("foreign", "type", "ids"),
    [
        (None, "", [1, 2, 3]), (True, "", [2, 3]), (False, "", [1]), (None, "xdp", [1]), (None, "tcx", [2]),
        (None, "sched_cls", [2]), (True, "xdp", []),
    ],
)  # fmt: skip
def test_what_is_wanted(foreign: bool | None, type: str, ids: list[int]) -> None:
    node = holding.read(objects.inventory("a", *PROGRAMS, left_out=7), foreign=foreign, type=type)
    assert ([each.id for each in node.programs], node.left_out) == (ids, 7)


def test_sums_over_nodes() -> None:
    nodes = [holding.read(objects.inventory(name, *PROGRAMS)) for name in ("a", "b")]
    programs = [each for node in nodes for each in node.programs]
    by_owner = {one.words: (one.nodes, one.programs, one.foreign) for one in holding.sums(programs, By.OWNER)}
    assert by_owner == {
        ("ClusterBpfApplication/firewall",): (2, 2, 0),
        ("cilium in pods of kube-system",): (2, 2, 2),
        ("pins in /sys/fs/bpf/a",): (2, 2, 2),
    }
    by_node = {one.words: (one.programs, one.memory) for one in holding.sums(programs, By.NODE)}
    assert by_node == {("a",): (3, 8192 + (1 << 20)), ("b",): (3, 8192 + (1 << 20))}
    assert holding.sums(programs, By.PROGRAM)[0].words == ("ClusterBpfApplication/firewall", "xdp", "count")
    assert holding.headline(nodes) == "6 programs on 2 nodes: 2 of skep's, 4 of others; 2.1Mi"
