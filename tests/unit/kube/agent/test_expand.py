"""Where an application's links are on a node, and what tells one place from another."""

from __future__ import annotations

from typing import Any

import pytest

from skep import errors, model
from skep.hooks import uprobe, xdp
from skep.kube.agent import expand, sight
from tests.unit.kube.agent import world
from tests.unit.kube.agent.world import POD1, POD2, application, expanded, found, pod, view

WEB = {"matchLabels": {"app": "web"}}


def places(expansion: expand.Expansion) -> list[tuple[str, str | None]]:
    """Interface and network namespace of each place."""
    (program,) = expansion.programs
    told = []
    for spot in program.spots:
        assert isinstance(spot.attachment, xdp.XdpAttachment)
        told.append((spot.attachment.interface.name, spot.attachment.interface.netns))
    return told


def on(selector: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"interfaceSelector": selector, **more}


NAMED = {"interfaces": ["eth0"]}
ALL = {"interfacesDiscoveryConfig": {"interfaceAutoDiscovery": True}}


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (on(NAMED), [("eth0", None)]),
        (on({"interfaces": ["nowhere"]}), [("nowhere", None)]),
        (on({"interfaces": ["eth*"]}), [("eth0", None), ("eth1", None)]),
        (on({"primaryNodeInterface": True}), [("eth0", None)]),
        (on(ALL), [("eth0", None), ("eth1", None), ("veth7", None)]),
        (
            on({"interfacesDiscoveryConfig": {"interfaceAutoDiscovery": True, "allowedInterfaces": ["/^v/", "eth1"]}}),
            [("eth1", None), ("veth7", None)],
        ),
        (on(NAMED, networkNamespaces={"path": "/run/netns/cni-1"}), [("eth0", "/run/netns/cni-1")]),
        (on({"interfaces": ["net*"]}, networkNamespaces={"path": "cni-1"}), [("net1", "cni-1")]),
        (on(NAMED, networkNamespaces={"pods": WEB}), [("eth0", "/run/netns/cni-1"), ("eth0", "/proc/1002/ns/net")]),
        (on(ALL, networkNamespaces={"pods": WEB}), [("eth0", "/run/netns/cni-1"), ("net1", "/run/netns/cni-1")]),
        (
            on({"primaryNodeInterface": True}, networkNamespaces={"pods": WEB}),
            [("eth0", "/run/netns/cni-1")],
        ),
        (on(NAMED, networkNamespaces={"pods": WEB, "namespace": "blue"}), []),
    ],
    ids=lambda value: "" if isinstance(value, list) else None,
)
def test_interfaces(link: dict[str, Any], expected: list[tuple[str, str | None]]) -> None:
    pods = (pod(1), pod(2))
    assert places(expanded(application(link), *pods, seen=view(found(1, POD1), found(2, POD2)))) == expected


def test_the_primary_interface_is_the_one_with_the_nodes_address_when_there_is_no_default_route() -> None:
    host = model.HostSeen(namespaces=(world.namespace(None, world.OWN, "lo", "eth0", "eth1"),))
    assert places(expanded(application(on({"primaryNodeInterface": True})), seen=view(host=host))) == [("eth1", None)]


@pytest.mark.parametrize(
    ("link", "pods", "words"),
    [
        (on({"interfaces": ["wlan*"]}), (), "interfaceSelector selects no interface of this node"),
        (on(NAMED, networkNamespaces={"pods": WEB}), (), "networkNamespaces selects no pod on this node"),
        (on(NAMED, networkNamespaces={"pods": WEB, "namespace": "blue"}), (pod(1),), "selects no pod on this node"),
    ],
)
def test_what_nothing_fits_is_told_and_no_error(link: dict[str, Any], pods: tuple[sight.Pod, ...], words: str) -> None:
    expansion = expanded(application(link), *pods)
    assert places(expansion) == []
    assert [words in note for note in expansion.notes] == [True]
    assert expansion.notes[0].startswith("spec.programs[0].xdp.links[0].")
    assert expansion.waits == ()


def test_a_pod_without_a_network_is_waited_for() -> None:
    missing = model.PodSeen(uid="pod-1", missing="no cgroup of it")
    expansion = expanded(application(on(NAMED, networkNamespaces={"pods": WEB})), pod(1), seen=view(missing))
    assert (places(expansion), expansion.notes) == ([], ())
    assert expansion.waits == ("pod green/web-1 has no network yet: no cgroup of it",)


def test_a_pod_with_its_nodes_network_is_the_nodes_place_once() -> None:
    link = on(NAMED, networkNamespaces={"pods": WEB})
    pods = (pod(1, host_network=True), pod(2, host_network=True))
    assert expand.pods(application(link), pods) == ()
    assert places(expanded(application(link), *pods)) == [("eth0", None)]


