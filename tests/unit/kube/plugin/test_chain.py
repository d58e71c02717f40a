"""What runs on an interface and in which order, and what nobody can tell."""

from __future__ import annotations

from typing import Any

import pytest

from skep.kube.plugin import chain, member
from skep.kube.plugin.chain import Place
from tests.unit.kube.plugin import objects

APP, OWN = objects.application("firewall"), objects.application("counter", "web")


def xdp(name: str, id: int, link: int, priority: int, **place: Any) -> dict[str, Any]:
    attached = objects.link(link, interfaceName="eth0", priority=priority, proceedOn=["Pass"], **place)
    return objects.program(name, "XDP", attached, id=id)


def tcx(name: str, id: int, link: int, priority: int, direction: str = "Ingress") -> dict[str, Any]:
    attached = objects.link(link, interfaceName="eth0", priority=priority, direction=direction)
    return objects.program(name, "TCX", attached, id=id)


def names(found: tuple[chain.Chain, ...]) -> dict[str, list[tuple[int | None, str]]]:
    return {one.hook: [(each.position, each.program) for each in one.entries] for one in found}


HERE = Place(node="a", interface="eth0")


def test_programs_of_several_applications_run_by_priority() -> None:
    states = [objects.state("a", APP, xdp("b", 2, 2, 50)), objects.state("a", OWN, xdp("a", 1, 1, 10))]
    (found,) = chain.chains(HERE, states, objects.inventory("a"))
    assert [(each.position, each.program, each.owner, each.priority) for each in found.entries] == [
        (0, "a", "BpfApplication/web/counter", 10), (1, "b", "ClusterBpfApplication/firewall", 50),
    ]  # fmt: skip
    assert found.unknown == ()


@pytest.mark.parametrize(("make", "order"), [(xdp, ["new", "old"]), (tcx, ["old", "new"])])
def test_of_two_with_the_same_priority_it_is_told_which_is_meant_to_be_first(make: Any, order: list[str]) -> None:
    (found,) = chain.chains(HERE, [objects.state("a", APP, make("old", 1, 1, 50), make("new", 2, 2, 50))], {})
    assert [each.program for each in found.entries] == order
    assert "same priority" in found.unknown[0]


def test_others_have_no_known_place_and_a_chains_own_program_is_none_of_them() -> None:
    seen = objects.inventory(
        "a",
        objects.held(1, "mine", objects.ours("ClusterBpfApplication/firewall"), "tcx ingress eth0"),
        objects.held(8, "skep_xdp", objects.ours("", chain="xdp eth0"), "xdp eth0"),
        objects.held(9, "cil", objects.process("cilium", 27), "tcx ingress eth0", "tcx ingress lxc1"),
    )
    (found,) = chain.chains(HERE, [objects.state("a", APP, tcx("mine", 1, 1, 50))], seen)
    assert [(each.position, each.program, each.owner, each.foreign) for each in found.entries] == [
        (0, "mine", "ClusterBpfApplication/firewall", False), (None, "cil", "cilium[27]", True),
    ]  # fmt: skip
    assert found.unknown == ("where cil stands in this order: objects do not say, only the node knows",)


def test_what_is_not_attached_has_no_place_and_says_why() -> None:
    broken = objects.link(status="AttachError", interfaceName="eth0", priority=1, error="no such interface")
    states = [objects.state("a", APP, xdp("runs", 1, 1, 50), objects.program("broken", "XDP", broken))]
    (found,) = chain.chains(HERE, states, {})
    assert [(each.position, each.program, each.error) for each in found.entries] == [
        (0, "runs", ""), (None, "broken", "no such interface"),
    ]  # fmt: skip


def test_directions_and_namespaces_are_told_apart() -> None:
    inside = xdp("inside", 3, 3, 50, netnsPath="/run/netns/blue")
    states = [objects.state("a", APP, tcx("in", 1, 1, 50), tcx("out", 2, 2, 50, "Egress"), inside)]
    seen = objects.inventory("a", objects.held(7, "other", objects.process("x", 1), "xdp eth0 in blue", "xdp lo"))
    assert names(chain.chains(HERE, states, seen)) == {"tcx ingress": [(0, "in")], "tcx egress": [(0, "out")]}
    assert names(chain.chains(HERE, states, seen, direction="egress")) == {"tcx egress": [(0, "out")]}
    blue = {"xdp": [(0, "inside"), (None, "other")]}
    for netns in ("blue", "/run/netns/blue", "/var/run/netns/blue"):
        assert names(chain.chains(Place(node="a", interface="eth0", netns=netns), states, seen)) == blue
    assert chain.elsewhere(HERE, states, seen) == ("eth0 in blue", "lo")
    assert chain.interfaces(states, seen) == ("eth0", "lo")


def test_without_the_inventory_it_is_said_what_is_missing() -> None:
    (found,) = chain.chains(HERE, [objects.state("a", APP, xdp("a", 1, 1, 50))], None)
    assert found.unknown == ("what others have attached there: the node's inventory cannot be seen",)


@pytest.mark.parametrize(
    ("place", "parts"),
    [
        ("xdp eth0", ("xdp", "eth0", "")),
        ("tcx ingress eth0 in pid:12", ("tcx ingress", "eth0", "pid:12")),
        ("netkit peer nk0", ("netkit peer", "nk0", "")),
        ("cgroup_skb /sys/fs/cgroup/a", ("", "", "")),
        ("tracepoint syscalls/sys_enter_openat", ("", "", "")),
    ],
)
def test_places(place: str, parts: tuple[str, str, str]) -> None:
    assert chain.parsed(place) == parts


@pytest.mark.parametrize(
    ("program", "where"),
    [
        (xdp("x", 1, 1, 5, netnsPath="/run/netns/blue"), "eth0 in /run/netns/blue"),
        (tcx("x", 1, 1, 5), "eth0 ingress"),
        (objects.program("x", "TracePoint", objects.link(1, name="syscalls/sys_enter_a")), "syscalls/sys_enter_a"),
        (objects.program("x", "FEntry", objects.link(1), function="do_unlinkat"), "function=do_unlinkat"),
        (
            objects.program("x", "UProbe", objects.link(1, target="libc", function="malloc", offset=0)),
            "target=libc function=malloc",
        ),
    ],
)  # fmt: skip
def test_places_of_links_in_words(program: dict[str, Any], where: str) -> None:
    (found,) = member.members([objects.state("a", APP, program)])
    assert found.where == where
