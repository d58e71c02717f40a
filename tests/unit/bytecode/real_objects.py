"""Objects compiled from ``tests/bpf`` and those that Debian ships: what the readers' tests read."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tests import bpf_build

SYSTEM = Path("/usr/lib/x86_64-linux-gnu/bpf")


@cache
def compiled(name: str, *defines: str) -> bytes:
    return bpf_build.build(name, *defines).read_bytes()


@cache
def everything() -> tuple[tuple[str, bytes], ...]:
    names = ("count", "subprogram", "tail", "callback", "many_maps", "relocations", "globals")
    return tuple((name, compiled(name)) for name in names)
