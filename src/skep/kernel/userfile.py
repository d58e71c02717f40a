"""Opening the program or library that a user-space probe is for, as the host or as a process in a container sees it.

A container is no friend: what it shows may be a FIFO, a device, a loop of links, a link to the host's files through
procfs, a file system that never answers. So paths are followed below the process's own root (openat2(2); no thread of
ours moves there), nothing is opened before it is known to be a regular file, and all of it must end in time.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import platform
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from skep import errors
from skep.kernel import ldcache, refused, sys

T = TypeVar("T")
_CACHE: Final = "/etc/ld.so.cache"
_CACHE_LIMIT: Final = 16 << 20
_DIRECTORIES: Final = (
    "/lib/{0}-linux-gnu", "/usr/lib/{0}-linux-gnu", "/lib64", "/usr/lib64", "/usr/local/lib", "/lib", "/usr/lib",
)  # fmt: skip
"""Where dynamic linkers look without a cache: ld.so(8) of glibc as distributions build it, and musl's."""
_MOST_ENTRIES: Final = 100_000
PATIENCE: Final = 20.0
"""Seconds that looking for a target may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An open regular file. ``name``: its path where it was looked for; ``path``: what the kernel is to call it."""

    fd: int
    name: str
    path: str


def opened(path: str, container_pid: int | None) -> Opened:
    """Open an absolute path or a library by its bare name. Close ``fd``.

    ``container_pid``: as this process sees it. ``NotFound`` (near misses), ``InvalidRequest`` (relative, no regular
    file, a loop of links), ``Denied``.
    """
    if container_pid is None:
        fd, name = _open(_Root(None), path)
        return Opened(fd=fd, name=name, path=name)
    with sys.held(_root(container_pid)) as root:
        fd, name = _open(_Root(root), path)
    # The name means another file, or none, in our mount namespace.
    return Opened(fd=fd, name=name, path=f"/proc/self/fd/{fd}")


def examined(
    path: str, container_pid: int | None, look: Callable[[Opened], T], patience: float = PATIENCE
) -> tuple[Opened, T]:
    """``opened``, and what ``look`` finds in the file; when it raises, the file is closed.

    All of it happens in a thread of its own: ``Unavailable`` when that has not ended after ``patience`` seconds.
    """
    lock = threading.Lock()
    answers: list[tuple[Opened, T]] = []
    failures: list[BaseException] = []
    abandoned = False

    def run() -> None:
        try:
            file = opened(path, container_pid)
            try:
                answer = file, look(file)
            except BaseException:
                os.close(file.fd)
                raise
        except BaseException as failure:
            failures.append(failure)
            return
        with lock:
            answers.append(answer)
            if abandoned:
                os.close(file.fd)

    thread = threading.Thread(target=run, name="skep-target", daemon=True)
    thread.start()
    thread.join(patience)
    with lock:
        if not answers and not failures:
            abandoned = True
            raise errors.Unavailable(
                f"cannot probe {path}",
                why=f"its file system did not answer for {patience:g} s",
                do="look at the mount that it is on",
            )
    if failures:
        raise failures[0]
    return answers[0]


def _root(pid: int) -> int:
    """The root directory of a process (a host pid)."""
    what = f"cannot see files as process {pid} does"
    try:
        return os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as refusal:
        if refusal.errno in (errno.ENOENT, errno.ESRCH):
            raise errors.NotFound(
                what, why="there is no such process", errno=refusal.errno, do="see `ps -e`"
            ) from refusal
        raise refused.general(what, refusal, do="skep needs CAP_SYS_PTRACE for other users' processes") from refusal


class _Root:
    """Paths below a directory that they cannot leave; None: the host's paths."""

    def __init__(self, directory: int | None) -> None:
        self._directory = directory

    def open(self, path: str, flags: int) -> int:
        if self._directory is None:
            return os.open(path, flags | os.O_CLOEXEC)
        return sys.open_below(self._directory, path, flags)

    def regular(self, path: str) -> int:
        """A descriptor for reading; looked at first by O_PATH, which does nothing to a FIFO or a device."""
        with sys.held(self.open(path, os.O_PATH)) as place:
            if not stat.S_ISREG(os.fstat(place).st_mode):
                raise errors.InvalidRequest(
                    f"cannot probe {path}", why="it is not a regular file", do="name a program or a library"
                )
            return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _open(root: _Root, path: str) -> tuple[int, str]:
    found = path if path.startswith("/") else _library(root, path)
    try:
        return root.regular(found), found
    except OSError as refusal:
        if refusal.errno == errno.ELOOP:
            raise errors.InvalidRequest(
                f"cannot open {found}",
                why="ELOOP: it is a loop of links, or a link into procfs",
                do="name the file itself",
                errno=errno.ELOOP,
            ) from refusal
        raise refused.general(f"cannot open {found}", refusal) from refusal


def _library(root: _Root, name: str) -> str:
    """The path of a library by its bare name: by the dynamic linker's cache, else where linkers look without one."""
    if "/" in name or not name:
        raise errors.InvalidRequest(
            f"cannot probe {name!r}", why="the path is relative", do="give an absolute path or a library's bare name"
        )
    machine = platform.machine()
    cache, code = b"", errno.ENOENT
    try:
        with sys.held(root.regular(_CACHE)) as fd:
            cache = os.pread(fd, _CACHE_LIMIT, 0)
    except errors.InvalidRequest:
        pass  # a FIFO or a directory is no cache
    except OSError as refusal:
        code = refusal.errno or 0
    found = ldcache.find(cache, name, machine)
    if found is not None:
        return found
    there = [f"{directory}/{entry}" for directory, entry in _installed(root, machine)]
    match = ldcache.best(there, name)
    if match is not None:
        return match
    where = f"it is not in {_CACHE}" if cache else f"{_CACHE}: {refused.explain(code)}"
    near = errors.near_misses(
        name, ldcache.names(cache) or {path.rpartition("/")[2].partition(".so")[0] for path in there}
    )
    raise errors.NotFound(
        f"no library {name!r}", why=f"{where}, nor in {_DIRECTORIES[-2]} and its like", near=near,
        do="" if near else "give an absolute path", errno=errno.ENOENT,
    )  # fmt: skip


def _installed(root: _Root, machine: str) -> list[tuple[str, str]]:
    """The shared libraries in the directories of libraries: directory and name, in the order of the directories."""
    found: list[tuple[str, str]] = []
    for directory in (one.format(machine) for one in _DIRECTORIES):
        with (
            contextlib.suppress(OSError),
            sys.held(root.open(directory, os.O_RDONLY | os.O_DIRECTORY)) as fd,
            os.scandir(fd) as entries,
        ):
            names = (entry.name for entry in itertools.islice(entries, _MOST_ENTRIES))
            found.extend((directory, name) for name in names if ".so" in name)
    return found
