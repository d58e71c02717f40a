"""What the tests of user-space probes need: programs to probe that do something when told to, and what was seen."""

from __future__ import annotations

import contextlib
import os
import platform
import select
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from skep import model
from skep.hooks import usdt
from tests import bpf_build, instance, native_build
from tests.kernel import bpf_raw, types_rig

_ARCH = {"x86_64": "x86", "aarch64": "arm64"}[platform.machine()]
_SEEN = struct.Struct("=Qq12q12ii4x")
SLOTS = 16
_PATIENCE = 30.0  # seconds; in the guest everything takes its time


def bpf_object(*defines: str) -> Path:
    """The object of ``tests/bpf/usdt.bpf.c``."""
    return bpf_build.build("usdt", f"__TARGET_ARCH_{_ARCH}", *defines)


def program() -> Path:
    """The program of ``tests/native/probes.c``."""
    return native_build.build("probes")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a program wrote down. ``values`` and ``errors`` are of the last run, ``errors`` positive."""

    runs: int
    cookie: int
    count: int
    values: tuple[int, ...]
    errors: tuple[int, ...]


def seen(rig: types_rig.Rig, slot: int = 0, loaded: model.Program | None = None) -> Seen:
    """One slot of the map ``seen``."""
    fd = types_rig.pinned(rig.pin("seen", loaded))
    try:
        runs, cookie, *rest = _SEEN.unpack(bpf_raw.map_lookup(fd, struct.pack("=I", slot), _SEEN.size))
    finally:
        os.close(fd)
    count = rest[24]
    return Seen(
        runs=runs,
        cookie=cookie,
        count=count,
        values=tuple(rest[:12]),
        errors=tuple(-one for one in rest[12:24]),
    )


def runs(rig: types_rig.Rig, loaded: model.Program | None = None) -> list[int]:
    """How often each slot was written."""
    return [seen(rig, slot, loaded).runs for slot in range(SLOTS)]


class Process:
    """A process that passes its probes once for each ``turn``."""

    def __init__(self, path: Path | str, *before: str) -> None:
        self._made = subprocess.Popen(
            [*before, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=instance.REPOSITORY
        )
        self.pid = self._made.pid

    def turn(self, times: int = 1) -> int:
        """Pass all probes; whether the guarded one was."""
        assert self._made.stdin is not None and self._made.stdout is not None
        answer = b""
        for _ in range(times):
            self._made.stdin.write(b"x")
            self._made.stdin.flush()
            ready, _, _ = select.select([self._made.stdout], [], [], _PATIENCE)
            assert ready, "the process does not answer"
            answer = self._made.stdout.read(1)
        return answer[0]

    def end(self) -> None:
        try:
            self._made.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            self._made.kill()
            self._made.communicate()


@contextlib.contextmanager
def process(path: Path | str | None = None, *before: str) -> Iterator[Process]:
    """A process; it ends with the block."""
    made = Process(path or program(), *before)
    try:
        yield made
    finally:
        made.end()


def attachment(probe: str, target: Path | str | None = None, **more: int) -> usdt.UsdtAttachment:
    """A probe of the program, or of another file."""
    return usdt.UsdtAttachment(target=str(target or program()), probe=probe, **more)
