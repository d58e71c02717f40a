"""What ``test_types`` needs: a manager with pins and a store of its own, and what ``tests/bpf/types.bpf.c`` counts."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from skep import apply, hooks, manager, model, paths, store
from skep.kernel import linux
from tests import bpf_build, instance
from tests.kernel import bpf_raw, kernel_rig, socket_group
from tests.unit import host

ROOT = model.Caller(uid=0, gid=0, pid=os.getpid())
_OBJ_GET = 7
_WIDE = {"only_tgid"}
_numbers = itertools.count(1)


class Rig:
    """``directory`` is this rig's own, for files and marks of the test; its programs are of the object ``object``."""

    def __init__(self, directory: Path, object: str = "types") -> None:
        self.directory = directory
        self.object = object
        self.pins = paths.Pins(f"{paths.HOST_BPFFS}/skep-types-{os.getpid()}-{next(_numbers)}")
        self.kernel = linux.Linux(self.pins.root)
        self.store = store.Store(directory / "skep.db")
        self.manager = manager.Manager(self.kernel, self.store, self.pins)
        self.manager.sweep()
        self.program: model.Program | None = None
        self._groups: list[str] = []
        self._networks = contextlib.ExitStack()
        self._network: instance.Network | None = None
        self._group: socket_group.Group | None = None

    def cgroup(self, kind: str = "") -> str:
        """A cgroup of this rig's own; a unit's, given what kind of unit."""
        if not self._groups:
            self.make_cgroup(kind)
        return self._groups[0]

    def make_cgroup(self, kind: str = "") -> str:
        """Another cgroup, removed with the rig."""
        path = f"{cgroups()}/skep-types-{os.getpid()}-{next(_numbers)}" + (f".{kind}" if kind else "")
        os.mkdir(path)
        self._groups.append(path)
        return path

    def network(self) -> instance.Network:
        """A network namespace of this rig's own, with its loopback up."""
        if self._network is None:
            self._network = self._networks.enter_context(instance.network("skepty"))
            kernel_rig.ip(self._network, "link", "set", "lo", "up")
            enable = "echo 0 >/proc/sys/net/ipv6/conf/lo/disable_ipv6"
            subprocess.run([*self._network.enter, "sh", "-c", enable], check=True)
        return self._network

    def finally_(self, tidy: Callable[[], object]) -> None:
        """Do something when the rig goes, before its networks do."""
        self.network()
        self._networks.callback(tidy)

    def sockets(self) -> socket_group.Group:
        """Two sockets of this process that share an address."""
        if self._group is None:
            self._group = self._networks.enter_context(socket_group.group())
        return self._group

    def restart(self, kernel: linux.Linux | None = None, fault: Callable[[str], None] = apply.no_fault) -> None:
        """The daemon starts again."""
        self.kernel = kernel or self.kernel
        self.manager = manager.Manager(self.kernel, self.store, self.pins, fault=fault)
        self.manager.sweep()

    def close(self) -> None:
        self._networks.close()
        for path in self._groups:
            if os.path.isdir(path):
                os.rmdir(path)
        self.store.close()
        self.kernel.close()
        instance.remove_pins(self.pins.root)

    def load(self, name: str, target: str | None = None, *, source: str = "", **values: int) -> model.Program:
        """Load one program of ``tests/bpf/<source>.bpf.c``; its type comes from its section."""
        return self.load_from(bpf_build.build(source or self.object), name, target=target, values=values)

    def load_from(
        self,
        path: Path,
        name: str,
        *,
        target: str | None = None,
        owner: model.ProgramId | None = None,
        values: Mapping[str, int] = MappingProxyType({}),
    ) -> model.Program:
        """The same out of any object; ``owner`` lends its maps."""
        spec = model.ProgramSpec(name=name, attach_func=target)
        data = {one: struct.pack("=Q" if one in _WIDE else "=I", value) for one, value in values.items()}
        wanted = model.Load(
            object=path.read_bytes(),
            source=model.FileSource(path=path.name),
            programs=(spec,),
            global_data=data,
            map_owner=owner,
        )
        (self.program,) = self.manager.run(ROOT, wanted).programs
        return self.program

    def attach(self, program: model.Program, attachment: object) -> model.LinkId:
        (link,) = self.manager.run(ROOT, model.Attach(program=program.record.id, attachment=attachment)).links
        return link

    def detach(self, link: model.LinkId) -> None:
        self.manager.run(ROOT, model.Detach(link=link))

    def unload(self, program: model.Program) -> None:
        self.manager.run(ROOT, model.Unload(program=program.record.id))

    def check(self, program: model.Program, attachment: object) -> None:
        """Look for the place without attaching there."""
        record = program.record
        placing = hooks.Placing(section=record.section, function=record.attach_func or "")
        for candidate in host.candidates(hooks.by_name(record.hook).requests(attachment, placing)):
            self.kernel.check_target(candidate.target)

    def replace(self, program: model.Program, name: str | None = None, **values: int) -> None:
        wanted = model.ReplaceProgram(
            program=program.record.id,
            object=bpf_build.build(self.object).read_bytes(),
            source=model.FileSource(path=f"{self.object}.bpf.o"),
            name=name,
            global_data={one: struct.pack("=I", value) for one, value in values.items()},
        )
        (self.program,) = self.manager.run(ROOT, wanted).programs

    def links(self) -> tuple[model.Link, ...]:
        return self.manager.links(model.LinkFilter())

    def pin(self, name: str, program: model.Program | None = None) -> str:
        """The pin of one of a program's maps, by default the last loaded one's."""
        program = program or self.program
        assert program is not None
        return next(one.pin for one in program.record.maps if one.name == name)

    def program_pin(self) -> str:
        """The pin of the last loaded program."""
        assert self.program is not None
        return self.program.record.pin

    def hits(self, slot: int = 0, program: model.Program | None = None) -> int:
        """How often a program ran."""
        fd = pinned(self.pin("hits", program))
        try:
            return int(struct.unpack("=Q", bpf_raw.map_lookup(fd, struct.pack("=I", slot), 8))[0])
        finally:
            os.close(fd)


def cgroups() -> str:
    """Where cgroup version 2 is mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if line.split()[2] == "cgroup2":
            return line.split()[1]
    raise AssertionError("no cgroup2 file system is mounted")


def pinned(path: str) -> int:
    """A descriptor of what is pinned there."""
    text = bytearray(os.fsencode(path) + b"\0")
    return bpf_raw.bpf(_OBJ_GET, bytearray(struct.pack("=QII", bpf_raw.address(text), 0, 0)))


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def setns(fd: int) -> int:
    """Move this (single-threaded) process into a network namespace."""
    return int(ctypes.CDLL(None).setns(fd, 0x40000000))


def read_iterator(pin: str) -> bytes:
    """What an iterator's program writes for all objects of its kind: what anybody reads from its pin."""
    return Path(pin).read_bytes()


def features() -> dict[str, model.Feature]:
    """What ``skep feature`` says of this kernel."""
    kernel = linux.Linux(f"{paths.HOST_BPFFS}/skep-types-{os.getpid()}-features")
    try:
        return {one.name: one for one in kernel.features()}
    finally:
        kernel.close()


@contextlib.contextmanager
def rig(directory: Path, object: str = "types") -> Iterator[Rig]:
    """A rig; all of it goes again."""
    made = Rig(directory, object)
    try:
        yield made
    finally:
        made.close()
