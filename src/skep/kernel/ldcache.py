"""The dynamic linker's cache (/etc/ld.so.cache): from a library's bare name to its path.

Source of the layout: glibc, sysdeps/generic/dl-cache.h, the "new" format; written by ldconfig since glibc 2.2, either
alone or behind a table in the old format.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

_NEW: Final = b"glibc-ld.so.cache1.1"
_OLD: Final = b"ld.so-1.7.0\0"
_HEADER: Final = struct.Struct("=20sII20x")  # magic, nlibs, len_strings, flags and extension offset
_ENTRY: Final = struct.Struct("=iIIIQ")  # flags, key, value, osversion, hwcap
_OLD_ENTRY: Final = 12
_FLAGS: Final = {"x86_64": 0x0303, "aarch64": 0x0A03}  # FLAG_ELF_LIBC6 with the machine's
_PATH_LENGTH: Final = 4096


class Entry(NamedTuple):
    """One library: its soname ("libc.so.6"), path and kind."""

    name: str
    path: str
    flags: int


def parse(data: bytes) -> Iterator[Entry]:
    """The entries of a cache; those that point outside of it are left out, other formats have none."""
    at = data.find(_NEW) if data.startswith((_OLD, _NEW)) else -1
    if at < 0 or len(data) < at + _HEADER.size:
        return
    _, count, _ = _HEADER.unpack_from(data, at)
    for index in range(count):
        where = at + _HEADER.size + index * _ENTRY.size
        if where + _ENTRY.size > len(data):
            return
        flags, key, value, _, _ = _ENTRY.unpack_from(data, where)
        name, path = _text(data, at + key), _text(data, at + value)
        if name and path.startswith("/"):
            yield Entry(name, path, flags)


def find(data: bytes, name: str, machine: str) -> str | None:
    """The path of a library given as "libc.so.6", "libc.so" or "libc"; the machine's own kind first."""
    wanted = _FLAGS.get(machine)
    best: tuple[int, str] | None = None
    for entry in parse(data):
        if entry.name == name:
            rank = 0
        elif entry.name.startswith((f"{name}.so.", f"{name}.")) or entry.name == f"{name}.so":
            rank = 2
        else:
            continue
        rank += 0 if wanted is None or entry.flags == wanted else 1
        if best is None or rank < best[0]:
            best = rank, entry.path
    return best[1] if best else None


def names(data: bytes) -> frozenset[str]:
    """Every name in the cache, with and without version, for near misses."""
    every = {entry.name for entry in parse(data)}
    return frozenset(every | {name.partition(".so")[0] for name in every})


def _text(data: bytes, at: int) -> str:
    if not 0 <= at < len(data):
        return ""
    end = data.find(b"\0", at, at + _PATH_LENGTH)
    return data[at:end].decode(sys.getfilesystemencoding(), "surrogateescape") if end > at else ""
