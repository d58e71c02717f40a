"""What goes wrong: agents and daemons are killed, the API server is away, nodes differ, objects go."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skep.kube import naming
from tests.kernel import test_landlock
from tests.kube import nodes
from tests.kube.nodes import application
from tests.kube.plane import ControlPlane, until

NEAR: dict[str, Any] = {"interfaceSelector": {"interfaces": ["near"]}}


@pytest.fixture(scope="module")
def two(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[nodes.Node, nodes.Node]]:
    directory = tmp_path_factory.mktemp("nodes")
    with nodes.node(plane, directory) as first, nodes.node(plane, directory) as second:
        yield first, second


@pytest.fixture
def url(two: tuple[nodes.Node, nodes.Node], tmp_path: Path) -> str:
    return two[0].image(tmp_path, "count")


@pytest.fixture
def name(plane: ControlPlane, two: tuple[nodes.Node, nodes.Node], request: pytest.FixtureRequest) -> Iterator[str]:
    made = request.node.name.removeprefix("test_").replace("_", "-")[:50].rstrip("-")
    yield made
    plane.kubectl("delete", "clusterbpfapplications", "--all", "--wait=false")
    for node in two:
        if node.agent is None:
            node.start()
    nodes.gone(*two)


def delete(plane: ControlPlane, name: str) -> None:
    plane.kubectl("delete", "clusterbpfapplication", name, "--wait=false")


def test_a_killed_agent_leaves_what_runs_and_goes_on_where_it_was(
    plane: ControlPlane, two: tuple[nodes.Node, nodes.Node], name: str, url: str
) -> None:
    one, other = two
    plane.apply(application(name, url, NEAR))
    before = one.becomes(name, "Success")
    one.kill()
    one.send(5)
    plane.apply(application(name, url, NEAR | {"priority": 7}))
    other.becomes(name, "Success")
    until("the other has it", lambda: other.state(name)["observedGeneration"] == 2)
    assert one.chain()[0].runs == 5
    one.start()
    until("it has caught up", lambda: one.state(name)["observedGeneration"] == 2)
    after = one.becomes(name, "Success")
    assert after["programs"][0]["programId"] == before["programs"][0]["programId"]
    assert one.chain()[0].runs == 5, "the same link"


def test_an_agent_that_is_killed_in_the_middle_loses_nothing(
    plane: ControlPlane, two: tuple[nodes.Node, nodes.Node], name: str, url: str
) -> None:
    """At whatever moment: after each of some waits that become longer, until it was done in time."""
    one, _ = two
    for number in range(4):
        links = [NEAR | {"priority": priority} for priority in (10 + number,)]
        plane.apply(application(f"{name}-{number}", url, *links))
        until("it has begun", lambda number=number: _begun(one, f"{name}-{number}"))  # type: ignore[misc]
        one.kill()
        one.start()
    for number in range(4):
        one.becomes(f"{name}-{number}", "Success", "1 program loaded, 1 link attached")
    assert (len(one.programs()), len(one.chain())) == (4, 4)


def _begun(one: nodes.Node, name: str) -> bool:
    """A state is made before anything is done."""
    return bool(one.plane.get("clusterbpfapplicationstate", naming.state_name(name, one.name)))


def test_what_is_deleted_while_its_agent_is_away_goes_when_it_is_back(
    plane: ControlPlane, two: tuple[nodes.Node, nodes.Node], name: str, url: str
) -> None:
    one, other = two
    plane.apply(application(name, url, NEAR))
    one.becomes(name, "Success")
    other.becomes(name, "Success")
    one.kill()
    delete(plane, name)
    nodes.gone(other)
    assert len(one.programs()) == 1
    assert _begun(one, name), "the finalizer keeps the state"
    one.start()
    nodes.gone(one)
    until("the state goes", lambda: not _begun(one, name))


def test_what_no_object_speaks_of_any_more_is_unloaded_at_the_start(
    plane: ControlPlane, two: tuple[nodes.Node, nodes.Node], name: str, url: str
) -> None:
    one, _ = two
    plane.apply(application(name, url, NEAR))
    one.becomes(name, "Success")
    one.kill()
    words = ("--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    state = naming.state_name(name, one.name)
    plane.kubectl("patch", "clusterbpfapplicationstate", state, *words)
    plane.kubectl("delete", "clusterbpfapplication", name)
    until("the state is gone", lambda: not _begun(one, name))
    assert len(one.programs()) == 1
    one.start()
    nodes.gone(one)


def test_a_state_that_somebody_deletes_comes_again(
    plane: ControlPlane, two: tuple[nodes.Node, nodes.Node], name: str, url: str
) -> None:
    one, _ = two
    plane.apply(application(name, url, NEAR))
    before = one.becomes(name, "Success")
    one.send(3)
    plane.kubectl("delete", "clusterbpfapplicationstate", naming.state_name(name, one.name))
    until("it is there again", lambda: one.state(name).get("updateCount") == 1)
    after = one.becomes(name, "Success")
    assert after["programs"][0]["programId"] == before["programs"][0]["programId"]
    assert one.chain()[0].runs == 3, "what runs was not touched"


def test_an_application_that_is_deleted_while_it_is_applied(
    plane: ControlPlane, two: tuple[nodes.Node, nodes.Node], name: str, url: str
) -> None:
    for number in range(5):
        plane.apply(application(f"{name}-{number}", url, NEAR))
        if number % 2:
            until("it has begun", lambda number=number: _begun(two[0], f"{name}-{number}"))  # type: ignore[misc]
        delete(plane, f"{name}-{number}")
    nodes.gone(*two)
    until("no state is left", lambda: _none(plane, name))


def _none(plane: ControlPlane, name: str) -> bool:
    left = [each["metadata"] for each in plane.list("clusterbpfapplicationstates")]
    assert not any(each["name"].startswith(name) for each in left), left
    return True


def test_a_daemon_that_is_away(plane: ControlPlane, two: tuple[nodes.Node, nodes.Node], name: str, url: str) -> None:
    one, _ = two
    plane.apply(application(name, url, NEAR))
    before = one.becomes(name, "Success")
    until("ready", one.ready)
    one.kill_daemon()
    until("not ready", lambda: one.asked("readyz")[0] == 503)
    assert one.asked("healthz")[0] == 200, "the agent itself is well"
    one.send(4)
    plane.apply(application(f"{name}-2", url, NEAR | {"priority": 3}))
    assert one.state(name) == before, "nothing is known, and nothing is told"
    one.start_daemon()
    one.becomes(f"{name}-2", "Success")
    until("ready", one.ready)
    assert [each.runs for each in one.chain()] == [0, 4]
    assert one.state(name) == before


def test_an_api_server_that_restarts(
    plane: ControlPlane, two: tuple[nodes.Node, nodes.Node], name: str, url: str
) -> None:
    plane.apply(application(name, url, NEAR))
    for node in two:
        node.becomes(name, "Success")
    plane.restart_apiserver()
    plane.apply(application(f"{name}-2", url, NEAR | {"priority": 3}))
    for node in two:
        node.becomes(f"{name}-2", "Success")
        assert len(node.chain()) == 2
    delete(plane, name)
    for node in two:
        until("one is left", lambda node=node: len(node.programs()) == 1)  # type: ignore[misc]


def test_links_that_somebody_takes_away_come_again_with_the_daemon(
    plane: ControlPlane, two: tuple[nodes.Node, nodes.Node], name: str, url: str
) -> None:
    one, _ = two
    plane.apply(application(name, url, NEAR))
    one.becomes(name, "Success")
    (link,) = one.links()
    one.daemon.cli("link", "detach", str(link.record.id))
    one.kill_daemon()
    one.start_daemon()
    until("it is attached again", lambda: len(one.links()) == 1)
    one.send(2)
    assert one.chain()[0].runs == 2


def test_an_object_that_nobody_can_read_is_told(
    plane: ControlPlane, two: tuple[nodes.Node, nodes.Node], name: str, url: str
) -> None:
    """What the CRD takes and the agent does not: two links at one place with different priorities."""
    one, _ = two
    plane.apply(application(name, url, NEAR | {"priority": 1}, NEAR | {"priority": 2}))
    one.becomes(name, "Error", "spec.programs[0].xdp.links[1] is at a place of another link")
    assert one.programs() == ()
    plane.apply(application(name, url, NEAR | {"priority": 1}))
    one.becomes(name, "Success", "1 link attached")


def test_the_socket_is_all_an_agent_needs(two: tuple[nodes.Node, nodes.Node]) -> None:
    """Its account may read no secret, and change no application; it has given up what it could see of its node."""
    one, _ = two
    assert ("no Landlock" in one.logs.read_text()) == (not test_landlock.available())
    for words in (("get", "secrets"), ("patch", "clusterbpfapplications"), ("delete", "pods"), ("list", "secrets")):
        with pytest.raises(subprocess.CalledProcessError):
            one.plane.kubectl("auth", "can-i", *words, "-A", kubeconfig=one.kubeconfig)
