"""Netkit: programs on either side of a pair see and stop what that side sends, in the order of their priorities."""

from __future__ import annotations

import errno
import itertools
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, model
from skep.hooks import netkit
from skep.kernel import netns
from tests import bpf_build, instance
from tests.kernel import types_rig
from tests.kernel.types_rig import ROOT, Rig

PASS, DROP, NEXT = 0, 2, -1  # enum netkit_action, linux/if_link.h
_numbers = itertools.count(1)


class Pair:
    """``primary`` in one namespace and ``peer`` in another, as a host and a container have them."""

    def __init__(self) -> None:
        number = f"{os.getpid()}n{next(_numbers)}"
        self.host, self.container = f"skepnk{number}h", f"skepnk{number}c"
        for name in (self.host, self.container):
            _run("ip", "netns", "add", name)
        # iproute2 of Debian 12 does not know the kind, and need not: the kernel names the peer.
        _run("ip", "-n", self.host, "link", "add", "primary", "type", "netkit")
        (self.peer,) = {name for name in _interfaces(self.host) if name not in ("lo", "primary")}
        _run("ip", "-n", self.host, "link", "set", self.peer, "netns", self.container)
        for name, device, address in ((self.host, "primary", "10.9.8.1"), (self.container, self.peer, "10.9.8.2")):
            _run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", device)
            _run("ip", "-n", name, "link", "set", device, "up")

    @property
    def path(self) -> str:
        return f"/run/netns/{self.host}"

    @property
    def container_path(self) -> str:
        return f"/run/netns/{self.container}"

    def close(self) -> None:
        for name in (self.host, self.container):
            subprocess.run(["ip", "netns", "delete", name], check=False)

    def to_peer(self) -> bool:
        """Whether a datagram from the primary side arrives."""
        return _arrives(self.path, self.container_path, "10.9.8.2")

    def to_primary(self) -> bool:
        """Whether a datagram from the peer arrives."""
        return _arrives(self.container_path, self.path, "10.9.8.1")


def _run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def _interfaces(name: str) -> list[str]:
    return [line.split()[0].partition("@")[0] for line in _run("ip", "-n", name, "-br", "link").splitlines()]


