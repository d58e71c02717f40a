"""Pods are found by the control groups that kubelet makes: on both versions, by both drivers, in every shape."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from skep import errors, model
from skep.kernel import cgroups, pods, process
from tests import kubepods

pytestmark = pytest.mark.native  # what it is about is the same in the guest, and slow there

SLEEP = ("sleep", "infinity")
PAUSE = ("unshare", "--net", "sleep", "infinity")


@pytest.fixture(scope="module")
def first_version(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A hierarchy of version 1 without controllers, mounted where systemd has its own."""
    directory = tmp_path_factory.mktemp("version-1")
    place = directory / "systemd"
    place.mkdir()
    name = f"name=skep{os.getpid()}"
    mount = ["mount", "-t", "cgroup", "-o", f"none,{name}", "cgroup", str(place)]
    subprocess.run(mount, check=True)
    try:
        yield str(directory)
    finally:
        subprocess.run(["umount", str(place)], check=True)
        # A hierarchy whose groups were just removed outlives its mount: a later umount lets go of it.
        for _ in range(10):
            if f":{name}:" not in Path("/proc/self/cgroup").read_text():
                break
            time.sleep(0.3)
            subprocess.run(mount, check=True)
            subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(params=["version 2", "version 1"])
def root(request: pytest.FixtureRequest) -> str:
    """Where control groups are mounted: the host's, or a hierarchy of version 1."""
    if request.param == "version 2":
        return cgroups.mount()
    made: str = request.getfixturevalue("first_version")
    return made


@pytest.fixture
def node(root: str) -> Iterator[kubepods.Node]:
    with kubepods.node(hierarchy(root)) as made:
        yield made


def hierarchy(root: str) -> str:
    return root if os.path.exists(f"{root}/cgroup.procs") else f"{root}/systemd"


def find(root: str, pod: kubepods.Pod, *containers: kubepods.Container, uid: str = "") -> model.PodSeen:
    wanted = model.PodRef(
        uid=uid or pod.uid,
        containers=tuple(model.ContainerRef(name=f"c{index}", id=each.url) for index, each in enumerate(containers)),
    )
    (found,) = pods.Pods(root).find((wanted,))
    assert found.uid == wanted.uid
    assert [each.id for each in found.containers] == [each.url for each in containers]
    return found


@pytest.mark.parametrize("quality", ["", "burstable", "besteffort"])
@pytest.mark.parametrize("driver", ["cgroupfs", "systemd"])
def test_a_pod_with_a_sandbox_and_a_container(root: str, driver: str, quality: str) -> None:
    with kubepods.node(hierarchy(root), driver) as node:
        pod = node.pod(quality=quality)
        sandbox = pod.container(*PAUSE)
        assert sandbox.process is not None
        inode = kubepods.in_own_network(sandbox.process)
        app = pod.container("nsenter", f"--net=/proc/{sandbox.pid}/ns/net", *SLEEP)
        other = node.pod(quality=quality)
        other.container(*SLEEP)
        found = find(root, pod, app)
        assert found.missing == ""
        assert found.inode == inode
        assert found.netns is not None and os.stat(found.netns).st_ino == inode
        (seen,) = found.containers
        assert (seen.name, seen.pid, seen.missing) == ("c0", app.pid, "")
        assert seen.start == process.start(app.pid) > 0


def test_the_first_process_is_the_containers(root: str, node: kubepods.Node) -> None:
    """Neither one that came in later (exec), nor one in a control group that the container made itself."""
    pod = node.pod()
    app = pod.container(*SLEEP)
    first = process.start(app.pid)
    late = node.run(*SLEEP)
    while process.start(late.pid) == first:  # of the same clock tick
        node.stop(late)
        late = node.run(*SLEEP)
    inner = app.place / "init.scope"
    inner.mkdir()
    (inner / "cgroup.procs").write_text(str(app.pid))
    (app.place / "cgroup.procs").write_text(str(late.pid))
    assert find(root, pod, app).containers[0].pid == app.pid


def test_process_one_of_the_container_among_equals(root: str, node: kubepods.Node) -> None:
    """Whoever forks the container's first process may be in the group with it, and began in the same tick."""
    pod = node.pod()
    app = pod.container()
    parent = node.run("unshare", "--pid", "--fork", "--kill-child", *SLEEP)

    def child() -> int:
        return int(Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text() or 0)

    kubepods.wait_for(lambda: child() > 0)
    (app.place / "cgroup.procs").write_text(str(child()))
    assert find(root, pod, app).containers[0].pid == child()


def test_a_pod_with_the_hosts_network(root: str, node: kubepods.Node) -> None:
    pod = node.pod()
    app = pod.container(*SLEEP)
    assert find(root, pod, app).inode == kubepods.netns(os.getpid())


def test_a_container_that_moves_elsewhere_does_not_move_its_pod(root: str, node: kubepods.Node) -> None:
    pod = node.pod()
    sandbox = pod.container(*PAUSE)
    assert sandbox.process is not None
    inode = kubepods.in_own_network(sandbox.process)
    mover = pod.container("nsenter", f"--net=/proc/{sandbox.pid}/ns/net", "unshare", "--net", *SLEEP)
    kubepods.wait_for(lambda: kubepods.netns(mover.pid) not in (inode, kubepods.netns(os.getpid())))
    assert find(root, pod, mover).inode == inode


