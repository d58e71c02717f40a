"""The daemon as its DaemonSet's container runs it, and a client as the agent's container is: what each can and cannot.

The daemon has a mount namespace of its own, into which the host's bpffs and control groups are bound, the host's
process ids, a network of its own, no new privileges and exactly the capabilities of ``kube.rights``. The client has
nothing: another mount, network and process namespace, uid 65532, no capability; only the socket is there.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skep import errors, model
from skep.hooks import tc, tcx, tracepoint, uprobe, xdp
from skep.kernel import cgroups
from skep.kube import rights
from skep.rpc import client
from tests import bpf_build, images, instance, kubepods
from tests.e2e import kept

AGENT = 65532
NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
FILES = "/run/skep-files"
"""Only in the daemon's mount namespace."""
MOUNTS = """
set -e
mount --bind /sys/fs/bpf /sys/fs/bpf
mount --bind {cgroups} {cgroups}
mount -o remount,ro,bind {cgroups}
mkdir -p {place} && mount -t tmpfs tmpfs {place} && cp {object} {place}/count.o && chmod 755 {place}
exec "$@"
"""
CLIENT = """
import ctypes, dataclasses, json, os, sys
from skep import errors, model
from skep.hooks import xdp
from skep.rpc import client

socket, pod, app, file, private = sys.argv[1:6]
libc = ctypes.CDLL(None, use_errno=True)

def work(path):
    told = {{}}
    with client.Client(path) as skep:
        told["own"] = [each.name for each in skep.describe_host().namespaces[0].interfaces]
        watch = skep.watch_host()
        told["watched"] = next(watch).namespaces[0].inode
        watch.close()
        wanted = model.PodRef(uid=pod, containers=(model.ContainerRef(name="app", id=app),))
        (found,) = skep.find_pods([wanted])
        told["pid"], told["inode"] = found.containers[0].pid, found.inode
        source, programs = model.FileSource(path=file), (model.ProgramSpec(name="count"),)
        load = model.Load(object=b"", source=source, programs=programs, read_file=True)
        (program,) = skep.run(load).programs
        told["caller"] = dataclasses.astuple(program.record.loaded_by)
        place = model.InterfaceRef(name="lo", netns=found.netns)
        op = model.Attach(program=program.record.id, attachment=xdp.XdpAttachment(interface=place, priority=1))
        (link,) = skep.run(op).links
        told["netns"] = skep.link(link).record.netns
        told["packets"] = len(list(skep.map_pages(model.MapDump(map=str(program.status.kernel.map_ids[0])))))
        for gone in (model.Detach(link=link), model.Unload(program=program.record.id)):
            skep.run(gone)
        try:
            skep.run(dataclasses.replace(load, source=model.FileSource(path=private)))
            told["private"] = "loaded"
        except errors.SkepError as error:
            told["private"] = type(error).__name__
    return told

work(socket)  # imports all that the user below may not read
if libc.unshare({namespaces}):
    raise OSError(ctypes.get_errno(), "unshare")
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os.setgroups([])
os.setresgid(0, 0, 0)
os.setresuid({agent}, {agent}, {agent})
libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
told = work(socket)
told["capabilities"] = [line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapPrm", "CapEff"))]
told["self"] = os.getpid()
print(json.dumps(told))
"""


class Box:
    """How the daemon's container is entered, and where its things are."""

    def __init__(self, home: kept.Home, network: instance.Network, capabilities: tuple[str, ...] | None = None) -> None:
        self.home, self.network = home, network
        names = [name for name, _ in rights.DAEMON] if capabilities is None else capabilities
        kept_ = "".join(f",+{name.lower()}" for name in names)
        script = MOUNTS.format(
            cgroups=shlex.quote(cgroups.mount()), place=FILES, object=shlex.quote(str(bpf_build.build("count")))
        )
        self.enter = (
            *network.enter, "unshare", "--mount", "--propagation", "slave", "sh", "-c", script, "sh",
            "setpriv", "--no-new-privs", f"--bounding-set=-all{kept_}",
        )  # fmt: skip


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    directory = tmp_path_factory.mktemp("box")
    for place in (directory, *directory.parents[:2]):
        place.chmod(0o755)  # the agent reaches the socket by this path
    with kept.home(directory) as home, instance.network("box") as network:
        yield Box(home, network)


