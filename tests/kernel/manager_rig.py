"""A Manager over the real kernel with pins and a store of its own; a sender; and a child that is killed on its way."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from skep import manager, model, paths, store
from skep.hooks import tc, tcx, tracepoint, uprobe, xdp
from skep.kernel import linux
from tests import bpf_build, instance
from tests.kernel import bpf_raw

ROOT = model.Caller(uid=0, gid=0, pid=os.getpid())
LIBC = f"/lib/{os.uname().machine}-linux-gnu/libc.so.6"
SLOT = {"on_xdp": 0, "on_tcx": 1, "on_tracepoint": 2, "on_uprobe": 3, "on_uretprobe": 4, "on_tc": 5}
_OBJ_GET = 7
_numbers = itertools.count(1)


class Rig:
    """``manager`` is what a process has; ``restart`` is what the next one has."""

    def __init__(self, directory: Path, network: instance.Network) -> None:
        self.directory = directory
        self.network = network
        self.near = model.InterfaceRef(name=network.near, netns=network.path)
        self.pins = paths.Pins(f"{paths.HOST_BPFFS}/skep-rig-{os.getpid()}-{next(_numbers)}")
        self.kernel = linux.Linux(self.pins.root)
        self.store = store.Store(self.database)
        self.manager = manager.Manager(self.kernel, self.store, self.pins)
        self.manager.sweep()

    @property
    def database(self) -> Path:
        return self.directory / "skep.db"

    def close(self) -> None:
        self.store.close()
        self.kernel.close()
        instance.remove_pins(self.pins.root)

    def restart(self, **options: Any) -> tuple[str, ...]:  # Any: Manager's keywords
        self.store.close()
        self.store = store.Store(self.database)
        self.manager = manager.Manager(self.kernel, self.store, self.pins, **options)
        return self.manager.sweep()

    # ---------------------------------------------------------------- operations

    def load(self, *names: str, verdict: int = 2, **fields: Any) -> tuple[model.Program, ...]:  # Any: Load's fields
        return self.manager.run(ROOT, load(*names, verdict=verdict, **fields)).programs

    def attach(self, program: model.Program, attachment: object) -> model.LinkId:
        (link,) = self.manager.run(ROOT, model.Attach(program=program.record.id, attachment=attachment)).links
        return link

    def detach(self, link: model.LinkId) -> None:
        self.manager.run(ROOT, model.Detach(link=link))

    def unload(self, program: model.Program) -> None:
        self.manager.run(ROOT, model.Unload(program=program.record.id))

    def attachment(self, name: str, priority: int = 50, **fields: Any) -> object:  # Any: the attachment's fields
        match name:
            case "on_xdp":
                return xdp.XdpAttachment(interface=self.near, priority=priority, **fields)
            case "on_tc":
                return tc.TcAttachment(
                    interface=self.near, direction=tcx.Direction.INGRESS, priority=priority, **fields
                )
            case "on_tcx":
                return tcx.TcxAttachment(interface=self.near, direction=tcx.Direction.INGRESS, priority=priority)
            case "on_tracepoint":
                return tracepoint.TracepointAttachment(group="syscalls", name="sys_enter_getppid")
            case _:
                return uprobe.UprobeAttachment(target=LIBC, fn_name="getppid", pid=os.getpid())

    def qdisc(self) -> str:
        """The kind of qdisc in the near end's ingress slot."""
        words = ["tc", "-n", self.network.name, "qdisc", "show", "dev", self.network.near, "ingress"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return done.stdout.split()[1] if done.stdout else ""

    def trigger(self, name: str) -> None:
        """Make a program of that name run at least once."""
        if name in ("on_xdp", "on_tc", "on_tcx"):
            self.send(3)
        else:
            os.getppid()

    # ---------------------------------------------------------------- what happened

    def runs(self, program: model.Program) -> int:
        """The program's own count, out of its own map."""
        pin = next(one.pin for one in program.record.maps if one.name == "runs")
        path = bytearray(os.fsencode(pin) + b"\0")
        fd = bpf_raw.bpf(_OBJ_GET, bytearray(struct.pack("=QII", bpf_raw.address(path), 0, 0)))
        try:
            value = bpf_raw.map_lookup(fd, struct.pack("=I", SLOT[program.record.name]), 8)
        finally:
            os.close(fd)
        return int(struct.unpack("=Q", value)[0])

    def send(self, packets: int) -> None:
        """Send frames to the near end and wait until they are out."""
        subprocess.run([*self.network.enter, sys.executable, "-c", SENDER, self.network.far, str(packets)], check=True)

    @contextlib.contextmanager
    def traffic(self) -> Iterator[None]:
        """Frames without end, until the block ends."""
        sender = subprocess.Popen([*self.network.enter, sys.executable, "-c", SENDER, self.network.far, "0"])
        try:
            yield
        finally:
            sender.send_signal(signal.SIGTERM)
            sender.wait()

    def state(self) -> tuple[object, ...]:
        """Kernel, pins and records, for comparing before and after: every id, tag, pin and link."""
        records = self.store.snapshot()
        pinned = {}
        for pin in self.kernel.pins(model.PinDir(self.pins.root)):
            found = (
                os.readlink(pin)
                if os.path.islink(pin)
                else self.kernel.program(model.ProgramPin(pin))
                or self.kernel.map(model.MapPin(pin))
                or self.kernel.link(model.LinkPin(pin))
            )
            pinned[pin] = found if isinstance(found, str) else (type(found).__name__, getattr(found, "id", None))
        hooks = (
            self.kernel.xdp_on(self.near), self.kernel.tcx_on(self.near, 46), self.kernel.filters_on(self.near),
            self.qdisc(),
        )  # fmt: skip
        return pinned, hooks, records.programs, records.links, records.chains, self.store.pending()

    # ---------------------------------------------------------------- a process that is killed

    def killed(self, op: model.Operation, point: int | None) -> tuple[int, list[str]]:
        """Run ``op`` in a child that ends itself with SIGKILL at fault point number ``point`` (None: never).

        The child's exit status (minus the signal) and the points it passed.
        """
        reader, writer = os.pipe()
        self.store.close()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _run_and_die(self, op, point, writer)
        os.close(writer)
        with os.fdopen(reader) as told:
            passed = told.read().splitlines()
        _, status = os.waitpid(child, 0)
        self.store = store.Store(self.database)
        return os.waitstatus_to_exitcode(status), passed


def load(*names: str, verdict: int = 2, **fields: Any) -> model.Load:  # Any: Load's fields
    return model.Load(
        object=bpf_build.build("every_type").read_bytes(),
        source=model.FileSource(path="every_type.bpf.o"),
        programs=tuple(model.ProgramSpec(name=one) for one in names),
        global_data={"verdict": struct.pack("=I", verdict)},
        **fields,
    )


def _run_and_die(rig: Rig, op: model.Operation, point: int | None, writer: int) -> None:
    """The child's whole life; it must never return into pytest."""
    status = 1
    try:
        kernel = linux.Linux(rig.pins.root)
        passed = itertools.count()

        def fault(name: str) -> None:
            os.write(writer, f"{name}\n".encode())
            if next(passed) == point:
                os.kill(os.getpid(), signal.SIGKILL)

        manager.Manager(kernel, store.Store(rig.database), rig.pins, fault=fault).run(ROOT, op)
        kernel.close()
        status = 0
    except BaseException as failed:
        os.write(2, f"child: {failed!r}\n".encode())
    finally:
        os._exit(status)


SENDER = """
import signal, socket, sys
going = True
def stop(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, stop)
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
    out.bind((sys.argv[1], 0))
    frame = b"\\xff" * 6 + bytes(6) + b"\\x88\\xb5" + bytes(50)
    left = int(sys.argv[2]) or -1
    while left and going:
        out.send(frame)
        left -= 1
"""


@contextlib.contextmanager
def rig(directory: Path) -> Iterator[Rig]:
    """A rig with a network of its own; all of it goes again."""
    directory.mkdir(exist_ok=True)
    with instance.network("rig") as network:
        made = Rig(directory, network)
        try:
            yield made
        finally:
            made.close()


def in_threads(*work: Callable[[], None]) -> None:
    """Do several things at once, and fail with the first that fails."""
    failed: list[BaseException] = []

    def one(do: Callable[[], None]) -> None:
        try:
            do()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=one, args=(do,)) for do in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
