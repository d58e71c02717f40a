"""Network namespaces and the interfaces in them. Nothing here ever moves the caller's thread into another namespace."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import socket
import struct
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from skep import errors, model
from skep.kernel import abi, namespaces, refused, sys

_Answer = TypeVar("_Answer")
_SIOCGIFMTU: Final = 0x8921  # linux/sockios.h
_NAME_LENGTH: Final = 15  # IFNAMSIZ without the NUL


def elsewhere(action: Callable[[], _Answer]) -> _Answer:
    """Run ``action`` in a thread of its own that then ends: what it changes of itself dies with it."""
    answers: list[_Answer] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(action())
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=run, name="skep-elsewhere", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return answers[0]


def inside(path: str | None, action: Callable[[], _Answer]) -> _Answer:
    """Run ``action`` in the network namespace at ``path`` (or as ``namespaces`` stores it); None: in the daemon's, on
    the caller's thread.

    ``NotFound``: there is no network namespace at ``path``.
    """
    if path is None:
        return action()

    place = namespaces.path_of(path)

    def moved() -> _Answer:
        try:
            with sys.held(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)) as fd:
                sys.setns(fd, abi.CLONE_NEWNET)
        except OSError as refusal:
            raise _no_namespace(path, refusal) from refusal
        return action()

    return elsewhere(moved)


_OWN: Final = "/proc/thread-self/ns/net"


def is_here(inode: int) -> bool:
    """Whether the calling thread is in the network namespace with this inode number."""
    return os.stat(_OWN).st_ino == inode


def where(inode: int, hint: str | None) -> str | None:
    """A path of the network namespace with this inode number: ``hint`` if it still is, a named one, or a process's.

    None: no process is in it and nobody has given it a name.
    """
    for pattern in (hint or _OWN, "/run/netns/*", "/proc/[0-9]*/ns/net"):
        for path in glob.iglob(pattern):
            with contextlib.suppress(OSError):
                if os.stat(path).st_ino == inode:
                    return path
    return None


def find(ref: model.InterfaceRef) -> model.Interface:
    """Find an interface. ``NotFound`` with near misses, or for the namespace's path."""
    return inside(ref.netns, lambda: here(ref))


def here(ref: model.InterfaceRef) -> model.Interface:
    """Find an interface in the calling thread's namespace, which is the one that ``ref`` names."""
    try:
        if not 0 < len(ref.name.encode()) <= _NAME_LENGTH:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        index = socket.if_nametoindex(ref.name)
        mtu = _mtu(ref.name)
    except OSError as missing:
        raise no_interface(ref) from missing
    return model.Interface(
        name=ref.name,
        ifindex=model.IfIndex(index),
        netns=model.NetnsInode(os.stat(_OWN).st_ino),
        mtu=mtu,
    )


def no_interface(ref: model.InterfaceRef) -> errors.NotFound:
    """The error for an interface that is not in the calling thread's namespace."""
    known = [name for _, name in socket.if_nameindex()]
    where = f"in network namespace {ref.netns}" if ref.netns else "in skep's network namespace"
    near = errors.near_misses(ref.name, known)
    return errors.NotFound(
        f"no interface {ref.name!r} {where}",
        near=near,
        do="" if near else "see `ip link`",
        errno=errno.ENODEV,
    )


def _mtu(name: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFMTU, struct.pack("16si20x", name.encode(), 0))
    mtu: int = struct.unpack_from("16si", answer)[1]
    return mtu


def _no_namespace(path: str, refusal: OSError) -> errors.SkepError:
    if refusal.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESRCH):
        why = "there is no such file; the namespace may have been removed"
    elif refusal.errno == errno.EINVAL:
        why = "the file is there but is not a network namespace"
    elif refusal.errno in (errno.EPERM, errno.EACCES):
        return refused.general(f"cannot enter the network namespace {path}", refusal, do="skep needs CAP_SYS_ADMIN")
    else:
        why = refused.explain(refusal.errno or 0)
    return errors.NotFound(
        f"no network namespace at {path}", why=why, do="see `ip netns list` and /proc/<pid>/ns/net",
        errno=refusal.errno or 0,
    )  # fmt: skip
