"""Both sides of a relayed connection: what was read, what waits to be written, and what has ended. Nothing blocks."""

from __future__ import annotations

import contextlib
import select
import socket


class End:
    """One side of a connection: its socket, what still has to be written to it, and whether it has ended."""

    __slots__ = ("fd", "hung_up", "interest", "read_ended", "socket", "waiting", "write_ended")

    def __init__(self, socket: socket.socket) -> None:
        self.socket = socket
        self.fd = socket.fileno()
        self.waiting = memoryview(b"")
        self.read_ended = False
        self.write_ended = False
        self.hung_up = False
        self.interest: int | None = select.EPOLLIN

    def reads_into(self, other: End) -> bool:
        """Whether there is room for what this side may still send."""
        return not self.read_ended and not other.waiting

    def pump(self, other: End, buffer: memoryview) -> None:
        """Read once and write as much as the other side takes; the rest waits."""
        try:
            count = self.socket.recv_into(buffer)
        except BlockingIOError:
            return
        if count == 0:
            self.read_ended = True
            other.flush_end(self)
            return
        sent = 0
        with contextlib.suppress(BlockingIOError):
            sent = other.socket.send(buffer[:count])
        if sent < count:
            other.waiting = memoryview(bytes(buffer[sent:count]))

    def flush(self) -> None:
        """Write what waits."""
        if self.waiting:
            try:
                self.waiting = self.waiting[self.socket.send(self.waiting) :]
            except BlockingIOError:
                return

    def flush_end(self, other: End) -> None:
        """Pass the other side's end of file on, once all before it is written."""
        if other.read_ended and not self.waiting and not self.write_ended:
            self.write_ended = True
            self.socket.shutdown(socket.SHUT_WR)

    def watch(self, epoll: select.epoll, other: End) -> None:
        """Tell epoll what to wait for. A side that hung up and may not be read yet is left out: epoll reports a
        hang-up even to those who did not ask, again and again."""
        self.flush_end(other)
        wanted: int | None = 0
        if self.reads_into(other):
            wanted = select.EPOLLIN
        if self.waiting:
            wanted = (wanted or 0) | select.EPOLLOUT
        if wanted == 0 and self.hung_up:
            wanted = None
        if wanted == self.interest:
            return
        if wanted is None:
            epoll.unregister(self.fd)
        elif self.interest is None:
            epoll.register(self.fd, wanted)
        else:
            epoll.modify(self.fd, wanted)
        self.interest = wanted


class Pair:
    """A connection: the client's side, gRPC's side, and the name under which gRPC knows it."""

    __slots__ = ("client", "name", "server", "uid")

    def __init__(self, client: socket.socket, server: socket.socket, name: str, uid: int) -> None:
        self.client = End(client)
        self.server = End(server)
        self.name = name
        self.uid = uid

    def finished(self) -> bool:
        """Whether nothing can flow any more: both sides have ended, or one is gone and what it sent is delivered."""
        both = self.client.read_ended and self.server.read_ended
        if both:
            return not self.client.waiting and not self.server.waiting
        gone = ((self.client, self.server), (self.server, self.client))
        return any(end.hung_up and end.read_ended and not other.waiting for end, other in gone)