def _arrives(source: str, target: str, address: str) -> bool:
    receiver = netns.inside(target, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sender = netns.inside(source, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with receiver, sender:
        receiver.bind((address, 0))
        receiver.settimeout(0.3)  # what is dropped does not come later: delivery is part of sending
        sender.sendto(b"hello", receiver.getsockname())
        try:
            return receiver.recv(16) == b"hello"
        except TimeoutError:
            return False


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with types_rig.rig(tmp_path) as made:
        yield made


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    try:
        yield made
    finally:
        made.close()


def load(rig: Rig, name: str, verdict: int = NEXT) -> model.Program:
    wanted = model.Load(
        object=bpf_build.build("netkit").read_bytes(),
        source=model.FileSource(path="netkit.bpf.o"),
        programs=(model.ProgramSpec(name=name),),
        global_data={"verdict": struct.pack("=i", verdict)},
    )
    (rig.program,) = rig.manager.run(ROOT, wanted).programs
    return rig.program


def place(pair: Pair, side: netkit.Side, priority: int = 50, name: str = "primary") -> netkit.NetkitAttachment:
    return netkit.NetkitAttachment(
        interface=model.InterfaceRef(name=name, netns=pair.path), side=side, priority=priority
    )


@pytest.mark.needs("netkit")
@pytest.mark.parametrize(
    ("program", "side"),
    [("on_primary", netkit.Side.PRIMARY), ("on_peer", netkit.Side.PEER), ("on_either", netkit.Side.PEER)],
)
def test_what_one_side_sends_is_seen_and_stopped_while_attached(
    rig: Rig, pair: Pair, program: str, side: netkit.Side
) -> None:
    sends, other = (pair.to_peer, pair.to_primary) if side is netkit.Side.PRIMARY else (pair.to_primary, pair.to_peer)
    assert (sends(), other()) == (True, True)
    dropping = load(rig, program, DROP)
    link = rig.attach(dropping, place(pair, side))
    shown = rig.manager.link(link)
    assert (shown.status.state, shown.status.position) == (model.LinkState.ATTACHED, 0)
    before = rig.hits(0, dropping)
    assert (sends(), other()) == (False, True)
    assert rig.hits(0, dropping) > before
    rig.detach(link)
    after = rig.hits(0, dropping)
    assert (sends(), other()) == (True, True)
    assert rig.hits(0, dropping) == after


@pytest.mark.needs("netkit")
def test_programs_run_by_priority_beside_each_other(rig: Rig, pair: Pair) -> None:
    last, first, middle = load(rig, "on_peer"), load(rig, "on_peer"), load(rig, "on_peer", PASS)
    for program, priority in ((last, 70), (first, 10), (middle, 50)):
        rig.attach(program, place(pair, netkit.Side.PEER, priority))
    shown = {one.program_id: one.status.position for one in rig.links()}
    assert [shown[one.record.id] for one in (first, middle, last)] == [0, 1, 2]
    before = [rig.hits(0, one) for one in (first, middle, last)]
    assert pair.to_primary()
    ran = [rig.hits(0, one) > old for one, old in zip((first, middle, last), before, strict=True)]
    assert ran == [True, True, False]
    (link,) = (one.record.id for one in rig.links() if one.program_id == last.record.id)
    rig.manager.run(ROOT, model.UpdateLink(link=link, priority=1))
    assert rig.manager.link(link).status.position == 0
    seen = rig.hits(0, last)
    assert pair.to_primary()
    assert rig.hits(0, last) > seen


@pytest.mark.needs("netkit")
def test_replacing_the_program_swaps_it(rig: Rig, pair: Pair) -> None:
    program = load(rig, "on_primary", DROP)
    rig.attach(program, place(pair, netkit.Side.PRIMARY))
    assert not pair.to_peer()
    wanted = model.ReplaceProgram(
        program=program.record.id,
        object=bpf_build.build("netkit").read_bytes(),
        source=model.FileSource(path="netkit.bpf.o"),
        global_data={"verdict": struct.pack("=i", PASS)},
    )
    rig.manager.run(ROOT, wanted)
    assert pair.to_peer()


@pytest.mark.needs("netkit")
def test_a_wrong_device_is_told(rig: Rig, pair: Pair) -> None:
    program = load(rig, "on_peer")
    with pytest.raises(errors.InvalidRequest, match="no netkit device"):
        rig.attach(program, place(pair, netkit.Side.PEER, name="lo"))
    beside = netkit.NetkitAttachment(
        interface=model.InterfaceRef(name=pair.peer, netns=pair.container_path), side=netkit.Side.PEER, priority=1
    )
    with pytest.raises(errors.InvalidRequest, match="name the other end"):
        rig.attach(program, beside)
    rig.attach(program, place(pair, netkit.Side.PEER))
    with pytest.raises(errors.AlreadyExists, match="primary peer"):
        rig.attach(program, place(pair, netkit.Side.PEER))
    assert len(rig.links()) == 1


@pytest.mark.needs("netkit")
def test_a_pair_that_goes_leaves_a_defunct_link(rig: Rig, pair: Pair) -> None:
    link = rig.attach(load(rig, "on_primary"), place(pair, netkit.Side.PRIMARY))
    _run("ip", "-n", pair.host, "link", "delete", "primary")
    assert rig.manager.link(link).status.state is model.LinkState.DEFUNCT
    rig.detach(link)
    assert rig.links() == ()


def test_a_kernel_without_it_says_so(rig: Rig) -> None:
    feature = types_rig.features()["netkit"]
    if feature.available:
        return
    network: instance.Network = rig.network()
    with pytest.raises(errors.Unsupported, match="this kernel has no netkit") as told:
        rig.attach(
            load(rig, "on_primary"),
            netkit.NetkitAttachment(
                interface=model.InterfaceRef(name=network.near, netns=network.path),
                side=netkit.Side.PRIMARY,
                priority=1,
            ),
        )
    assert (told.value.errno, told.value.first) == (errno.EINVAL, "6.7")
    assert rig.links() == ()
