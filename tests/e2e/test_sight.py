"""What a client without rights learns of the daemon's host through the socket, and what it may do with it."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator

import pytest

from skep import errors, model
from skep.hooks import xdp
from skep.kernel import cgroups
from skep.rpc import client
from tests import bpf_build, instance, kubepods

SECONDS = 30.0


@pytest.fixture(scope="module")
def network() -> Iterator[instance.Network]:
    with instance.network("sight") as made:
        yield made


@pytest.fixture(scope="module")
def daemon(network: instance.Network) -> Iterator[instance.Instance]:
    with instance.instance("sight", enter=network.enter) as running:
        yield running


@pytest.fixture
def skep(daemon: instance.Instance) -> Iterator[client.Client]:
    with client.Client(daemon.layout.socket) as connected:
        yield connected


@pytest.fixture
def node() -> Iterator[kubepods.Node]:
    with kubepods.node(cgroups.mount()) as made:
        yield made


def load(skep: client.Client) -> model.ProgramId:
    path = bpf_build.build("count")
    done = skep.run(
        model.Load(
            object=path.read_bytes(),
            source=model.FileSource(path=str(path)),
            programs=(model.ProgramSpec(name="count"),),
        )
    )
    return done.programs[0].record.id


def test_the_host_is_the_daemons(skep: client.Client, network: instance.Network) -> None:
    own = skep.describe_host().namespaces[0]
    assert own.path is None
    assert own.inode == os.stat(network.path).st_ino
    assert {"lo", network.near, network.far} == {each.name for each in own.interfaces}


def test_changes_are_told_until_the_client_ends_it(skep: client.Client, network: instance.Network) -> None:
    told: queue.Queue[model.HostSeen | errors.SkepError] = queue.Queue()

    def follow() -> None:
        try:
            for seen in skep.watch_host():
                told.put(seen)
        except errors.SkepError as error:
            told.put(error)

    thread = threading.Thread(target=follow)
    thread.start()
    first = told.get(timeout=SECONDS)
    assert isinstance(first, model.HostSeen)
    instance._run("ip", "-n", network.name, "link", "add", "fresh", "type", "bridge")
    try:
        while "fresh" not in [each.name for each in first.namespaces[0].interfaces]:
            first = told.get(timeout=SECONDS)
            assert isinstance(first, model.HostSeen)
    finally:
        instance._run("ip", "-n", network.name, "link", "del", "fresh")
    skep.close()
    thread.join(SECONDS)
    assert not thread.is_alive()
    while not isinstance(last := told.get(timeout=SECONDS), errors.SkepError):
        pass
    assert isinstance(last, errors.Unavailable)
    assert skep.describe_host().namespaces[0].path is None  # with a new connection


def test_an_ended_watch_leaves_nothing_in_the_daemon(skep: client.Client, daemon: instance.Instance) -> None:
    """No thread that looks after it, no descriptor."""

    def open_files() -> int:
        return len(os.listdir(f"/proc/{daemon.pid}/fd"))

    skep.describe_host()
    before = open_files()
    watch = skep.watch_host()
    next(watch)
    assert open_files() > before
    watch.close()  # type: ignore[attr-defined]
    kubepods.wait_for(lambda: open_files() <= before)


def test_a_daemon_that_ends_ends_its_watches() -> None:
    """With success, and so before the time that calls under way are given, after which they fail."""
    with (
        instance.network("sight") as network,
        instance.instance("sight", enter=network.enter) as running,
        client.Client(running.layout.socket) as connected,
    ):
        told: queue.Queue[model.HostSeen | str] = queue.Queue()

        def follow() -> None:
            try:
                for seen in connected.watch_host():
                    told.put(seen)
                told.put("ended")
            except errors.SkepError as error:
                told.put(str(error))

        thread = threading.Thread(target=follow)
        thread.start()
        assert isinstance(told.get(timeout=SECONDS), model.HostSeen)
        running.process.terminate()
        assert running.process.wait(SECONDS) == 0
        thread.join(SECONDS)
        assert told.get(timeout=SECONDS) == "ended"


def test_a_link_outlives_the_process_by_which_its_pod_was_found(
    skep: client.Client, daemon: instance.Instance, node: kubepods.Node
) -> None:
    """Attached through it; it ends, while another keeps the namespace: the link runs on, is found whole, and goes."""
    pod = node.pod()
    sandbox = pod.container("unshare", "--net", "sleep", "infinity")
    assert sandbox.process is not None
    inode = kubepods.in_own_network(sandbox.process)
    keeper = pod.container("nsenter", f"--net=/proc/{sandbox.pid}/ns/net", "sleep", "infinity")
    kubepods.wait_for(lambda: kubepods.netns(keeper.pid) == inode)
    wanted = model.PodRef(uid=pod.uid, containers=(model.ContainerRef(name="app", id=keeper.url),))
    (found,) = skep.find_pods([wanted])
    assert (found.netns, found.inode, found.containers[0].pid) == (f"/proc/{sandbox.pid}/ns/net", inode, keeper.pid)
    program = load(skep)
    place = model.InterfaceRef(name="lo", netns=found.netns)
    (link,) = skep.run(model.Attach(program=program, attachment=xdp.XdpAttachment(interface=place, priority=50))).links
    node.stop(sandbox.process)
    seen = skep.link(link)
    assert seen.status.state is model.LinkState.ATTACHED
    assert seen.record.netns == inode
    findings = [each for each in skep.doctor() if str(link) in each.subject or str(inode) in each.subject]
    assert findings == []
    # Its chain is still changed in place: another program comes and goes through the namespace's number.
    again = load(skep)
    new = model.InterfaceRef(name="lo", netns=skep.find_pods([wanted])[0].netns)
    (second,) = skep.run(model.Attach(program=again, attachment=xdp.XdpAttachment(interface=new, priority=10))).links
    assert [each.record.key.netns for each in skep.chains() if each.record.key.netns == inode] == [inode]
    for one in (link, second):
        skep.run(model.Detach(link=one))
    assert [each for each in skep.chains() if each.record.key.netns == inode] == []
    for each in (program, again):
        skep.run(model.Unload(program=each))
