"""What the tests of ``skep.kernel`` share: pins of one's own, objects in them, packets, a count of leaks."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

from skep import model, steps
from skep.bytecode import elf, maps, variables
from skep.hooks import request
from skep.kernel import abi, cpus, door, netns, sys
from skep.kernel.linux import Linux
from tests import bpf_build, instance

_numbers = itertools.count(1)

XDP_DRV, XDP_SKB = 4, 2
TYPES = {
    "on_xdp": (abi.PROG_TYPE_XDP, abi.XDP),
    "on_tcx": (abi.PROG_TYPE_SCHED_CLS, abi.TCX_INGRESS),
    "on_tracepoint": (abi.PROG_TYPE_TRACEPOINT, 0),
    "on_uprobe": (abi.PROG_TYPE_KPROBE, 0),
    "on_cookie": (abi.PROG_TYPE_KPROBE, 0),
}


@dataclass(slots=True)
class Rig:
    """A ``Linux`` on pins of its own."""

    kernel: Linux
    root: str
    loads: int = 0
    made: dict[str, steps.LoadedProgram] = field(default_factory=dict)

    def program_pin(self, name: str) -> model.ProgramPin:
        return model.ProgramPin(f"{self.root}/progs/{name}")

    def map_pin(self, name: str) -> model.MapPin:
        return model.MapPin(f"{self.root}/maps/{name}")

    def link_pin(self, name: str) -> model.LinkPin:
        return model.LinkPin(f"{self.root}/links/{name}")

    def request(self, source: str, *names: str, defines: tuple[str, ...] = (), **values: int) -> steps.ObjectLoad:
        """What loads programs of ``tests/bpf/<source>.bpf.c`` under pins that are new each time."""
        data = bpf_build.build(source, *defines).read_bytes()
        parsed = elf.parse(data)
        known = variables.variables(parsed)
        self.loads += 1
        patches = []
        for name, value in values.items():
            one = variables.find(known, name)
            patches.append(steps.Patch(section=one.section, offset=one.offset, data=value.to_bytes(one.size, "little")))
        return steps.ObjectLoad(
            object=data,
            programs=tuple(
                steps.ProgramLoad(
                    name=name,
                    pin=self.program_pin(f"{self.loads}_{name}"),
                    prog_type=TYPES.get(name, (abi.PROG_TYPE_XDP, 0))[0],
                    expected_attach_type=TYPES.get(name, (0, 0))[1],
                )
                for name in names
            ),
            maps=tuple(self.map(name) for name in map_names(data)),
            patches=tuple(patches),
        )

    def map(self, name: str) -> steps.MapLoad:
        plain = name.strip(".").replace(".", "_")
        return steps.MapLoad(name=name, pins=(self.map_pin(f"{self.loads}_{plain}"),))

    def load(self, source: str, *names: str, **values: int) -> list[model.ProgramPin]:
        """Load programs and give their pins."""
        wanted = self.request(source, *names, defines=(), **values)
        self.kernel.load_object(wanted)
        return [one.pin for one in wanted.programs]

    def hits(self, number: int | None = None, slot: int = 0) -> int:
        """What the programs of load ``number`` (default the last) counted in their ``hits``."""
        fd = sys.obj_get(self.map_pin(f"{number or self.loads}_hits"))
        with sys.held(fd):
            value = ctypes.create_string_buffer(8)
            sys.map_lookup(fd, struct.pack("=I", slot), value)
            return int(struct.unpack("=Q", value.raw)[0])


def map_names(data: bytes) -> list[str]:
    """Every map that libbpf makes of an object, as it calls them."""
    parsed = elf.parse(data)
    return [one.name for one in maps.maps(parsed)] + [one.name for one in maps.data_sections(parsed)]


@contextlib.contextmanager
def rig() -> Iterator[Rig]:
    """A rig whose pins and loader go with it."""
    root = f"/sys/fs/bpf/skep-test-{os.getpid()}-{next(_numbers)}"
    kernel = Linux(pins_root=root)
    kept: door.Kernel = kernel  # the type checker's proof that it has all that the door promises
    assert kept is kernel
    try:
        for name in ("progs", "maps", "links"):
            kernel.make_directory(model.PinDir(f"{root}/{name}"))
        yield Rig(kernel, root)
    finally:
        kernel.close()
        kernel.remove_directory(model.PinDir(root))


def xdp(network: instance.Network, *modes: int) -> tuple[request.LinkRequest, ...]:
    """Candidates for the near end's XDP hook, one for each mode."""
    labels = {XDP_DRV: "drv", XDP_SKB: "skb"}
    return tuple(
        request.LinkRequest(
            target=request.InterfaceTarget(interface=near(network)), attach_type=abi.XDP, flags=mode, label=labels[mode]
        )
        for mode in modes or (XDP_DRV,)
    )


def tcx(network: instance.Network, anchor: request.Anchor | None = None) -> tuple[request.LinkRequest, ...]:
    """The near end's TCX ingress hook."""
    target = request.InterfaceTarget(interface=near(network))
    return (request.LinkRequest(target=target, attach_type=abi.TCX_INGRESS, options=anchor, label="tcx"),)


def tracepoint(group: str = "syscalls", name: str = "sys_enter_getppid") -> tuple[request.LinkRequest, ...]:
    target = request.TracepointTarget(group=group, name=name)
    return (request.LinkRequest(target=target, attach_type=abi.PERF_EVENT),)


def uprobe(
    path: str = "libc", symbol: str = "getppid", cookie: int | None = None, **more: object
) -> tuple[request.LinkRequest, ...]:
    fields: dict[str, object] = {"offset": 0, "retprobe": False, **more}
    target = request.UprobeTarget(path=path, symbol=symbol, **fields)  # type: ignore[arg-type]  # a test's table
    options = None if cookie is None else request.Cookie(value=cookie)
    return (request.LinkRequest(target=target, attach_type=abi.PERF_EVENT, options=options),)


def near(network: instance.Network) -> model.InterfaceRef:
    return model.InterfaceRef(name=network.near, netns=network.path)


def send(network: instance.Network, count: int) -> None:
    """Send raw frames from the far end: the near end's hooks see exactly these. Returns when they are through."""

    def run() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
            out.bind((network.far, 0x88B5))  # an EtherType for experiments
            for _ in range(count):
                out.send(b"\xff" * 6 + b"\x02" + bytes(5) + b"\x88\xb5" + bytes(50))

    netns.inside(network.path, run)


def ip(network: instance.Network, *words: str) -> None:
    subprocess.run(["ip", "-n", network.name, *words], check=True)


def descriptors() -> dict[str, str]:
    """Open descriptors of this process and what they are; two of them compare equal when nothing leaked."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[name] = os.readlink(f"/proc/self/fd/{name}")
    return {name: target for name, target in found.items() if "/proc/" not in target}


possible_cpus = cpus.possible
