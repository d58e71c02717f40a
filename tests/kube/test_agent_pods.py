"""Pods: links in their networks and containers, which last while these do, and whose they may be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import native_build
from tests.kube import nodes
from tests.kube.nodes import application
from tests.kube.plane import ControlPlane, until

IN_PODS: dict[str, Any] = {
    "interfaceSelector": {"interfaces": ["eth0"]},
    "networkNamespaces": {"pods": {"matchLabels": {"app": "web"}}},
}


@pytest.fixture(scope="module")
def one(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[nodes.Node]:
    with nodes.node(plane, tmp_path_factory.mktemp("nodes")) as made:
        yield made


@pytest.fixture(scope="module")
def url(one: nodes.Node, tmp_path_factory: pytest.TempPathFactory) -> str:
    return one.image(tmp_path_factory.mktemp("image"), "count")


@pytest.fixture
def green(plane: ControlPlane, namespace: str) -> str:
    """A namespace in which pods can be made."""
    until("its account", lambda: plane.get("serviceaccount", "default", namespace=namespace))
    return namespace


@pytest.fixture
def clean(plane: ControlPlane, one: nodes.Node, green: str) -> Iterator[None]:
    yield
    plane.kubectl("delete", "bpfapplications", "--all", "-n", green, "--wait=false")
    plane.kubectl("delete", "clusterbpfapplications", "--all", "--wait=false")
    nodes.gone(one)
    plane.kubectl("delete", "pods", "--all", "-n", green, "--grace-period=0", "--force")


@pytest.mark.usefixtures("clean")
def test_a_pods_packets_are_counted_and_its_link_lasts(
    plane: ControlPlane, one: nodes.Node, green: str, url: str
) -> None:
    pod = one.pod(green, "web", app="web")
    plane.apply(application("counter", url, IN_PODS, namespace=green))
    one.becomes("counter", "Success", "has no network yet", namespace=green)
    pod.run()
    status = one.becomes("counter", "Success", "1 link attached", namespace=green)
    pod.send(6)
    assert pod.network is not None
    assert one.chain("eth0", pod.network.path)[0].runs == 6
    (link,) = status["programs"][0]["xdp"]["links"]
    pod.run()
    pod.send(4)
    assert one.chain("eth0", pod.network.path)[0].runs == 10, "the container began anew, the network is the same"
    other = one.pod(green, "web2", app="web")
    other.run()
    status = one.becomes("counter", "Success", "2 links attached", namespace=green)
    links = {each["uuid"]: each for each in status["programs"][0]["xdp"]["links"]}
    assert links[link["uuid"]]["linkId"] == link["linkId"]
    pod.delete()
    one.becomes("counter", "Success", "1 link attached", namespace=green)
    other.send(2)
    assert other.network is not None
    assert one.chain("eth0", other.network.path)[0].runs == 2


@pytest.mark.usefixtures("clean")
def test_a_namespaced_application_reaches_its_own_namespaces_pods(
    plane: ControlPlane, one: nodes.Node, green: str, url: str
) -> None:
    mine, theirs = one.pod(green, "web", app="web"), one.pod("default", f"web-{green}", app="web")
    mine.run()
    theirs.run()
    plane.apply(application("counter", url, IN_PODS, namespace=green))
    one.becomes("counter", "Success", "1 link attached", namespace=green)
    assert mine.network is not None
    assert len(one.chain("eth0", mine.network.path)) == 1
    plane.apply(application("everywhere", url, IN_PODS))
    one.becomes("everywhere", "Success", "2 links attached")
    assert len(one.chain("eth0", mine.network.path)) == 2
    theirs.delete()


@pytest.mark.usefixtures("clean")
def test_two_namespaces_may_have_an_application_of_one_name(
    plane: ControlPlane, one: nodes.Node, green: str, url: str
) -> None:
    for where in (green, "default"):
        plane.apply(application("counter", url, IN_PODS, namespace=where))
        one.becomes("counter", "Success", "1 program loaded", namespace=where)
    assert len(one.programs()) == 2
    plane.kubectl("delete", "bpfapplication", "counter", "-n", "default")
    until("one is left", lambda: len(one.programs()) == 1)
    assert one.condition("counter", green)[0] == "Success"


@pytest.mark.usefixtures("clean")
def test_discovery_finds_interfaces_in_pods(plane: ControlPlane, one: nodes.Node, green: str, url: str) -> None:
    pod = one.pod(green, "web", app="web")
    pod.run()
    found = {"interfacesDiscoveryConfig": {"interfaceAutoDiscovery": True}}
    plane.apply(application("counter", url, {**IN_PODS, "interfaceSelector": found}, namespace=green))
    status = one.becomes("counter", "Success", "2 links attached", namespace=green)
    links = status["programs"][0]["xdp"]["links"]
    assert sorted(each["interfaceName"] for each in links) == ["eth0", "peer"]
    assert {each["netnsPath"] for each in links} == {pod.network.path if pod.network else ""}


@pytest.mark.usefixtures("clean")
def test_a_function_in_a_container_is_probed(plane: ControlPlane, one: nodes.Node, green: str, tmp_path: Path) -> None:
    pod = one.pod(green, "web", app="web")
    pod.run()
    target = native_build.build("probes")
    link = {"target": str(target), "function": "main", "containers": {"pods": {"matchLabels": {"app": "web"}}}}
    made = application("probe", one.image(tmp_path, "capable"), namespace=green)
    made["spec"]["programs"] = [{"name": "harmless", "type": "UProbe", "uprobe": {"links": [link]}}]
    plane.apply(made)
    status = one.becomes("probe", "Success", "1 link attached", namespace=green)
    (before,) = status["programs"][0]["uprobe"]["links"]
    assert pod.container is not None
    assert before["containerPid"] == pod.container.pid
    pod.run()
    until("the new process", lambda: _pid(one, green) == (pod.container and pod.container.pid))
    (after,) = one.becomes("probe", "Success", "1 link attached", namespace=green)["programs"][0]["uprobe"]["links"]
    assert after["uuid"] == before["uuid"]


def _pid(one: nodes.Node, green: str) -> int:
    (link,) = one.state("probe", green)["programs"][0]["uprobe"]["links"]
    pid: int = link["containerPid"]
    return pid
