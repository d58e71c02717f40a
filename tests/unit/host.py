"""One host in memory for tests: the fake kernel, a real store and the Manager, and short ways to ask them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from skep import apply, hooks, model, paths
from skep.hooks import perf_event, request, socket, tc, tcx, tracepoint, uprobe, xdp
from skep.manager import Manager
from skep.store import Store
from tests import bpf_build, fake_kernel

CALLER = model.Caller(uid=0, gid=0, pid=1, origin="direct")
PINS = paths.Pins(fake_kernel.ROOT)
ETH0 = model.InterfaceRef(name="eth0")
ETH1 = model.InterfaceRef(name="eth1")


def kinds(*defines: str) -> bytes:
    """The object of ``tests/bpf/kinds.bpf.c``."""
    return bpf_build.build("kinds", *defines).read_bytes()


def types() -> bytes:
    """The object of ``tests/bpf/types.bpf.c``, with a program of nearly every type."""
    return bpf_build.build("types").read_bytes()


def table(*defines: str) -> bytes:
    """The object of ``tests/bpf/struct_ops.bpf.c``, registered by a link."""
    return bpf_build.build("struct_ops", "LINK", *defines).read_bytes()


class Host:
    """A host whose store is at ``path``. ``restart`` is what a killed daemon does when it comes back."""

    def __init__(self, path: Path, fault: Callable[[str], None] = apply.no_fault) -> None:
        self.path = path
        self.kernel = fake_kernel.FakeKernel()
        self.store = Store(path)
        for directory in PINS.directories():
            self.kernel.make_directory(directory)
        self.start(fault)

    def start(self, fault: Callable[[str], None] = apply.no_fault) -> None:
        """A manager as the daemon makes it."""
        self.manager = Manager(self.kernel, self.store, PINS, clock=lambda: 1_700_000_000.0, fault=fault)
        self.manager.sweep()

    def restart(self, fault: Callable[[str], None] = apply.no_fault) -> None:
        """The daemon was killed and starts again on the same store."""
        self.store.close()
        self.store = Store(self.path)
        self.start(fault)

    def reboot(self) -> None:
        """The machine restarts: bpffs is empty, ids begin anew, the store is still there."""
        self.kernel.reboot()
        for directory in PINS.directories():
            self.kernel.make_directory(directory)
        self.restart()

    def run(self, operation: model.Operation) -> model.Done:
        return self.manager.run(CALLER, operation)

    def state(self) -> object:
        """Everything in kernel and store that an operation may change; equal before and after means nothing did."""
        records = self.store.snapshot()
        return (
            self.kernel.snapshot(),
            dict(records.programs),
            dict(records.links),
            dict(records.chains),
            {link: one for link, one in records.counts.items() if one.runs},
            self.store.pending(),
        )

    # ---------------------------------------------------------------- short ways

    def load(
        self, *names: str, object: bytes | None = None, owner: model.ProgramId | None = None, **data: bytes
    ) -> tuple[model.ProgramId, ...]:
        done = self.run(load(*names, object=object, owner=owner, **data))
        return tuple(one.record.id for one in done.programs)

    def attach(self, program: model.ProgramId, attachment: object) -> model.LinkId:
        (link,) = self.run(model.Attach(program=program, attachment=attachment)).links
        return link

    def detach(self, link: model.LinkId) -> None:
        self.run(model.Detach(link=link))

    def unload(self, program: model.ProgramId) -> None:
        self.run(model.Unload(program=program))

    def record(self, program: model.ProgramId) -> model.ProgramRecord:
        """The record of the program that has this kernel id now."""
        boot = self.kernel.boot().boot_id
        (found,) = (one for one in self.store.snapshot().programs.values() if one.id == program and one.boot_id == boot)
        return found

    def chain(self, interface: model.InterfaceRef = ETH0, type: str = "xdp") -> model.ChainRecord:
        return self.manager.chain(type, interface).record

    def tcx_order(self) -> tuple[model.ProgramId, ...]:
        return tuple(entry.program_id for entry in self.kernel.tcx_on(ETH0, 46))


def load(*names: str, object: bytes | None = None, owner: model.ProgramId | None = None, **data: bytes) -> model.Load:
    """A load of some programs of ``kinds``."""
    return model.Load(
        object=kinds() if object is None else object,
        source=model.FileSource(path="kinds.bpf.o"),
        programs=tuple(model.ProgramSpec(name=name) for name in names),
        global_data=data,
        map_owner=owner,
    )


def on_xdp(
    priority: int,
    interface: model.InterfaceRef = ETH0,
    proceed_on: tuple[int, ...] = (),
    mode: model.XdpMode | None = None,
) -> xdp.XdpAttachment:
    return xdp.XdpAttachment(interface=interface, priority=priority, proceed_on=proceed_on, mode=mode)


def on_tcx(priority: int, direction: tcx.Direction = tcx.Direction.INGRESS) -> tcx.TcxAttachment:
    return tcx.TcxAttachment(interface=ETH0, direction=direction, priority=priority)


def on_tc(
    priority: int,
    interface: model.InterfaceRef = ETH0,
    proceed_on: tuple[int, ...] = (),
    direction: tcx.Direction = tcx.Direction.INGRESS,
) -> tc.TcAttachment:
    return tc.TcAttachment(interface=interface, direction=direction, priority=priority, proceed_on=proceed_on)


def candidates(wanted: request.Requests) -> tuple[request.LinkRequest, ...]:
    """All that a hook asks for, of one kernel link or of several."""
    if isinstance(wanted, request.Several):
        return tuple(one for spot in wanted.spots for one in spot.candidates)
    return wanted


def on_socket(one: Host) -> socket.SocketAttachment:
    """A socket that the fake kernel has."""
    ref = model.SocketRef(pid=11, fd=5, inode=700, cookie=800)
    one.kernel.sockets[model.Descriptor(pid=11, fd=5), None] = model.Socket(ref=ref, owner=1000, protocol="udp")
    return socket.SocketAttachment(socket="11:5")


POINT = tracepoint.TracepointAttachment(group="syscalls", name="sys_enter_getpid")
PROBE = uprobe.UprobeAttachment(target="/bin/probed", fn_name="work")
EVERYWHERE = perf_event.PerfEventAttachment(event="cpu-clock", frequency=99)

__all__ = [
    "CALLER", "ETH0", "ETH1", "EVERYWHERE", "PINS", "POINT", "PROBE", "Host", "candidates", "hooks", "kinds", "load",
    "on_socket", "on_tc", "on_tcx", "on_xdp", "types",
]  # fmt: skip
