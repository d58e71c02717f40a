"""The host's network namespaces with their interfaces: as they are now, and when they change.

Nothing here runs while nobody watches. A watcher holds a netlink socket in each namespace (which keeps a namespace for
as long as it takes to notice that its name is gone) and an open mountinfo: a namespace gets its name by a mount.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Final

from skep import errors, model
from skep.kernel import namespaces, netns, routing

INTERVAL: Final = 0.2
"""Seconds between two descriptions at least: changes come in flocks."""
_OWN: Final = "/proc/thread-self/ns/net"
_MOUNTS: Final = "/proc/self/mountinfo"
"""poll(2) tells of its changes by POLLPRI (proc_pid_mountinfo(5))."""


def describe() -> model.HostSeen:
    """The daemon's own network namespace first, then the named ones by path; each once."""
    found = []
    for inode, path in _places().items():
        # A namespace that went away since, or a name that leads to none, is left out.
        with contextlib.suppress(errors.SkepError, OSError):
            seen, primary = netns.inside(path, routing.here)
            found.append(model.NamespaceSeen(path=path, inode=inode, interfaces=seen, primary=primary))
    return model.HostSeen(namespaces=tuple(found))


def _places() -> dict[model.NetnsInode, str | None]:
    """The namespaces' numbers with their paths, None for our own."""
    own = os.stat(_OWN)
    found: dict[model.NetnsInode, str | None] = {model.NetnsInode(own.st_ino): None}
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(namespaces.NAMED)):
            path = f"{namespaces.NAMED}/{name}"
            with contextlib.suppress(OSError):
                status = os.stat(path)
                if status.st_dev == own.st_dev:  # else a file that nothing is mounted on yet
                    found.setdefault(model.NetnsInode(status.st_ino), path)
    return found


class Watch:
    """Descriptions of the host: ``seen`` yields one at once and one whenever it differs, until ``end``.

    ``end`` may be called from any thread, and before ``seen``. A context manager.
    """

    def __init__(self) -> None:
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._over = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            wake, self._wake = self._wake, -1
        os.close(wake)

    def end(self) -> None:
        """Let ``seen`` return."""
        with self._lock:
            self._over.set()
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def seen(self) -> Iterator[model.HostSeen]:
        """What there is, again and again; nothing is asked of the kernel before something has happened."""
        with contextlib.ExitStack() as stack:
            ears = stack.enter_context(contextlib.closing(_Ears(self._wake)))
            told = None
            while not self._over.is_set():
                # Listening begins before looking, or else what happens between the two would be missed.
                ears.follow(_places())
                description = describe()
                if description != told:
                    told = description
                    yield description
                began = time.monotonic()
                ears.wait()
                ears.pause(max(began + INTERVAL - time.monotonic(), 0.0))


class _Ears:
    """What is listened to: a socket in each namespace, the mounts, and the one who wants to end."""

    def __init__(self, wake: int) -> None:
        self._poll = select.poll()
        self._wake = wake
        self._mounts = os.open(_MOUNTS, os.O_RDONLY | os.O_CLOEXEC)
        self._sockets: dict[model.NetnsInode, socket.socket] = {}
        self._poll.register(wake, select.POLLIN)
        self._poll.register(self._mounts, select.POLLPRI)

    def close(self) -> None:
        """Let go of all."""
        os.close(self._mounts)
        for heard in self._sockets.values():
            heard.close()

    def follow(self, places: dict[model.NetnsInode, str | None]) -> None:
        """Listen in these namespaces and in no other."""
        for inode in self._sockets.keys() - places.keys():
            gone = self._sockets.pop(inode)
            self._poll.unregister(gone)
            gone.close()
        for inode in places.keys() - self._sockets.keys():
            with contextlib.suppress(errors.SkepError, OSError):
                heard = self._sockets[inode] = netns.inside(places[inode], routing.listener)
                self._poll.register(heard, select.POLLIN)

    def wait(self) -> None:
        """Until something has happened that matters."""
        while True:
            ready = {fd for fd, _ in self._poll.poll()}
            if self._wake in ready or self._mounts in ready:
                return
            changed = [routing.drain(heard) for heard in self._sockets.values() if heard.fileno() in ready]
            if any(changed):
                return

    def pause(self, seconds: float) -> None:
        """Whatever happens meanwhile is seen afterwards; only the end is not waited out."""
        ending = select.poll()
        ending.register(self._wake, select.POLLIN)
        ending.poll(seconds * 1000)
