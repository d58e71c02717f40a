"""The dynamic linker's cache (/etc/ld.so.cache): from a library's bare name to its path.

Source of the layout: glibc, sysdeps/generic/dl-cache.h, the "new" format; written by ldconfig since glibc 2.2, either
alone or behind a table in the old format.
"""

from __future__ import annotations

import itertools
import struct
import sys
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

_NEW: Final = b"glibc-ld.so.cache1.1"
_OLD: Final = b"ld.so-1.7.0\0"
_HEADER: Final = struct.Struct("=20sII20x")  # magic, nlibs, len_strings, flags and extension offset
_ENTRY: Final = struct.Struct("=iIIIQ")  # flags, key, value, osversion, hwcap
_OLD_ENTRY: Final = 12
_FLAGS: Final = {"x86_64": 0x0303, "aarch64": 0x0A03}  # FLAG_ELF_LIBC6 with the machine's
_PATH_LENGTH: Final = 4096
_MOST_NAMES: Final = 10_000  # Debian with everything has about 3,000


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
    found: tuple[int, str] | None = None
    for entry in parse(data):
        rank = _rank(entry.name, name)
        if rank is None:
            continue
        rank += 0 if wanted is None or entry.flags == wanted else 1
        if found is None or rank < found[0]:
            found = rank, entry.path
    return found[1] if found else None


def best(paths: Iterable[str], name: str) -> str | None:
    """The same among files, for hosts without a cache; the first of equals."""
    ranked = [(rank, path) for path in paths if (rank := _rank(path.rpartition("/")[2], name)) is not None]
    return min(ranked, key=lambda one: one[0])[1] if ranked else None


def _rank(there: str, name: str) -> int | None:
    """How well a library's name fits, 0 best; None: not at all. musl's is "libc.musl-x86_64.so.1"."""
    if there == name:
        return 0
    return 2 if there == f"{name}.so" or there.startswith(f"{name}.") else None


def names(data: bytes) -> frozenset[str]:
    """Names in the cache, with and without version, for near misses; no more of them than can be compared."""
    every = {entry.name for entry in itertools.islice(parse(data), _MOST_NAMES)}
    return frozenset(every | {name.partition(".so")[0] for name in every})


def _text(data: bytes, at: int) -> str:
    if not 0 <= at < len(data):
        return ""
    end = data.find(b"\0", at, at + _PATH_LENGTH)
    return data[at:end].decode(sys.getfilesystemencoding(), "surrogateescape") if end > at else ""
