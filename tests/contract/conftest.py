"""The two kernels that must behave the same: the fake, and Linux (which needs root)."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pytest

from skep import model, paths, steps
from skep.bytecode import elf, maps
from skep.hooks import request
from skep.kernel import door, linux
from tests import bpf_build, fake_kernel, instance


class Outside(Protocol):
    """What others do to the interface's traffic control."""

    def add_qdisc(self, kind: str) -> None: ...

    def remove_qdisc(self) -> None: ...

    def qdisc(self) -> str:
        """The kind in the ingress slot, "" for none."""

    def add_filter(self, direction: str, priority: int) -> None: ...

    def remove_filter(self, direction: str, priority: int) -> None: ...

    def delete_interface(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Place:
    """A kernel to try, directories for pins, and an interface without any program."""

    kernel: door.Kernel
    pins: paths.Pins
    interface: model.InterfaceRef
    outside: Outside

    def wanted(self, key: int, *names: str, defines: tuple[str, ...] = (), **reuse: model.MapPin) -> steps.ObjectLoad:
        """A load of some programs of ``kinds``, pinned as program keys ``key``, ``key + 1``, … in map set ``key``."""
        data = bpf_build.build("kinds", *defines).read_bytes()
        opened = elf.parse(data)
        whole = model.SetKey(key)
        loads = []
        for one in maps.maps(opened):
            pin = reuse.get(one.name)
            own = self.pins.map(whole, one.name)
            loads.append(steps.MapLoad(name=one.name, pins=(pin or own,), reuse=pin))
        for number, section in enumerate(maps.data_sections(opened)):
            pin = self.pins.internal(whole, number, section.name)
            loads.append(steps.MapLoad(name=section.name, pins=(pin,)))
        programs = tuple(
            steps.ProgramLoad(
                name=name,
                pin=self.pins.program(model.ProgramKey(key + number), 1),
                prog_type={"packet": 3, "point": 5, "kept": 1}.get(name, 6),
                expected_attach_type={"packet": 0, "point": 0, "kept": 0}.get(name, 37),
            )
            for number, name in enumerate(names)
        )
        return steps.ObjectLoad(object=data, programs=programs, maps=tuple(loads))

    def load(self, key: int, *names: str, **more: object) -> list[model.ProgramPin]:
        """Make the set's directories and load."""
        self.kernel.make_directory(self.pins.set(model.SetKey(key)))
        self.kernel.make_directory(self.pins.private(model.SetKey(key)))
        wanted = self.wanted(key, *names, **more)  # type: ignore[arg-type]  # passed on as given
        self.kernel.load_object(wanted)
        return [one.pin for one in wanted.programs]

    def on_xdp(self, *labels: str) -> tuple[request.LinkRequest, ...]:
        flags = {"drv": 4, "skb": 2, "hw": 8}
        target = request.InterfaceTarget(interface=self.interface)
        return tuple(
            request.LinkRequest(target=target, attach_type=37, flags=flags[label], label=label) for label in labels
        )

    def on_tcx(self, place: request.Place, beside: model.LinkPin | None = None) -> tuple[request.LinkRequest, ...]:
        target = request.InterfaceTarget(interface=self.interface)
        anchor = request.Anchor(place=place, link=beside)
        return (request.LinkRequest(target=target, attach_type=46, options=anchor, label="tcx"),)

    @contextlib.contextmanager
    def socket(self) -> Iterator[model.Descriptor]:
        """A UDP socket of this process; the fake is told of it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            named = model.Descriptor(pid=os.getpid(), fd=one.fileno())
            if not isinstance(self.kernel, fake_kernel.FakeKernel):
                yield named
                return
            ref = model.SocketRef(pid=named.pid, fd=named.fd, inode=7, cookie=8)
            self.kernel.sockets[named, None] = model.Socket(ref=ref, owner=os.getuid(), protocol="udp")
            try:
                yield named
            finally:
                del self.kernel.sockets[named, None]

    def on_tc(
        self, direction: str = "ingress", priority: int = 50, beside: model.LinkPin | None = None
    ) -> tuple[request.LinkRequest, ...]:
        target = request.FilterTarget(interface=self.interface, direction=direction, priority=priority, beside=beside)
        return (request.LinkRequest(target=target, attach_type=0, label="filter"),)

    def filter(self, direction: str = "ingress") -> model.LinkPin:
        """Where the filter of a tc chain is noted; its directory is there."""
        key = model.ChainKey(type=f"tc-{direction}", netns=model.NetnsInode(1), ifindex=model.IfIndex(1))
        self.kernel.make_directory(self.pins.chain(key))
        return self.pins.chain_link(key)

    def filters(self) -> list[tuple[str, int, str]]:
        """Direction, priority and name of all filters."""
        return [(one.direction, one.priority, one.name) for one in self.kernel.filters_on(self.interface)]

    def link(self, number: int) -> model.LinkPin:
        return self.pins.link(model.LinkId(number))

    def everything(self) -> tuple[str, ...]:
        """All pins."""
        return self.kernel.pins(model.PinDir(self.pins.root))


@dataclass(frozen=True, slots=True)
class OutsideFake:
    kernel: fake_kernel.FakeKernel

    def add_qdisc(self, kind: str) -> None:
        self.kernel.foreign_qdisc("eth0", kind)

    def remove_qdisc(self) -> None:
        self.kernel.delete_qdisc("eth0")

    def qdisc(self) -> str:
        return self.kernel.qdisc("eth0")

    def add_filter(self, direction: str, priority: int) -> None:
        self.kernel.foreign_filter("eth0", direction, priority)

    def remove_filter(self, direction: str, priority: int) -> None:
        self.kernel.remove_filter("eth0", direction, priority)

    def delete_interface(self) -> None:
        self.kernel.delete_interface("eth0")


@dataclass(frozen=True, slots=True)
class OutsideLinux:
    network: instance.Network

    def tc(self, *words: str) -> str:
        made = ["tc", "-n", self.network.name, *words]
        return subprocess.run(made, check=True, capture_output=True, text=True).stdout

    def add_qdisc(self, kind: str) -> None:
        self.tc("qdisc", "add", "dev", self.network.near, kind)

    def remove_qdisc(self) -> None:
        self.tc("qdisc", "del", "dev", self.network.near, self.qdisc())

    def qdisc(self) -> str:
        lines = self.tc("qdisc", "show", "dev", self.network.near).splitlines()
        return next((line.split()[1] for line in lines if "parent ffff:fff1" in line), "")

    def add_filter(self, direction: str, priority: int) -> None:
        # A classic filter that matches nothing; not every kernel has another kind.
        words = ("prio", str(priority), "protocol", "all", "bpf", "bytecode", "1,6 0 0 0,")
        self.tc("filter", "add", "dev", self.network.near, direction, *words)

    def remove_filter(self, direction: str, priority: int) -> None:
        self.tc("filter", "del", "dev", self.network.near, direction, "prio", str(priority))

    def delete_interface(self) -> None:
        subprocess.run(["ip", "-n", self.network.name, "link", "del", self.network.near], check=True)


@contextlib.contextmanager
def _fake() -> Iterator[Place]:
    kernel = fake_kernel.FakeKernel()
    yield Place(kernel, paths.Pins(fake_kernel.ROOT), model.InterfaceRef(name="eth0"), OutsideFake(kernel))


@contextlib.contextmanager
def _linux() -> Iterator[Place]:
    root = f"{paths.HOST_BPFFS}/skep-contract-{os.getpid()}"
    kernel = linux.Linux(root)
    try:
        with instance.network("skepcontract") as network:
            near = model.InterfaceRef(name=network.near, netns=network.path)
            yield Place(kernel, paths.Pins(root), near, OutsideLinux(network))
    finally:
        kernel.close()
        instance.remove_pins(root)


@pytest.fixture(params=["fake", pytest.param("linux", marks=pytest.mark.kernel)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with (_fake if request.param == "fake" else _linux)() as made:
        for directory in made.pins.directories():
            made.kernel.make_directory(directory)
        yield made