@pytest.fixture(scope="module")
def daemon(box: Box) -> Iterator[subprocess.Popen[bytes]]:
    with box.home.daemon(*box.enter) as process:
        yield process


@pytest.fixture
def skep(box: Box, daemon: subprocess.Popen[bytes]) -> Iterator[client.Client]:
    with client.Client(box.home.layout.socket) as connected:
        yield connected


@pytest.fixture
def node() -> Iterator[kubepods.Node]:
    with kubepods.node(cgroups.mount()) as made:
        yield made


def load(skep: client.Client, object: str, program: str, hook: str | None = None) -> model.ProgramId:
    path = bpf_build.build(object)
    spec = model.ProgramSpec(name=program, hook=None if hook is None else model.HookName(hook))
    done = skep.run(model.Load(object=path.read_bytes(), source=model.FileSource(path=str(path)), programs=(spec,)))
    return done.programs[0].record.id


def test_the_daemon_has_exactly_these_capabilities(daemon: subprocess.Popen[bytes]) -> None:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{daemon.pid}/status").read_text().splitlines())
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    done = subprocess.run(["setpriv", "--list-caps"], capture_output=True, text=True, check=True)
    numbers = {name: number for number, name in enumerate(done.stdout.split()[: last + 1])}
    wanted = sum(1 << numbers[name.lower()] for name, _ in rights.DAEMON)
    assert [int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")] == [wanted] * 3
    assert os.readlink(f"/proc/{daemon.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")


def test_an_agent_without_rights_can_do_all_it_needs(
    box: Box, daemon: subprocess.Popen[bytes], node: kubepods.Node
) -> None:
    pod = node.pod()
    sandbox = pod.container("unshare", "--net", "sleep", "infinity")
    assert sandbox.process is not None
    inode = kubepods.in_own_network(sandbox.process)
    app = pod.container("nsenter", f"--net=/proc/{sandbox.pid}/ns/net", *AS_NOBODY, "sleep", "infinity")
    kubepods.wait_for(lambda: kubepods.netns(app.pid) == inode)
    secret = Path(box.home.layout.state) / "private.o"
    secret.write_bytes(bpf_build.build("count").read_bytes())
    secret.chmod(0o600)
    namespaces = 0x00020000 | 0x40000000 | 0x20000000  # CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID
    done = subprocess.run(
        [
            sys.executable, "-c", CLIENT.format(namespaces=namespaces, agent=AGENT), box.home.layout.socket, pod.uid,
            app.url, f"{FILES}/count.o", str(secret),
        ],
        env=instance.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["capabilities"] == ["0000000000000000"] * 2
    assert set(told["own"]) == {"lo", box.network.near, box.network.far}
    assert told["watched"] == os.stat(box.network.path).st_ino
    assert (told["pid"], told["inode"], told["netns"]) == (app.pid, inode, inode)
    assert not os.path.exists(f"{FILES}/count.o"), "the file was in the daemon's own mounts"
    uid, gid, pid, groups, origin = told["caller"]
    assert (uid, gid, groups, origin) == (AGENT, 0, [], "socket")
    assert told["self"] == 1
    assert pid > 1, "as the daemon numbers it"
    assert told["packets"] >= 1
    assert told["private"] == "Denied"


def test_every_kind_of_place_in_and_out_of_pods(box: Box, skep: client.Client, node: kubepods.Node) -> None:
    """Interfaces of the daemon's and of a pod's, whose processes are not root's; tracepoints; the container's libc."""
    pod = node.pod()
    sandbox = pod.container("unshare", "--net", *AS_NOBODY, "sleep", "infinity")
    assert sandbox.process is not None
    kubepods.in_own_network(sandbox.process)
    kubepods.wait_for(lambda: Path(f"/proc/{sandbox.pid}/comm").read_text() == "sleep\n")
    wanted = model.PodRef(uid=pod.uid, containers=(model.ContainerRef(name="app", id=sandbox.url),))
    (found,) = skep.find_pods([wanted])
    assert found.containers[0].pid == sandbox.pid
    attached: list[model.LinkId] = []
    programs: list[model.ProgramId] = []
    for name, hook in HOOKS.items():
        programs.append(load(skep, "every_type", name, hook))
        for place in places(hook, box.network.near, found):
            attached += skep.run(model.Attach(program=programs[-1], attachment=place)).links
    assert len(attached) == 8
    assert {skep.link(link).status.state for link in attached} == {model.LinkState.ATTACHED}
    for link in attached:
        skep.run(model.Detach(link=link))
    for program in programs:
        skep.run(model.Unload(program=program))
    assert skep.doctor() == ()


HOOKS = {"on_xdp": "xdp", "on_tc": "tc", "on_tcx": "tcx", "on_tracepoint": "tracepoint", "on_uprobe": "uprobe"}


def places(hook: str, interface: str, pod: model.PodSeen) -> list[object]:
    """Where a program is attached: at an interface of the daemon's and one of the pod's, or in the pod's container."""
    if hook == "tracepoint":
        return [tracepoint.TracepointAttachment(group="syscalls", name="sys_enter_getppid")]
    if hook == "uprobe":
        pid = pod.containers[0].pid
        return [uprobe.UprobeAttachment(target="libc.so.6", fn_name="getppid", container_pid=pid)]
    refs = (model.InterfaceRef(name=interface), model.InterfaceRef(name="lo", netns=pod.netns))
    if hook == "xdp":
        return [xdp.XdpAttachment(interface=ref, priority=1) for ref in refs]
    if hook == "tc":
        return [tc.TcAttachment(interface=ref, direction=tcx.Direction.INGRESS, priority=1) for ref in refs]
    return [tcx.TcxAttachment(interface=ref, direction=tcx.Direction.INGRESS, priority=1) for ref in refs]


def test_without_the_right_to_trace_a_pod_is_said_to_be_out_of_sight(box: Box, node: kubepods.Node) -> None:
    """What is missing is named, rather than the pod told to have ended."""
    app = node.pod().container(*AS_NOBODY, "sleep", "infinity")
    kubepods.wait_for(lambda: Path(f"/proc/{app.pid}/comm").read_text() == "sleep\n")
    wanted = model.PodRef(uid=app.pod.uid, containers=(model.ContainerRef(name="app", id=app.url),))
    (directory := box.home.directory / "less").mkdir()
    names = tuple(name for name, _ in rights.DAEMON if name != "SYS_PTRACE")
    with (
        kept.home(directory) as home,
        home.daemon(*Box(home, box.network, names).enter),
        client.Client(home.layout.socket) as skep,
    ):
        (found,) = skep.find_pods([wanted])
    assert found.netns is None
    assert "the daemon needs CAP_SYS_PTRACE" in found.missing
    assert found.containers[0].pid == app.pid


def test_images_are_read_by_processes_without_rights(box: Box, skep: client.Client, tmp_path: Path) -> None:
    """They become nobody in the container, too."""
    store = images.Store()
    store.image(tag="v1")
    for name, data in store.files().items():
        path = tmp_path / "layout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    wanted = model.ImageRequest(url=f"oci:{tmp_path / 'layout'}", policy=model.PullPolicy.ALWAYS)
    *_, pulled = skep.images.pull(wanted)
    assert isinstance(pulled, model.Image)
    assert pulled.programs == {"count": "xdp"}


def test_what_is_attached_outlives_the_container(box: Box, node: kubepods.Node) -> None:
    """SIGTERM ends it cleanly; its mount namespace is gone; the next container finds everything as it was."""
    (directory := box.home.directory / "second").mkdir()
    with instance.network("box2") as network, kept.home(directory) as home:
        first = Box(home, network)
        with home.daemon(*first.enter) as process, client.Client(home.layout.socket) as skep:
            program = load(skep, "every_type", "on_xdp")
            ref = model.InterfaceRef(name=network.near)
            (link,) = skep.run(
                model.Attach(program=program, attachment=xdp.XdpAttachment(interface=ref, priority=1))
            ).links
            process.terminate()
            assert process.wait(kept.SECONDS) == 0
        with home.daemon(*first.enter), client.Client(home.layout.socket) as skep:
            assert skep.link(link).status.state is model.LinkState.ATTACHED
            assert skep.doctor() == ()
            skep.run(model.Unload(program=program))


def test_a_bpffs_of_the_containers_own_is_refused(box: Box, tmp_path: Path) -> None:
    """What is pinned there would go with the container, and every attachment with it."""
    with kept.home(tmp_path) as home:
        script = 'mount -t bpf bpf /sys/fs/bpf && exec "$@"'
        words = [*Box(home, box.network).enter[:3], "--mount", "sh", "-c", script, "sh"]
        done = subprocess.run(
            [*words, *instance.command(), "serve", "--runtime-dir", home.layout.runtime],
            env=instance.environment(), capture_output=True, text=True, check=False, timeout=kept.SECONDS,
        )  # fmt: skip
    assert done.returncode != 0
    assert "its pins would die with it" in done.stderr


def test_a_client_outside_of_the_daemons_processes_has_no_number(tmp_path: Path) -> None:
    """As in a container without hostPID: it is told as process 0, and is somebody all the same."""
    with kept.home(tmp_path) as home:
        words = ("unshare", "--pid", "--fork", "--kill-child=SIGTERM", "--mount-proc")
        process = subprocess.Popen(
            [*words, *instance.command(), "serve", "--runtime-dir", home.layout.runtime], env=instance.environment()
        )
        try:
            with client.Client(home.layout.socket) as skep:
                kubepods.wait_for(lambda: answers(skep))
                program = load(skep, "every_type", "on_xdp")
                found = skep.program(program)
                assert isinstance(found, model.Program)
                assert (found.record.loaded_by.uid, found.record.loaded_by.pid) == (os.getuid(), 0)
                path = str(bpf_build.build("every_type"))
                source, specs = model.FileSource(path=path), (model.ProgramSpec(name="on_xdp"),)
                read = skep.run(model.Load(object=b"", source=source, programs=specs, read_file=True))
                for one in (program, read.programs[0].record.id):
                    skep.run(model.Unload(program=one))
        finally:
            child = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
            os.kill(child, signal.SIGTERM)
            process.wait(kept.SECONDS)


def answers(skep: client.Client) -> bool:
    try:
        return skep.version().pid == 1
    except errors.Unavailable:
        return False


def test_a_probe_says_whether_the_daemon_serves(tmp_path: Path) -> None:
    """Not before it does, not after it has ended, and not when it hangs."""
    with kept.home(tmp_path) as home:
        before = home.run("ready")
        assert before.returncode == 5, "exit code of Unavailable"
        with home.daemon() as process:
            during = home.run("ready")
            assert (during.returncode, during.stdout) == (0, f"the daemon at {home.layout.socket} serves\n")
            process.send_signal(signal.SIGSTOP)
            try:
                hanging = home.run("ready", "--timeout", "0.5")
            finally:
                process.send_signal(signal.SIGCONT)
            assert hanging.returncode == 5
            assert "the daemon is not ready: the deadline has passed" in hanging.stderr
        assert home.run("ready").returncode == 5
