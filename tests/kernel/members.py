"""What a process of a cgroup or of a network namespace does, and what became of it: "ok", or the errno's name.

Each action runs in a child, which is where it is said to be before it begins.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.kernel import bpf_raw, types_rig

_UPDATE = 2
_PATIENCE = 0.3  # seconds; what is dropped does not come later
LOOPBACK = {4: (socket.AF_INET, "127.0.0.1"), 6: (socket.AF_INET6, "::1")}


def inside(cgroup: str, action: str) -> str:
    """Run an action in a member of a cgroup."""

    def enter() -> None:
        Path(cgroup, "cgroup.procs").write_text(str(os.getpid()))

    return _child(enter, action)


def inside_netns(path: str, action: str) -> str:
    """Run an action in a network namespace."""

    def enter() -> None:
        fd = os.open(path, os.O_RDONLY)
        if types_rig.setns(fd) != 0:
            raise AssertionError("setns")

    return _child(enter, action)


def through_map(pin: str, *, sender: bool) -> str:
    """Send bytes between two sockets, one of which is put into a map of sockets first."""
    with _pair() as (near, far):
        fd = types_rig.pinned(pin)
        try:
            key = bytearray(struct.pack("=I", 0))
            value = bytearray(struct.pack("=Q", (near if sender else far).fileno()))
            packed = struct.pack("=IIQQQ", fd, 0, bpf_raw.address(key), bpf_raw.address(value), 0)
            bpf_raw.bpf(_UPDATE, bytearray(packed))
        finally:
            os.close(fd)
        return _told(lambda: _exchange(near, far))


def _child(enter: Callable[[], None], action: str) -> str:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            enter()
            os.write(writer, _told(ACTIONS[action]).encode())
            status = 0
        except BaseException as failed:
            os.write(2, f"child: {failed!r}\n".encode())
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as told:
        answer = told.read()
    _, status = os.waitpid(child, 0)
    assert status == 0
    return answer


def _told(action: Callable[[], object]) -> str:
    try:
        action()
    except TimeoutError:
        return "nothing came"
    except OSError as refused:
        return errno.errorcode[refused.errno or 0]
    return "ok"


@contextlib.contextmanager
def _pair(family: int = 4) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection over the loopback."""
    kind, address = LOOPBACK[family]
    with socket.socket(kind) as server:
        server.bind((address, 0))
        server.listen()
        with socket.create_connection(server.getsockname()[:2], timeout=_PATIENCE) as near:
            far, _ = server.accept()
            with far:
                far.settimeout(_PATIENCE)
                yield near, far


def _exchange(near: socket.socket, far: socket.socket) -> None:
    near.sendall(b"bytes")
    assert far.recv(9) == b"bytes"


def _connect(family: int) -> None:
    with _pair(family):
        pass


def _peer(family: int) -> None:
    with _pair(family) as (near, _):
        near.getpeername()


def _bind(family: int) -> None:
    kind, address = LOOPBACK[family]
    with socket.socket(kind, socket.SOCK_DGRAM) as one:
        one.bind((address, 0))
        one.getsockname()


def _send(family: int) -> None:
    kind, address = LOOPBACK[family]
    with socket.socket(kind, socket.SOCK_DGRAM) as one:
        one.sendto(b"bytes", (address, 9))  # discard


def _receive(family: int) -> None:
    kind, address = LOOPBACK[family]
    with socket.socket(kind, socket.SOCK_DGRAM) as one, socket.socket(kind, socket.SOCK_DGRAM) as other:
        one.bind((address, 0))
        one.settimeout(_PATIENCE)
        other.sendto(b"bytes", one.getsockname()[:2])
        one.recvfrom(9)


def _socket() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()


def _set_option() -> None:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 1)


def _get_option() -> None:
    with socket.socket() as one:
        one.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY)


ACTIONS: dict[str, Callable[[], object]] = {
    "socket": _socket,
    "bind4": lambda: _bind(4),
    "bind6": lambda: _bind(6),
    "connect4": lambda: _connect(4),
    "connect6": lambda: _connect(6),
    "peer4": lambda: _peer(4),
    "peer6": lambda: _peer(6),
    "send4": lambda: _send(4),
    "send6": lambda: _send(6),
    "receive4": lambda: _receive(4),
    "receive6": lambda: _receive(6),
    "setsockopt": _set_option,
    "getsockopt": _get_option,
    "sysctl": lambda: Path("/proc/sys/kernel/pid_max").read_text(),
    "device": lambda: Path("/dev/zero").open("rb").close(),
}
