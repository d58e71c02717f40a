"""An operator is replaced by a newer one and by the older one again, while a cluster is in use: nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from skep.kube import naming
from tests.kube import operator_rig as rig
from tests.kube import played_load
from tests.kube.plane import ControlPlane, until
from tests.parts import CHECKOUT
from tests.unit.kube.older import samples

BEFORE = "17233ece178bc880631cf9a482685fe22a4eb87c"
"""The last commit before the operator served older kinds."""
A, B = "upgrade-node-a", "upgrade-node-b"
NAMESPACE = "operator-upgrade"


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """The code of the operator before."""
    git = ("git", "-C", str(CHECKOUT))
    if subprocess.run([*git, "cat-file", "-e", f"{BEFORE}^{{commit}}"], capture_output=True, check=False).returncode:
        pytest.skip(f"this checkout has no history: there is no commit {BEFORE}")
    packed = subprocess.run([*git, "archive", BEFORE, "src"], capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(tmp_path)], input=packed, check=True)
    return tmp_path / "src"


class Operators:
    """Operators that follow each other; each is a candidate before the one that leads is ended."""

    def __init__(self, plane: ControlPlane, directory: Path) -> None:
        self._plane = plane
        self._directory = directory
        self._all: list[rig.Operator] = []

    def next(self, source: Path) -> rig.Operator:
        """Another one takes over."""
        log = self._directory / f"operator-{len(self._all)}.log"
        made = rig.Operator(self._plane, log, "--leader-elect", source=source)
        self._all.append(made)
        until("it is a candidate", lambda: made.said("candidate for the lease"))
        if len(self._all) > 1:
            assert self._all[-2].end() == 0
        until("it leads", lambda: made.said("seeing all"), 60)
        return made

    def close(self) -> None:
        """End the last; none has met a bug."""
        for each in self._all:
            if each.process.poll() is None:
                assert each.end() == 0
        for each in self._all:
            text = each.log.read_text()
            sys.stdout.write(text[-3000:])
            assert "Traceback" not in text


@pytest.fixture
def operators(cleared: ControlPlane, plane: ControlPlane, tmp_path: Path) -> Iterator[Operators]:
    """Two nodes, a Config, and no operator yet."""
    rig.prepare(plane)
    plane.kubectl("create", "namespace", NAMESPACE)
    plane.apply(rig.config(NAMESPACE))
    with ExitStack() as held:
        held.callback(until, "all is collected", lambda: not plane.list("daemonset"))
        release = '{"metadata":{"finalizers":null}}'
        held.callback(
            plane.kubectl, "patch", "config", naming.CONFIG, "--type=merge", "-p", release, check=False
        )  # fmt: skip
        held.callback(plane.kubectl, "delete", "config", naming.CONFIG, "--wait=false")
        held.enter_context(rig.nodes(plane, rig.node(A), rig.node(B)))
        made = Operators(plane, tmp_path)
        held.callback(made.close)
        yield made


def becomes(plane: ControlPlane, name: str, type: str) -> None:
    def look() -> bool:
        told = rig.condition(plane.get("xdpprogram", name))
        assert told.get("type") == type, told
        return True

    until(f"{name} is {type}", look, 60)


def priority(plane: ControlPlane, name: str) -> int:
    spec = plane.get("clusterbpfapplication", name)["spec"]
    return int(spec["programs"][0]["xdp"]["links"][0]["priority"])


def settled(plane: ControlPlane, load: played_load.Load, older: set[str]) -> list[dict[str, Any]]:
    """The applications, as soon as there are those that ought to be, and all of them are on both nodes."""

    def look() -> list[dict[str, Any]]:
        found = plane.list("clusterbpfapplications")
        assert {each["metadata"]["name"] for each in found} == load.names | older
        for each in found:
            told = rig.condition(each)
            assert told.get("type") == "Success", told
            assert each["status"]["observedGeneration"] == each["metadata"]["generation"]
            assert (each["status"]["desired"], each["status"]["ready"]) == (2, 2)
            assert "deletionTimestamp" not in each["metadata"]
        return found

    found = until("all is as it ought to be", look, 60)
    states = plane.list("clusterbpfapplicationstates")
    assert len(states) == 2 * len(found) and not any("deletionTimestamp" in each["metadata"] for each in states)
    return found


def xdp(name: str, priority: int = 50) -> dict[str, Any]:
    return samples.older("XdpProgram", {"interfaceselector": {"interfaces": ["eth0"]}, "priority": priority}, name=name)


@pytest.mark.timeout(240)
def test_there_and_back_and_there_again(plane: ControlPlane, operators: Operators, former: Path) -> None:
    now = CHECKOUT / "src"
    operators.next(former)
    # Whoever installs anew applies the CRDs first; older objects may be there before anybody serves them.
    plane.apply(xdp("before"))
    with played_load.load(plane.kubeconfig, A, B) as load:
        until("it is in use", lambda: load.done or load.steps > 8)
        assert not plane.get("xdpprogram", "before").get("status")

        operators.next(now)
        becomes(plane, "before", "ReconcileSuccess")
        plane.apply(xdp("goes"), xdp("changes"))
        becomes(plane, "goes", "ReconcileSuccess")
        becomes(plane, "changes", "ReconcileSuccess")
        made = {name: plane.get("clusterbpfapplication", name)["metadata"]["uid"] for name in ("before", "changes")}

        operators.next(former)
        plane.kubectl("delete", "xdpprogram", "goes", "--wait=false")
        plane.apply(xdp("changes", 7), xdp("comes"))
        until("all changes are made", lambda: load.done, 60)
        # For this one they are applications like any other: they stay, and go on.
        settled(plane, load, {"before", "changes", "goes"})
        assert plane.get("xdpprogram", "goes"), "somebody has let it go who knows nothing of it"
        assert priority(plane, "changes") == 50

        operators.next(now)
        until("the deleted one is gone", lambda: not plane.get("xdpprogram", "goes"), 60)
        until("the change went through", lambda: priority(plane, "changes") == 7)
        for name in ("before", "changes", "comes"):
            becomes(plane, name, "ReconcileSuccess")
        settled(plane, load, {"before", "changes", "comes"})
        for name, uid in made.items():
            assert plane.get("clusterbpfapplication", name)["metadata"]["uid"] == uid, "it was made anew"
        assert load.lost == []

        for name in ("before", "changes", "comes"):
            plane.kubectl("delete", "xdpprogram", name, "--wait=false")
        plane.kubectl("delete", "clusterbpfapplications", "--all", "--wait=false")
        load.names.clear()
        until("nothing is left", lambda: not plane.list("clusterbpfapplications") and not plane.list("xdpprograms"), 60)
        until("no state is left", lambda: not plane.list("clusterbpfapplicationstates"), 60)
