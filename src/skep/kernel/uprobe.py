"""From a uprobe's target to a file and an offset in it; ``userfile`` opens the file."""

from __future__ import annotations

import errno
import fnmatch
import os
import re
from dataclasses import dataclass
from typing import Final

from skep import errors
from skep.hooks import request
from skep.kernel import elffile, userfile

_SUGGESTED_FROM: Final = 20_000  # names that are compared for near misses
_LONGEST_COMPARED: Final = 200  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An open file, what the kernel is to call it, and the probe's offset in it (bytes). Close ``fd``."""

    fd: int
    path: str
    offset: int


def resolve(target: request.UprobeTarget) -> Place:
    """Find and open the file and the place in it. ``NotFound`` (near misses), ``InvalidRequest``, ``Unavailable``."""
    file, offset = userfile.examined(
        target.path, target.container_pid, lambda file: _offset(file.fd, file.name, target.symbol, target.offset)
    )
    return Place(fd=file.fd, path=file.path, offset=offset)


def resolve_all(target: request.UprobeMultiTarget) -> tuple[Place, tuple[int, ...]]:
    """Find the file and every place in it; the ``Place`` is the file's. ``NotFound``: nothing matches."""
    file, offsets = userfile.examined(target.path, target.container_pid, lambda file: _all(file, target))
    return Place(fd=file.fd, path=file.path, offset=0), offsets


def _all(file: userfile.Opened, target: request.UprobeMultiTarget) -> tuple[int, ...]:
    found = dict.fromkeys(target.offsets)
    for pattern in target.patterns:
        found.update(dict.fromkeys(_matching(file.fd, file.name, pattern)))
    size = os.fstat(file.fd).st_size
    for offset in found:
        if offset >= size:
            raise errors.InvalidRequest(
                f"cannot probe {file.name} at offset {offset:#x}",
                why=f"the file has {size} bytes",
                do="give an offset inside it",
            )
    return tuple(found)


def _matching(fd: int, path: str, pattern: str) -> tuple[int, ...]:
    """Offsets of the functions that a name or a shell pattern means."""
    if not any(letter in pattern for letter in "*?["):
        return (_offset(fd, path, pattern, 0),)
    try:
        elf = elffile.Elf(lambda offset, size: os.pread(fd, size, offset))
        found = {offset: None for name, offset in elf.places() if fnmatch.fnmatchcase(name, pattern)}
    except (elffile.Malformed, OSError) as damaged:
        raise errors.InvalidRequest(
            f"cannot find {pattern!r} in {path}", why=str(damaged), do="give offsets instead"
        ) from damaged
    if not found:
        near = _near(elf, pattern.strip("*?"))
        raise errors.NotFound(
            f"no function {pattern!r} in {path}",
            why="no name matches",
            near=near,
            do="" if near else "see `nm` and `nm -D`",
            errno=errno.ENOENT,
        )
    return tuple(found)


def _offset(fd: int, path: str, symbol: str, distance: int) -> int:
    if not symbol:
        size = os.fstat(fd).st_size
        if not 0 <= distance < size:
            raise errors.InvalidRequest(
                f"cannot probe {path} at offset {distance:#x}",
                why=f"the file has {size} bytes",
                do="give an offset within the file",
            )
        return distance
    try:
        elf = elffile.Elf(lambda offset, size: os.pread(fd, size, offset))
        start = elf.function(symbol)
        near = () if start is not None else _near(elf, symbol)
    except (elffile.Malformed, OSError) as damaged:
        raise errors.InvalidRequest(
            f"cannot find {symbol!r} in {path}", why=str(damaged), do="give an offset without a symbol"
        ) from damaged
    if start is None:
        raise errors.NotFound(
            f"no function {symbol!r} in {path}",
            why="neither .symtab nor .dynsym defines it",
            near=near,
            do="" if near else "see `nm` and `nm -D`; a stripped file needs an offset",
            errno=errno.ENOENT,
        )
    return start + distance


def _near(elf: elffile.Elf, wanted: str) -> tuple[str, ...]:
    """Near misses: other versions of the symbol, mangled names of a C++ or Rust function, names of about this length.

    Not all names: comparing those of a large program would take seconds. Both ways of mangling write each part of a
    name behind its length ("_ZN4demo4workEi" is demo::work).
    """
    versions = elf.versions(wanted)
    if versions:
        return versions[:3]
    parts = tuple(f"{len(part)}{part}" for part in re.findall(r"[A-Za-z_]\w*", wanted.partition("(")[0]))
    mangled: list[str] = []
    alike: dict[str, None] = {}
    for name in elf.functions():
        if parts and len(mangled) < 3 and name.startswith(("_Z", "_R")) and all(part in name for part in parts):
            mangled.append(name)
        elif abs(len(name) - len(wanted)) <= 4 and len(wanted) <= _LONGEST_COMPARED:
            alike[name] = None
            if len(alike) == _SUGGESTED_FROM:
                break
    return tuple(dict.fromkeys((*mangled, *errors.near_misses(wanted, alike))))[:3]
