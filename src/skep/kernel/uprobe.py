"""From a uprobe's target to a file and an offset in it, in the host's or in a container's mount namespace."""

from __future__ import annotations

import errno
import fnmatch
import os
import platform
import stat
from dataclasses import dataclass
from typing import Final

from skep import errors
from skep.hooks import request
from skep.kernel import abi, elffile, ldcache, netns, refused, sys

_CACHE: Final = "/etc/ld.so.cache"
_CACHE_LIMIT: Final = 16 << 20
_SUGGESTED_FROM: Final = 20_000  # names that are compared for near misses


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An open file, what the kernel is to call it, and the probe's offset in it (bytes). Close ``fd``."""

    fd: int
    path: str
    offset: int


def resolve(target: request.UprobeTarget) -> Place:
    """Find and open the file and the place in it. ``NotFound`` with near misses, ``InvalidRequest``."""
    if target.container_pid is None:
        fd, found = _open(target.path)
        path = found
    else:
        fd, found = _inside_container(target.container_pid, target.path)
        path = f"/proc/self/fd/{fd}"  # the name means another file, or none, in our mount namespace
    try:
        return Place(fd=fd, path=path, offset=_offset(fd, found, target))
    except BaseException:
        os.close(fd)
        raise


def resolve_all(target: request.UprobeMultiTarget) -> tuple[Place, tuple[int, ...]]:
    """Find the file and every place in it; the ``Place`` is the file's. ``NotFound``: nothing matches."""
    single = request.UprobeTarget(
        path=target.path, symbol="", offset=0, retprobe=False, pid=target.pid, container_pid=target.container_pid
    )
    place = resolve(single)
    try:
        found = dict.fromkeys(target.offsets)
        for pattern in target.patterns:
            found.update(dict.fromkeys(_matching(place.fd, target.path, pattern)))
        size = os.fstat(place.fd).st_size
        for offset in found:
            if offset >= size:
                raise errors.InvalidRequest(
                    f"cannot probe {target.path} at offset {offset:#x}",
                    why=f"the file has {size} bytes",
                    do="give an offset inside it",
                )
        return place, tuple(found)
    except BaseException:
        os.close(place.fd)
        raise


def _matching(fd: int, path: str, pattern: str) -> tuple[int, ...]:
    """Offsets of the functions that a name or a shell pattern means."""
    if not any(letter in pattern for letter in "*?["):
        single = request.UprobeTarget(path=path, symbol=pattern, offset=0, retprobe=False)
        return (_offset(fd, path, single),)
    try:
        elf = elffile.Elf(lambda offset, size: os.pread(fd, size, offset))
        found = {offset: None for name, offset in elf.places() if fnmatch.fnmatchcase(name, pattern)}
    except (elffile.Malformed, OSError) as damaged:
        raise errors.InvalidRequest(
            f"cannot find {pattern!r} in {path}", why=str(damaged), do="give offsets instead"
        ) from damaged
    if not found:
        raise errors.NotFound(
            f"no function {pattern!r} in {path}", why="no name matches", do="see `nm` and `nm -D`", errno=errno.ENOENT
        )
    return tuple(found)


def _inside_container(pid: int, path: str) -> tuple[int, str]:
    """Open a file as the process ``pid`` sees it; the thread that goes there ends."""

    def enter() -> tuple[int, str]:
        try:
            with sys.held(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)) as fd:
                sys.unshare(abi.CLONE_FS)  # setns refuses a thread that shares its root and cwd with others
                sys.setns(fd, abi.CLONE_NEWNS)
        except OSError as refusal:
            what = f"cannot enter the mount namespace of process {pid}"
            if refusal.errno in (errno.ENOENT, errno.ESRCH):
                raise errors.NotFound(
                    what, why="there is no such process", errno=refusal.errno, do="see `ps -e`"
                ) from refusal
            raise refused.general(what, refusal) from refusal
        return _open(path)

    return netns.elsewhere(enter)


def _open(path: str) -> tuple[int, str]:
    """Open an absolute path, or a library by its bare name through the linker's cache of the thread's namespace."""
    found = path if path.startswith("/") else _library(path)
    try:
        fd = os.open(found, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as refusal:
        raise refused.general(f"cannot open {found}", refusal) from refusal
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise errors.InvalidRequest(
            f"cannot probe {found}", why="it is not a regular file", do="name a program or a library"
        )
    return fd, found


def _library(name: str) -> str:
    if "/" in name or not name:
        raise errors.InvalidRequest(
            f"cannot probe {name!r}", why="the path is relative", do="give an absolute path or a library's bare name"
        )
    try:
        with sys.held(os.open(_CACHE, os.O_RDONLY | os.O_CLOEXEC)) as fd:
            cache = os.pread(fd, _CACHE_LIMIT, 0)
    except OSError as refusal:
        raise errors.NotFound(
            f"no library {name!r}", why=f"{_CACHE}: {refused.explain(refusal.errno or 0)}", do="give an absolute path",
            errno=refusal.errno or 0,
        ) from refusal  # fmt: skip
    path = ldcache.find(cache, name, platform.machine())
    if path is None:
        near = errors.near_misses(name, ldcache.names(cache))
        raise errors.NotFound(
            f"no library {name!r}", why=f"it is not in {_CACHE}", near=near, do="" if near else "give an absolute path",
            errno=errno.ENOENT,
        )  # fmt: skip
    return path


def _offset(fd: int, path: str, target: request.UprobeTarget) -> int:
    if not target.symbol:
        size = os.fstat(fd).st_size
        if not 0 <= target.offset < size:
            raise errors.InvalidRequest(
                f"cannot probe {path} at offset {target.offset:#x}",
                why=f"the file has {size} bytes",
                do="give an offset within the file",
            )
        return target.offset
    try:
        elf = elffile.Elf(lambda offset, size: os.pread(fd, size, offset))
        start = elf.function(target.symbol)
        near = () if start is not None else _near(elf, target.symbol)
    except (elffile.Malformed, OSError) as damaged:
        raise errors.InvalidRequest(
            f"cannot find {target.symbol!r} in {path}", why=str(damaged), do="give an offset without a symbol"
        ) from damaged
    if start is None:
        raise errors.NotFound(
            f"no function {target.symbol!r} in {path}",
            why="neither .symtab nor .dynsym defines it",
            near=near,
            do="" if near else "see `nm` and `nm -D`; a stripped file needs an offset",
            errno=errno.ENOENT,
        )
    return start + target.offset


def _near(elf: elffile.Elf, wanted: str) -> tuple[str, ...]:
    """Near misses among names of about the same length: comparing all of a large program would take seconds."""
    alike: dict[str, None] = {}
    for name in elf.functions():
        if abs(len(name) - len(wanted)) <= 4:
            alike[name] = None
            if len(alike) == _SUGGESTED_FROM:
                break
    return errors.near_misses(wanted, alike)
