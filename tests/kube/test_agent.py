"""The agent against a real API server, a real daemon and a real kernel: what is applied runs, and goes again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skep.kube import kinds
from tests.kube import nodes
from tests.kube.nodes import application
from tests.kube.plane import ControlPlane, until

NEAR: dict[str, Any] = {"interfaceSelector": {"interfaces": ["near"]}, "priority": 50}


@pytest.fixture(scope="module")
def one(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[nodes.Node]:
    with nodes.node(plane, tmp_path_factory.mktemp("nodes"), zone="a") as made:
        yield made


@pytest.fixture(scope="module")
def url(one: nodes.Node, tmp_path_factory: pytest.TempPathFactory) -> str:
    return one.image(tmp_path_factory.mktemp("image"), "count")


@pytest.fixture
def name(plane: ControlPlane, one: nodes.Node, request: pytest.FixtureRequest) -> Iterator[str]:
    """An application's name; whatever the test did, the application goes, and nothing of it is left."""
    made = request.node.name.partition("[")[0].removeprefix("test_").replace("_", "-")[:50].rstrip("-")
    yield made
    plane.kubectl("delete", "clusterbpfapplications", "--all", "--wait=false")
    nodes.gone(one)


def edit(plane: ControlPlane, name: str, patch: str) -> None:
    plane.kubectl("patch", "clusterbpfapplication", name, "--type=merge", "-p", patch)


def test_counts_and_is_gone_after_deletion(plane: ControlPlane, one: nodes.Node, name: str, url: str) -> None:
    plane.apply(application(name, url, NEAR))
    status = one.becomes(name, "Success", "1 program loaded, 1 link attached")
    one.send(20)
    (counts,) = one.chain()
    assert counts.runs == 20
    (link,) = status["programs"][0]["xdp"]["links"]
    assert (link["interfaceName"], link["linkStatus"], link["priority"]) == ("near", "Attached", 50)
    (program,) = one.programs()
    assert program.record.metadata["bpfman.io/ProgramName"] == name
    assert program.record.id == status["programs"][0]["programId"]
    pins = status["programs"][0]["maps"]
    assert pins == {ref.name: ref.pin for ref in program.record.maps if not ref.internal}
    assert pins and all(map(os.path.exists, pins.values()))
    shown = plane.kubectl("get", "clusterbpfapplicationstates", "-o", "wide")
    assert "1 program loaded, 1 link attached" in shown
    until("an Event", lambda: one.events(name) == [("Normal", "Attached")])
    plane.kubectl("delete", "clusterbpfapplication", name)
    nodes.gone(one)
    until("the state is gone", lambda: one.state(name) == {})


def test_a_program_list_that_changes_is_followed(
    plane: ControlPlane, one: nodes.Node, name: str, tmp_path: Path
) -> None:
    pair = one.image(tmp_path, "pair")

    def programs(*names: str) -> list[dict[str, Any]]:
        return [{"name": each, "type": "XDP", "xdp": {"links": [NEAR]}} for each in names]

    plane.apply(application(name, pair, programs=programs("first")))
    one.becomes(name, "Success", "1 program loaded")
    plane.apply(application(name, pair, programs=programs("first", "second")))
    one.becomes(name, "Success", "2 programs loaded, 2 links attached")
    plane.apply(application(name, pair, programs=programs("second")))
    one.becomes(name, "Success", "1 program loaded, 1 link attached")
    assert [each.record.name for each in one.programs()] == ["second"]


def test_a_node_that_is_no_longer_selected(plane: ControlPlane, one: nodes.Node, name: str, url: str) -> None:
    plane.apply(application(name, url, NEAR, nodeSelector={"matchLabels": {"zone": "a"}}))
    one.becomes(name, "Success")
    plane.kubectl("label", "node", one.name, "zone=b", "--overwrite")
    status = one.becomes(name, "Unloaded")
    assert status["appLoadStatus"] == "NotSelected"
    nodes.gone(one)
    plane.kubectl("label", "node", one.name, "zone=a", "--overwrite")
    one.becomes(name, "Success")
    assert len(one.programs()) == 1
    reasons = [("Normal", "Attached"), ("Normal", "NotSelected")]
    until("Events", lambda: sorted(one.events(name)) == reasons)


def test_a_node_that_was_never_selected_has_no_state(plane: ControlPlane, one: nodes.Node, name: str, url: str) -> None:
    plane.apply(application(f"{name}-other", url, NEAR, nodeSelector={"matchLabels": {"zone": "z"}}))
    plane.apply(application(name, url, NEAR))
    one.becomes(name, "Success")
    assert one.state(f"{name}-other") == {}


def test_interfaces_that_come_and_go(plane: ControlPlane, one: nodes.Node, name: str, url: str) -> None:
    plane.apply(application(name, url, {"interfaceSelector": {"interfaces": ["late*"]}}))
    one.becomes(name, "Success", "interfaceSelector selects no interface of this node")
    ip = ("ip", "-n", one.network.name, "link")
    subprocess.run([*ip, "add", "late0", "type", "veth", "peer", "name", "other0"], check=True)
    status = one.becomes(name, "Success", "1 link attached")
    assert [each["interfaceName"] for each in status["programs"][0]["xdp"]["links"]] == ["late0"]
    subprocess.run([*ip, "del", "late0"], check=True)
    status = one.becomes(name, "Success", "0 links attached")
    assert status["programs"][0]["xdp"]["links"] == []