@pytest.mark.parametrize("seen", [pod(1, host_network=True), pod(1)], ids=["as it says", "as the daemon sees"])
def test_a_namespaced_application_never_reaches_the_nodes_network(seen: sight.Pod) -> None:
    wanted = application(on(NAMED, networkNamespaces={"pods": WEB}), kind="BpfApplication")
    expansion = expanded(wanted, seen, seen=view(found(1, world.OWN)))
    assert places(expansion) == []
    assert any("it has its node's network" in note for note in expansion.notes)


def test_a_namespaced_application_reaches_pods_of_its_namespace_only() -> None:
    wanted = application(on(NAMED, networkNamespaces={"pods": {}}), kind="BpfApplication")
    pods = (pod(1), pod(2, namespace="blue"))
    assert [each.uid for each in expand.pods(wanted, pods)] == ["pod-1"]
    seen = view(found(1, POD1), found(2, POD2))
    assert places(expanded(wanted, *pods, seen=seen)) == [("eth0", "/run/netns/cni-1")]


def spot(expansion: expand.Expansion) -> expand.Spot:
    ((one,),) = (each.spots for each in expansion.programs)
    return one


def test_a_link_in_a_pod_is_the_same_while_the_pod_has_its_network() -> None:
    wanted = application(on(NAMED, networkNamespaces={"pods": WEB}))
    before = spot(expanded(wanted, pod(2), seen=view(found(2, POD2))))
    restarted = model.PodSeen(uid="pod-2", netns="/proc/7777/ns/net", inode=POD2)
    after = spot(expanded(wanted, pod(2), seen=view(restarted)))
    assert before.attachment != after.attachment, "another process is the way to it"
    assert (before.place, before.name) == (after.place, after.name)
    renewed = spot(expanded(wanted, pod(2), seen=view(found(2, model.NetnsInode(99)))))
    assert renewed.place != before.place, "another network of the same pod"
    assert renewed.uuid(world.STATE, "count") == before.uuid(world.STATE, "count")
    other = spot(expanded(wanted, pod(1), seen=view(found(1, POD1))))
    assert other.uuid(world.STATE, "count") != before.uuid(world.STATE, "count")


PROBE = {"target": "libc", "function": "malloc", "containers": {"pods": WEB}}


def probing(**containers: Any) -> Any:
    link = {**PROBE, "containers": {"pods": WEB, **containers}}
    return application(programs=[{"name": "count", "type": "UProbe", "uprobe": {"links": [link]}}])


def test_containers() -> None:
    seen = view(found(1, POD1, ("main", 51), ("side", 52)), found(2, POD2, ("main", 61)))
    pods = (pod(1, containers=("main", "side")), pod(2))
    assert expand.pods(probing(containerNames=["main"]), pods) == (
        model.PodRef(uid="pod-1", containers=(model.ContainerRef(name="main", id="containerd://1main"),)),
        model.PodRef(uid="pod-2", containers=(model.ContainerRef(name="main", id="containerd://2main"),)),
    )

    def pids(wanted: Any) -> list[int | None]:
        (program,) = expanded(wanted, *pods, seen=seen).programs
        attachments = [each.attachment for each in program.spots]
        assert all(isinstance(each, uprobe.UprobeAttachment) for each in attachments)
        return [each.container_pid for each in attachments if isinstance(each, uprobe.UprobeAttachment)]

    assert pids(probing()) == [51, 52, 61]
    assert pids(probing(containerNames=["side"])) == [52]
    assert expanded(probing(containerNames=["none"]), pod(1)).notes == (
        "spec.programs[0].uprobe.links[0].containers selects no container of pod green/web-1",
    )


def test_a_restarted_container_is_another_place_of_the_same_link() -> None:
    before = spot(expanded(probing(), pod(1), seen=view(found(1, POD1, ("main", 51)))))
    again = pod(1, running=(sight.Container(name="main", id="containerd://new"),))
    seen = model.PodSeen(
        uid="pod-1", containers=(model.ContainerSeen(name="main", id="containerd://new", pid=52, start=1),)
    )
    after = spot(expanded(probing(), again, seen=view(seen)))
    assert before.place != after.place
    assert before.uuid(world.STATE, "count") == after.uuid(world.STATE, "count")


def test_a_container_that_does_not_run_yet_is_waited_for() -> None:
    expansion = expanded(probing(), pod(1, running=()))
    assert expansion.waits == ("container main of pod green/web-1 does not run yet",)


def test_two_links_at_one_place_are_refused() -> None:
    with pytest.raises(errors.InvalidRequest, match=r"links\[1\] is at a place of another link"):
        expanded(application(on(NAMED, priority=5), on({"interfaces": ["eth*"]}, priority=6)))
    assert len(expanded(application(on(NAMED), on(NAMED))).programs[0].spots) == 1
