"""What the tests of linked chains share: load members from real objects, link them, send packets through the result."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from skep import model
from skep.bytecode import elf, variables
from skep.bytecode.relocated import Member
from skep.chain import codes, counts, linked, verdict
from skep.chain.linked import Form, Part
from tests import bpf_build
from tests.kernel import bpf_raw

PASS, DROP, TX, ABORTED = 2, 1, 3, 0
SYSTEM = Path("/usr/lib/x86_64-linux-gnu/bpf")


class Rig:
    """Loads members, each from an object of its own, and keeps everything open until the test ends."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._loads = 0
        self.fds: dict[str, int] = {}

    def __enter__(self) -> Rig:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def load(self, source: str | Path, *defines: str, only: Sequence[str] = (), **values: int) -> bpf_raw.Loaded:
        """Load ``tests/bpf/<source>.bpf.c`` or an object file; ``values``: 32-bit global variables to set."""
        path = bpf_build.build(source, *defines) if isinstance(source, str) else source
        known = variables.variables(elf.parse(path.read_bytes()))

        def prepare(maps: dict[str, int]) -> None:
            for name, value in values.items():
                one = variables.find(known, name)
                bpf_raw.set_global(maps, one.section, one.offset, struct.pack("=I", value & 0xFFFFFFFF))

        self._loads += 1
        loaded = bpf_raw.load(path, f"load{self._loads}", only=only, prepare=prepare)
        self._stack.callback(loaded.close)
        self.fds.update(loaded.maps)
        return loaded

    def count(self, code: int = PASS) -> tuple[Member, bpf_raw.Loaded]:
        """A member that counts its packets and returns ``code``."""
        loaded = self.load("count", only=["count"], verdict=code)
        return loaded.members["count"], loaded

    def open(self, whole: linked.Linked) -> bpf_raw.Chain:
        return self._stack.enter_context(bpf_raw.chain(whole, self.fds))

    def chain(
        self, members: Sequence[Member], proceed: Sequence[str] = (), forms: Sequence[Form] | None = None
    ) -> bpf_raw.Chain:
        """Link with the default proceed-on set (or ``proceed`` for all), in the first form, and load."""
        chosen = forms or linked.candidates(members)[0]
        mask = verdict.parse_names(codes.XDP, proceed)
        parts = [Part(member=one, proceed=mask, form=form) for one, form in zip(members, chosen, strict=True)]
        return self.open(linked.link(codes.XDP, parts, counter_map="counters", name="chain"))


def number(fd: int, key: int = 0) -> int:
    """A 64-bit value of an array map."""
    return int(struct.unpack("=Q", bpf_raw.map_lookup(fd, struct.pack("=I", key), 8))[0])


def members_counts(chain: bpf_raw.Chain, members: int) -> tuple[model.Counts, ...]:
    return counts.totals(codes.XDP, members, [sum(slot) for slot in chain.slots()])