def test_what_is_not_there_is_told_apart(root: str, node: kubepods.Node) -> None:
    pod = node.pod()
    app = pod.container(*SLEEP)
    ended = pod.container()
    wanted = model.PodRef(
        uid=pod.uid,
        containers=(
            model.ContainerRef(name="waits", id=""),
            model.ContainerRef(name="runs", id=app.url),
            model.ContainerRef(name="ended", id=ended.url),
            model.ContainerRef(name="removed", id="containerd://" + "ab" * 32),
        ),
    )
    (found, nowhere) = pods.Pods(root).find((wanted, model.PodRef(uid="5e3c3a54-0000-4000-8000-000000000000")))
    waits, runs, dead, removed = found.containers
    assert (waits.pid, waits.missing) == (0, "it has no number: it has not begun")
    assert (runs.pid, runs.missing) == (app.pid, "")
    assert dead.pid == 0
    assert "no process is left in it" in dead.missing or "it has none" in dead.missing
    assert removed.pid == 0
    assert "has no control group below" in removed.missing
    assert nowhere.netns is None
    assert "is not on this node" in nowhere.missing
    empty = node.pod()
    assert find(root, empty).missing == "no container of it has begun"


def test_a_container_that_is_started_again_is_found_again(root: str, node: kubepods.Node) -> None:
    """By the same finder, which remembers where pods were."""
    finder, pod = pods.Pods(root), node.pod()
    for _ in range(2):
        app = pod.container(*SLEEP)
        assert app.process is not None
        wanted = model.PodRef(uid=pod.uid, containers=(model.ContainerRef(name="app", id=app.url),))
        assert finder.find((wanted,))[0].containers[0].pid == app.pid
        node.stop(app.process)
    second = node.pod(quality="besteffort")
    app = second.container(*SLEEP)
    wanted = model.PodRef(uid=second.uid, containers=(model.ContainerRef(name="app", id=app.url),))
    assert finder.find((wanted,))[0].containers[0].pid == app.pid


def test_a_static_pod_is_found_by_its_containers(root: str, node: kubepods.Node) -> None:
    """The API server has given its mirror another uid than kubelet's, which control groups are called by."""
    pod = node.pod(uid="0d4e5a1c2b3f4a5d6e7f8091a2b3c4d5")
    app = pod.container(*SLEEP)
    found = find(root, pod, app, uid="8dbb5577-ff87-4b52-9d2e-7c1f3a9b6c01")
    assert (found.missing, found.containers[0].pid) == ("", app.pid)


def test_a_directory_that_was_handed_to_a_user_is_not_believed(root: str, node: kubepods.Node) -> None:
    pod = node.pod()
    app = pod.container(*SLEEP)
    assert find(root, pod, app).missing == ""
    os.chown(node.top, 65534, 65534)
    assert "is not on this node" in find(root, pod, app).missing


def test_processes_of_another_pid_namespace_are_said_to_be(root: str, node: kubepods.Node) -> None:
    pod = node.pod()
    app = pod.container(*SLEEP)
    code = f"""
import json
from skep import model
from skep.kernel import pods
wanted = model.PodRef(uid={pod.uid!r}, containers=(model.ContainerRef(name="app", id={app.url!r}),))
found = pods.Pods({root!r}).find((wanted,))[0]
print(json.dumps([found.missing, found.containers[0].missing]))
"""
    words = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "src"})
    told = json.loads(done.stdout)
    assert len(told) == 2
    assert all("in sight" in one and "the daemon needs the host's process ids (hostPID)" in one for one in told)


@dataclass
class Told:
    """A container runtime: processes by containers' numbers and pods' uids."""

    containers: dict[str, int] = field(default_factory=dict)
    sandboxes: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def container(self, number: str) -> int:
        return self._one(self.containers, number)

    def sandbox(self, uid: str) -> int:
        return self._one(self.sandboxes, uid)

    def _one(self, known: dict[str, int], name: str) -> int:
        self.asked.append(name)
        if name not in known:
            raise errors.NotFound(f"no {name}", do="look elsewhere")
        return known[name]


def test_a_runtime_is_asked_where_there_is_no_control_group(root: str, node: kubepods.Node) -> None:
    pod = node.pod()
    sandbox = node.run(*PAUSE)
    inode = kubepods.in_own_network(sandbox)
    vm, gone = "ab" * 32, "cd" * 32
    runtime = Told(containers={vm: sandbox.pid})
    containers = (
        model.ContainerRef(name="vm", id=f"containerd://{vm}"),
        model.ContainerRef(name="gone", id=f"containerd://{gone}"),
    )
    (found,) = pods.Pods(root, runtime).find((model.PodRef(uid=pod.uid, containers=containers),))
    assert runtime.asked == [vm, gone]
    assert (found.inode, found.containers[0].pid) == (inode, sandbox.pid)
    assert found.containers[1].missing.endswith(f"and its runtime: no {gone} (look elsewhere)")


def test_a_runtime_tells_the_sandbox_of_a_pod_without_containers(root: str, node: kubepods.Node) -> None:
    sandbox = node.run(*PAUSE)
    inode = kubepods.in_own_network(sandbox)
    runtime = Told(sandboxes={"known": sandbox.pid})
    known, unknown = pods.Pods(root, runtime).find((model.PodRef(uid="known"), model.PodRef(uid="unknown")))
    assert known.inode == inode
    assert unknown.missing.endswith("and its runtime: no unknown (look elsewhere)")


def test_a_runtime_is_not_asked_about_what_is_found(root: str, node: kubepods.Node) -> None:
    app = node.pod().container(*SLEEP)
    runtime = Told()
    wanted = model.PodRef(uid=app.pod.uid, containers=(model.ContainerRef(name="app", id=app.url),))
    assert pods.Pods(root, runtime).find((wanted,))[0].containers[0].pid == app.pid
    assert runtime.asked == []
