"""Two sockets of this process that share a loopback address, and what each of them hears."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Iterator

from tests.kernel import bpf_raw, types_rig

SENDERS = 40
"""Without a program the kernel spreads them by hash: that a socket hears none of them happens once in 10^12 times."""
TEXT = b"0123456789abcdefghijklmnopqrstuvwxyz"


class Group:
    """UDP sockets, or listening TCP sockets."""

    def __init__(self, members: tuple[socket.socket, ...], protocol: str) -> None:
        self.members = members
        self.protocol = protocol
        self.port: int = members[0].getsockname()[1]

    def named(self, member: int) -> str:
        """A member as PID:FD."""
        return f"{os.getpid()}:{self.members[member].fileno()}"

    def address(self) -> str:
        """What they share, as a user writes it."""
        return f"{self.protocol}:127.0.0.1:{self.port}"

    def put(self, pin: str) -> None:
        """Put them into a REUSEPORT_SOCKARRAY, by their places."""
        fd = types_rig.pinned(pin)
        try:
            for place, member in enumerate(self.members):
                # Put there already, and the kernel has it elsewhere only once.
                with contextlib.suppress(OSError):
                    bpf_raw.map_update(fd, struct.pack("=I", place), struct.pack("=Q", member.fileno()))
        finally:
            os.close(fd)

    def heard(self, member: int | None = None) -> tuple[int, ...]:
        """How many of ``SENDERS`` senders each member hears, and how many bytes of the last one's text."""
        for _ in range(SENDERS):
            self._send()
        counts, longest = [], 0
        for one in self.members:
            count = 0
            while (text := self._take(one)) is not None:
                count, longest = count + 1, max(longest, len(text))
            counts.append(count)
        return (*(counts if member is None else (counts[member],)), longest)

    def _send(self) -> None:
        if self.protocol == "udp":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(TEXT, ("127.0.0.1", self.port))
        else:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()

    def _take(self, one: socket.socket) -> bytes | None:
        try:
            if self.protocol == "udp":
                return one.recv(4096)
            one.accept()[0].close()
            return b""
        except BlockingIOError:
            return None


@contextlib.contextmanager
def group(protocol: str = "udp", *, shares: bool = True) -> Iterator[Group]:
    """Two members, or one when nothing is shared."""
    with contextlib.ExitStack() as stack:
        members: list[socket.socket] = []
        for _ in range(2 if shares else 1):
            kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
            one = stack.enter_context(_high(socket.socket(socket.AF_INET, kind)))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shares))
            one.bind(("127.0.0.1", members[0].getsockname()[1] if members else 0))
            one.setblocking(False)
            if protocol == "tcp":
                one.listen(64)
            members.append(one)
        yield Group(tuple(members), protocol)


def _high(low: socket.socket) -> socket.socket:
    """The same socket under a number that nothing else of this process gets when it is closed."""
    with low:
        return socket.socket(fileno=fcntl.fcntl(low.fileno(), fcntl.F_DUPFD_CLOEXEC, 700))
