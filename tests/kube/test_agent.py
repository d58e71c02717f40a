"""The agent against a real API server, a real daemon and a real kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kube import nodes
from tests.kube.nodes import application
from tests.kube.plane import ControlPlane, until

NEAR: dict[str, Any] = {"interfaceSelector": {"interfaces": ["near"]}, "priority": 50}


@pytest.fixture(scope="module")
def one(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[nodes.Node]:
    with nodes.node(plane, tmp_path_factory.mktemp("nodes"), zone="a") as made:
        yield made


@pytest.fixture
def name(plane: ControlPlane, one: nodes.Node, request: pytest.FixtureRequest) -> Iterator[str]:
    """An application's name; whatever the test did, the application goes, and nothing of it is left."""
    made = request.node.name.partition("[")[0].removeprefix("test_").replace("_", "-")
    yield made
    plane.kubectl("delete", "clusterbpfapplication", made, "--ignore-not-found", "--wait=false")
    nodes.gone(one)


def test_counts(plane: ControlPlane, one: nodes.Node, name: str, tmp_path: Path) -> None:
    url = one.image(tmp_path, "count")
    plane.apply(application(name, url, NEAR))
    status = one.becomes(name, "Success", "1 program loaded, 1 link attached")
    one.send(20)
    (counts,) = one.chain()
    assert counts.runs == 20
    (link,) = status["programs"][0]["xdp"]["links"]
    assert (link["interfaceName"], link["linkStatus"], link["priority"]) == ("near", "Attached", 50)
    (program,) = one.programs()
    assert program.record.metadata["bpfman.io/ProgramName"] == name
    plane.kubectl("delete", "clusterbpfapplication", name)
    nodes.gone(one)
    until("the state is gone", lambda: one.state(name) == {})
