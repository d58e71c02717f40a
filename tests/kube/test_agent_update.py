"""A new version under traffic: in place, all of it or nothing, and anew only where the application says so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_cli import SEND
from tests.kube import nodes
from tests.kube.nodes import application
from tests.kube.plane import ControlPlane, until

LINKS: list[dict[str, Any]] = [{"interfaceSelector": {"interfaces": ["near"]}}]
BOTH = [{"name": name, "type": "XDP", "xdp": {"links": LINKS}} for name in ("first", "second")]


@pytest.fixture(scope="module")
def one(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[nodes.Node]:
    with nodes.node(plane, tmp_path_factory.mktemp("nodes")) as made:
        yield made


@pytest.fixture
def name(plane: ControlPlane, one: nodes.Node, request: pytest.FixtureRequest) -> Iterator[str]:
    made = request.node.name.removeprefix("test_").replace("_", "-")[:50].rstrip("-")
    yield made
    plane.kubectl("delete", "clusterbpfapplications", "--all", "--wait=false")
    nodes.gone(one)


def generation(one: nodes.Node, name: str, number: int) -> dict[str, Any]:
    """The status of a generation, once it is told."""
    until(f"generation {number}", lambda: one.state(name).get("observedGeneration") == number)
    return one.state(name)


def test_packets_are_counted_on_across_versions(
    plane: ControlPlane, one: nodes.Node, name: str, tmp_path: Path
) -> None:
    urls = [one.image(tmp_path, "pair", f"VERSION={n}", tag=f"v{n}") for n in (1, 2, 3)]
    plane.apply(application(name, urls[0], programs=BOTH[:1]))
    before = one.becomes(name, "Success")["programs"][0]
    sending = subprocess.Popen([*one.network.enter, sys.executable, "-c", SEND, one.network.far, "20000"])
    after: dict[str, Any] = {}
    try:
        for number, url in enumerate(urls[1:], 2):
            plane.apply(application(name, url, programs=BOTH[:1]))
            after = generation(one, name, number)["programs"][0]
    finally:
        assert sending.wait(60) == 0
    assert one.counted() == 20000, "no packet was lost, and the map is the same"
    assert one.chain()[0].runs == 20000
    assert after["xdp"] == before["xdp"], "the same link"
    assert after["programId"] != before["programId"], "other code"


def test_a_refused_version_goes_back_whole(plane: ControlPlane, one: nodes.Node, name: str, tmp_path: Path) -> None:
    good, broken = one.image(tmp_path, "pair"), one.image(tmp_path, "pair", "BROKEN", tag="v2")
    plane.apply(application(name, good, programs=BOTH))
    before = one.becomes(name, "Success", "2 programs loaded, 2 links attached")
    objects = {each.record.object for each in one.programs()}
    plane.apply(application(name, broken, programs=BOTH))
    status = one.becomes(name, "Error", "invalid access to packet")
    assert (status["appLoadStatus"], status["observedGeneration"]) == ("LoadError", 2)
    assert status["conditions"][0]["message"].endswith("; the version before runs on")
    assert {each.record.object for each in one.programs()} == objects
    links = [each["xdp"]["links"] for each in status["programs"]]
    assert [each["uuid"] for (each,) in links] == [each["xdp"]["links"][0]["uuid"] for each in before["programs"]]
    one.send(7)
    assert [each.runs for each in one.chain()] == [7, 7]
    until("an Event", lambda: ("Warning", "LoadFailed") in one.events(name))
    plane.apply(application(name, good, programs=BOTH))
    one.becomes(name, "Success")
    one.send(1)
    assert one.counted() == 8


def test_other_maps_are_refused_with_the_difference(
    plane: ControlPlane, one: nodes.Node, name: str, tmp_path: Path
) -> None:
    old, wide = one.image(tmp_path, "pair"), one.image(tmp_path, "pair", "WIDE", tag="v2")
    plane.apply(application(name, old, programs=BOTH))
    one.becomes(name, "Success")
    one.send(5)
    plane.apply(application(name, wide, programs=BOTH))
    one.becomes(name, "Error", "map 'packets' cannot be shared: max entries 2 against 1")
    assert one.counted() == 5
    attributes = {"csi.bpfman.io/program": name, "csi.bpfman.io/maps": "packets"}
    volume = {"name": "maps", "csi": {"driver": "csi.bpfman.io", "volumeAttributes": attributes}}
    pod = one.pod("default", "reader", volumes=[volume])
    plane.apply(application(name, wide, programs=BOTH, mapPolicy="Recreate"))
    generation(one, name, 3)
    one.becomes(name, "Success", "2 programs loaded, 2 links attached")
    assert one.counted() == 0, "the map began anew"
    until("an Event", lambda: ("Warning", "MapsRecreated") in one.events(name))
    assert "default/reader (volume maps)" in plane.kubectl("describe", "clusterbpfapplication", name)
    pod.delete()


def test_an_image_that_is_not_there_leaves_what_runs(
    plane: ControlPlane, one: nodes.Node, name: str, tmp_path: Path
) -> None:
    plane.apply(application(name, one.image(tmp_path, "pair"), programs=BOTH))
    one.becomes(name, "Success")
    plane.apply(application(name, f"oci:{tmp_path}/none:v9", programs=BOTH))
    status = one.becomes(name, "Error", "what was applied before runs on")
    assert status["appLoadStatus"] == "LoadError"
    assert [each["xdp"]["links"][0]["linkStatus"] for each in status["programs"]] == ["Attached", "Attached"]


def test_a_file_of_the_node(plane: ControlPlane, one: nodes.Node, name: str) -> None:
    from tests import bpf_build

    made = application(name, "", programs=BOTH)
    made["spec"]["byteCode"] = {"path": str(bpf_build.build("pair"))}
    plane.apply(made)
    one.becomes(name, "Success")
    one.send(2)
    made["spec"]["byteCode"] = {"path": str(bpf_build.build("pair", "VERSION=2"))}
    plane.apply(made)
    generation(one, name, 2)
    one.becomes(name, "Success")
    one.send(2)
    assert one.counted() == 4
    made["spec"]["byteCode"] = {"path": "/no/such/file.o"}
    plane.apply(made)
    one.becomes(name, "Error", "/no/such/file.o")
    assert len(one.chain()) == 2
