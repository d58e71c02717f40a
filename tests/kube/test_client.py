"""The library for operators of applications: with a real API server, the real operator, and a real agent and daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skep import errors
from skep.kube import client, kinds
from skep.rpc import client as rpc
from tests import instance
from tests.kube import nodes, operator_rig
from tests.kube.nodes import application
from tests.kube.plane import ControlPlane, until

NEAR: dict[str, Any] = {"interfaceSelector": {"interfaces": ["near"]}, "priority": 50}


@pytest.fixture(scope="module")
def one(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[nodes.Node]:
    operator_rig.prepare(plane)
    with (
        nodes.node(plane, tmp_path_factory.mktemp("nodes"), zone="client") as made,
        operator_rig.operator(plane, tmp_path_factory.mktemp("operator")),
    ):
        # By this the operator knows that the node has an agent: no DaemonSet put it there.
        plane.apply({"apiVersion": kinds.API_VERSION, "kind": "NodeBpfInventory", "metadata": {"name": made.name}})
        yield made


@pytest.fixture(scope="module")
def url(one: nodes.Node, tmp_path_factory: pytest.TempPathFactory) -> str:
    return one.image(tmp_path_factory.mktemp("image"), "count")


@pytest.fixture
def cluster(plane: ControlPlane, one: nodes.Node) -> Iterator[client.Cluster]:
    with client.cluster(str(plane.kubeconfig)) as made:
        yield made
    plane.kubectl("delete", "clusterbpfapplications", "--all")
    nodes.gone(one)


def test_apply_wait_look_and_delete(one: nodes.Node, cluster: client.Cluster, url: str) -> None:
    ref = cluster.apply(application("client", url, NEAR))
    assert str(ref) == "ClusterBpfApplication/client"
    (node,) = cluster.wait(ref, seconds=60)
    (program,) = node.programs
    (link,) = program.links
    assert (node.name, node.condition, program.type, program.status) == (one.name, "Success", "XDP", "Success")
    assert (link.status, link.wanted, link.error, link.place["interfaceName"]) == ("Attached", True, "", "near")
    with rpc.Client(one.daemon.layout.socket) as door:
        (loaded,) = one.programs()
        assert (program.id, link.id) == (loaded.record.id, one.links()[0].record.id)
        found = client.maps(door, ref, one.name)
        assert set(found) == {"packets"} and os.path.exists(found["packets"])
        with pytest.raises(errors.NotFound):
            client.maps(door, client.Ref(name="another"), one.name)
    status = cluster.status(ref)
    assert (status.condition, status.desired, status.ready, status.current) == ("Success", 1, 1, True)
    cluster.delete(ref)
    assert one.programs() == ()
    with pytest.raises(errors.NotFound):
        cluster.status(ref)
    cluster.delete(ref)


def test_applying_the_same_again_changes_nothing_and_a_change_is_waited_for(
    plane: ControlPlane, one: nodes.Node, cluster: client.Cluster, url: str
) -> None:
    document = application("client", url, NEAR)
    ref = cluster.apply(document)
    cluster.wait(ref)
    before = plane.get("cba", "client")["metadata"]
    cluster.apply(document)
    cluster.wait(ref)
    assert plane.get("cba", "client")["metadata"]["generation"] == before["generation"]
    document["spec"]["programs"][0]["xdp"]["links"][0]["priority"] = 7
    cluster.apply(document)
    (node,) = cluster.wait(ref)
    assert node.programs[0].links[0].place["priority"] == 7


def test_what_a_node_says_against_it_is_raised(one: nodes.Node, cluster: client.Cluster, url: str) -> None:
    ref = cluster.apply(application("client", url + "-that-is-not-there", NEAR))
    with pytest.raises(client.Failed) as failed:
        cluster.wait(ref, seconds=60)
    (node,) = failed.value.nodes
    assert (node.name, node.condition, node.loaded) == (one.name, "Error", "LoadError")
    assert node.message and node.message in str(failed.value)
    assert "ClusterBpfApplication/client does not run on a node" in str(failed.value)


def test_the_time_is_over(one: nodes.Node, cluster: client.Cluster, url: str) -> None:
    ref = cluster.apply(application("client", url + "-that-is-not-there", NEAR))
    with pytest.raises(client.Failed) as failed:
        cluster.wait(ref, seconds=4, through_errors=True)
    assert "after 4 s" in failed.value.what


def test_what_was_corrected_meanwhile_is_waited_for(one: nodes.Node, cluster: client.Cluster, url: str) -> None:
    ref = cluster.apply(application("client", url + "-that-is-not-there", NEAR))
    with pytest.raises(client.Failed):
        cluster.wait(ref)
    correct = threading.Timer(1, lambda: cluster.apply(application("client", url, NEAR)))
    correct.start()
    (node,) = cluster.wait(ref, through_errors=True)
    correct.join()
    assert node.programs[0].id is not None


def test_an_object_that_is_wrong_is_not_even_sent(plane: ControlPlane, cluster: client.Cluster, url: str) -> None:
    wrong = application("client", url, NEAR | {"priority": 5000})
    with pytest.raises(errors.InvalidRequest) as refused:
        cluster.apply(wrong)
    assert refused.value.what == "spec.programs[0].xdp.links[0].priority is 5000"
    assert plane.get("cba", "client") == {}


def test_somebody_elses_field_is_taken_only_by_force(plane: ControlPlane, cluster: client.Cluster, url: str) -> None:
    document = application("client", url, NEAR)
    cluster.apply(document, manager="one")
    document["spec"]["mapPolicy"] = "Recreate"
    cluster.apply(document, manager="one")
    document["spec"]["mapPolicy"] = "Keep"
    with pytest.raises(errors.Conflict) as refused:
        cluster.apply(document, manager="another")
    assert "mapPolicy" in refused.value.why
    cluster.apply(document, manager="another", force=True)
    assert plane.get("cba", "client")["spec"]["mapPolicy"] == "Keep"


def test_who_may_not_is_told(plane: ControlPlane, namespace: str, url: str) -> None:
    until("its account", lambda: plane.get("serviceaccount", "default", namespace=namespace))
    with client.cluster(str(plane.kubeconfig_for(namespace, "default"))) as nobody:
        with pytest.raises(errors.Denied):
            nobody.apply(application("client", url, NEAR))
        with pytest.raises(errors.Denied):
            nobody.nodes(client.Ref(name="client", namespace=namespace))


def test_the_example_tells_where_it_runs(
    plane: ControlPlane, one: nodes.Node, cluster: client.Cluster, url: str, tmp_path: Path
) -> None:
    file = tmp_path / "application.yaml"
    words = [sys.executable, str(instance.EXAMPLES / "kubernetes/counter.py"), str(file), str(plane.kubeconfig)]
    for image, code in ((url + "-that-is-not-there", 1), (url, 0)):
        file.write_text(json.dumps(application("counter", image, NEAR)))
        done = subprocess.run(
            words, input="\n", env=instance.environment(), capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == code, done.stderr
        assert (f"{one.name}: count is program" in done.stdout) is (code == 0)
        assert (f"{one.name}: " in done.stderr) is (code == 1)
        assert one.programs() == ()


def test_no_cluster(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidRequest):
        client.cluster(str(tmp_path / "nowhere"))


def test_a_volume_for_a_pod() -> None:
    ref = client.Ref(name="counter", namespace="web")
    assert client.volume("maps", ref, ["packets", "bytes"]) == {
        "name": "maps",
        "csi": {
            "driver": "csi.bpfman.io",
            "volumeAttributes": {"csi.bpfman.io/program": "counter", "csi.bpfman.io/maps": "packets,bytes"},
        },
    }
