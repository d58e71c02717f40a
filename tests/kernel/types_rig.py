"""What ``test_types`` needs: a manager with pins and a store of its own, and what ``tests/bpf/types.bpf.c`` counts."""

from __future__ import annotations

import contextlib
import itertools
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from skep import manager, model, paths, store
from skep.kernel import linux
from tests import bpf_build, instance
from tests.kernel import bpf_raw

ROOT = model.Caller(uid=0, gid=0, pid=os.getpid())
_OBJ_GET, _ITER_CREATE = 7, 33
_WIDE = {"only_tgid"}
_numbers = itertools.count(1)


class Rig:
    """``directory`` is this rig's own, for files and marks of the test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pins = paths.Pins(f"{paths.HOST_BPFFS}/skep-types-{os.getpid()}-{next(_numbers)}")
        self.kernel = linux.Linux(self.pins.root)
        self.store = store.Store(directory / "skep.db")
        self.manager = manager.Manager(self.kernel, self.store, self.pins)
        self.manager.sweep()
        self.program: model.Program | None = None

    def close(self) -> None:
        self.store.close()
        self.kernel.close()
        instance.remove_pins(self.pins.root)

    def load(self, name: str, target: str | None = None, **values: int) -> model.Program:
        """Load one program; its type comes from its section."""
        spec = model.ProgramSpec(name=name, attach_func=target)
        data = {one: struct.pack("=Q" if one in _WIDE else "=I", value) for one, value in values.items()}
        wanted = model.Load(
            object=bpf_build.build("types").read_bytes(),
            source=model.FileSource(path="types.bpf.o"),
            programs=(spec,),
            global_data=data,
        )
        (self.program,) = self.manager.run(ROOT, wanted).programs
        return self.program

    def attach(self, program: model.Program, attachment: object) -> model.LinkId:
        (link,) = self.manager.run(ROOT, model.Attach(program=program.record.id, attachment=attachment)).links
        return link

    def detach(self, link: model.LinkId) -> None:
        self.manager.run(ROOT, model.Detach(link=link))

    def links(self) -> tuple[model.Link, ...]:
        return self.manager.links(model.LinkFilter())

    def pin(self, name: str, program: model.Program | None = None) -> str:
        """The pin of one of a program's maps, by default the last loaded one's."""
        program = program or self.program
        assert program is not None
        return next(one.pin for one in program.record.maps if one.name == name)

    def hits(self, slot: int = 0, program: model.Program | None = None) -> int:
        """How often a program ran."""
        fd = pinned(self.pin("hits", program))
        try:
            return int(struct.unpack("=Q", bpf_raw.map_lookup(fd, struct.pack("=I", slot), 8))[0])
        finally:
            os.close(fd)


def pinned(path: str) -> int:
    """A descriptor of what is pinned there."""
    text = bytearray(os.fsencode(path) + b"\0")
    return bpf_raw.bpf(_OBJ_GET, bytearray(struct.pack("=QII", bpf_raw.address(text), 0, 0)))


def read_iterator(pin: str) -> bytes:
    """What an iterator's program writes for all objects of its kind."""
    link = pinned(pin)
    try:
        reader = bpf_raw.bpf(_ITER_CREATE, bytearray(struct.pack("=II", link, 0)))
    finally:
        os.close(link)
    with os.fdopen(reader, "rb") as file:
        return file.read()


def features() -> dict[str, model.Feature]:
    """What ``skep feature`` says of this kernel."""
    kernel = linux.Linux(f"{paths.HOST_BPFFS}/skep-types-{os.getpid()}-features")
    try:
        return {one.name: one for one in kernel.features()}
    finally:
        kernel.close()


@contextlib.contextmanager
def rig(directory: Path) -> Iterator[Rig]:
    """A rig; all of it goes again."""
    made = Rig(directory)
    try:
        yield made
    finally:
        made.close()
