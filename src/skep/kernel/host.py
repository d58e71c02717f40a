"""The host's network namespaces with their interfaces: as they are now, and when they change.

Nothing here runs while nobody watches. A watcher holds a netlink socket in each namespace (which keeps a namespace for
as long as it takes to notice that its name is gone) and an open mountinfo: a namespace gets its name by a mount.
"""

from __future__ import annotations

import contextlib
import dataclasses
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
    found = [look(inode, path) for inode, path in _places().items()]
    return model.HostSeen(namespaces=tuple(each for each in found if each is not None))


def look(inode: model.NetnsInode, path: str | None) -> model.NamespaceSeen | None:
    """One namespace; None when it went away since, or its name leads to none."""
    try:
        seen, primary = netns.inside(path, routing.here)
    except (errors.SkepError, OSError):
        return None
    return model.NamespaceSeen(path=path, inode=inode, interfaces=seen, primary=primary)


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
        with contextlib.closing(_Ears(self._wake)) as ears:
            known: dict[model.NetnsInode, model.NamespaceSeen] = {}
            changed: set[model.NetnsInode] = set()
            told = None
            while not self._over.is_set():
                # Listening begins before looking, or else what happens between the two would be missed.
                places = _places()
                heard = ears.follow(places) - changed
                known = _looked(places, {inode: each for inode, each in known.items() if inode in heard})
                description = model.HostSeen(namespaces=tuple(known.values()))
                if description != told:
                    told = description
                    yield description
                began = time.monotonic()
                changed = ears.wait()
                ears.pause(max(began + INTERVAL - time.monotonic(), 0.0))


def _looked(
    places: dict[model.NetnsInode, str | None], known: dict[model.NetnsInode, model.NamespaceSeen]
) -> dict[model.NetnsInode, model.NamespaceSeen]:
    """The namespaces at these places: those in which nothing has changed are not looked at again."""
    found = {}
    for inode, path in places.items():
        seen = known.get(inode)
        seen = look(inode, path) if seen is None else dataclasses.replace(seen, path=path)
        if seen is not None:
            found[inode] = seen
    return found


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

    def follow(self, places: dict[model.NetnsInode, str | None]) -> set[model.NetnsInode]:
        """Listen in these namespaces and in no other; those in which it could be done."""
        for inode in self._sockets.keys() - places.keys():
            gone = self._sockets.pop(inode)
            self._poll.unregister(gone)
            gone.close()
        for inode in places.keys() - self._sockets.keys():
            with contextlib.suppress(errors.SkepError, OSError):
                heard = self._sockets[inode] = netns.inside(places[inode], routing.listener)
                self._poll.register(heard, select.POLLIN)
        return set(self._sockets)

    def wait(self) -> set[model.NetnsInode]:
        """Until something has happened that matters: the namespaces in which, none when it is a name, or the end."""
        while True:
            ready = {fd for fd, _ in self._poll.poll()}
            heard = ((inode, heard) for inode, heard in self._sockets.items() if heard.fileno() in ready)
            changed = {inode for inode, each in heard if routing.drain(each)}
            if changed or self._wake in ready or self._mounts in ready:
                return changed

    def pause(self, seconds: float) -> None:
        """Whatever happens meanwhile is seen afterwards; only the end is not waited out."""
        ending = select.poll()
        ending.register(self._wake, select.POLLIN)
        ending.poll(seconds * 1000)