def test_an_interface_that_is_named_and_not_there_yet(
    plane: ControlPlane, one: nodes.Node, name: str, url: str
) -> None:
    plane.apply(application(name, url, NEAR, {"interfaceSelector": {"interfaces": ["late1"]}}))
    status = one.becomes(name, "Error", "late1")
    (good, bad) = status["programs"][0]["xdp"]["links"]
    assert (good["linkStatus"], bad["linkStatus"]) == ("Attached", "AttachError")
    assert "late1" in bad["error"]
    one.send(3)
    assert one.chain()[0].runs == 3
    ip = ("ip", "-n", one.network.name, "link")
    subprocess.run([*ip, "add", "late1", "type", "veth", "peer", "name", "other1"], check=True)
    after = one.becomes(name, "Success", "2 links attached")["programs"][0]["xdp"]["links"]
    assert [each["uuid"] for each in after] == [good["uuid"], bad["uuid"]]
    subprocess.run([*ip, "del", "late1"], check=True)


def test_what_the_verifier_refuses_is_told_in_its_words(
    plane: ControlPlane, one: nodes.Node, name: str, url: str, tmp_path: Path
) -> None:
    refused = one.image(tmp_path, "refused")
    program = {"name": "unchecked_packet", "type": "XDP", "xdp": {"links": [NEAR]}}
    plane.apply(application(name, refused, programs=[program]), application(f"{name}-2", url, NEAR))
    status = one.becomes(name, "Error", "invalid access to packet")
    assert status["appLoadStatus"] == "LoadError"
    (link,) = status["programs"][0]["xdp"]["links"]
    assert (link["linkStatus"], "invalid access to packet" in link["error"]) == ("AttachError", True)
    one.becomes(f"{name}-2", "Success")
    until("an Event", lambda: ("Warning", "LoadFailed") in one.events(name))
    written = status["updateCount"]
    failures = until("a second try", lambda: _tries(one) > 2 and _tries(one), 30)
    assert failures > 2
    assert one.state(name)["updateCount"] == written, "the same failure is not written twice"


def _tries(one: nodes.Node) -> int:
    return one.logs.read_text().count("unchecked_packet")


def test_a_map_owner_is_waited_for(plane: ControlPlane, one: nodes.Node, name: str, url: str) -> None:
    selector = {"matchLabels": {"app": f"{name}-owner"}}
    plane.apply(application(name, url, mapOwnerSelector=selector))
    status = one.becomes(name, "Pending", "waiting for the maps of spec.mapOwnerSelector: it fits no application yet")
    assert status["appLoadStatus"] == "NotLoaded"
    plane.apply(application(f"{name}-owner", url, NEAR))
    one.becomes(name, "Success")
    reader, owner = sorted(one.programs(), key=lambda each: each.record.metadata["app"] != name)
    assert set(reader.used_by) == set(owner.used_by) == {reader.record.id, owner.record.id}
    one.send(4)
    assert one.counted() == 4


def test_what_is_applied_by_hand_is_left_alone(
    plane: ControlPlane, one: nodes.Node, name: str, url: str, tmp_path: Path
) -> None:
    file = tmp_path / "app.yaml"
    mine = application(name, url, NEAR | {"priority": 7})
    file.write_text(str(mine).replace("'", '"'))
    one.daemon.cli("apply", "-f", str(file))
    plane.apply(application(name, url, NEAR))
    one.becomes(name, "Success")
    assert len(one.chain()) == 2
    one.daemon.cli("delete", "-f", str(file))
    assert len(one.programs()) == 1
    one.daemon.cli("apply", "-f", str(file))
    plane.kubectl("delete", "clusterbpfapplication", name)
    until("only that of the file is left", lambda: len(one.chain()) == 1 and one.programs() == ())
    one.daemon.cli("delete", "-f", str(file))


def test_an_idle_node_writes_nothing(plane: ControlPlane, one: nodes.Node, name: str, url: str) -> None:
    plane.apply(application(name, url, NEAR))
    status = one.becomes(name, "Success")
    for number in range(3):
        plane.kubectl("annotate", "node", one.name, f"beat={number}", "--overwrite")
        plane.kubectl("annotate", "clusterbpfapplication", name, f"beat={number}", "--overwrite")
    ip = ("ip", "-n", one.network.name, "link")
    subprocess.run([*ip, "add", "noise", "type", "veth", "peer", "name", "noise2"], check=True)
    subprocess.run([*ip, "del", "noise"], check=True)
    plane.apply(application(f"{name}-2", url))
    one.becomes(f"{name}-2", "Success")
    assert one.state(name)["updateCount"] == status["updateCount"]


def test_the_state_is_as_the_crd_says(plane: ControlPlane, one: nodes.Node, name: str, url: str) -> None:
    plane.apply(application(name, url, NEAR))
    status = one.becomes(name, "Success")
    about = {"node", "appLoadStatus", "conditions", "observedGeneration", "observedRevision", "revision", "updateCount"}
    assert about | {"programs"} == set(status)
    edit(plane, name, '{"spec":{"globalData":{"verdict":"AQAAAA=="}}}')
    until("the new generation", lambda: one.state(name)["observedGeneration"] == 2)
    assert kinds.API_VERSION == "bpfman.io/v1alpha1"
    one.send(5)
    assert dict(one.chain()[0].stopped) == {1: 5}
