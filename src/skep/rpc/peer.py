"""The relay that tells handlers who is calling.

grpcio does not expose SO_PEERCRED (unix(7)). So the public socket is ours: one thread accepts, reads who connects, and
relays bytes both ways to gRPC's own socket, which lies in a 0700 directory. The relay's outgoing socket is bound to an
abstract name that it has just invented; gRPC tells handlers that name as the call's peer, and ``Relay.caller`` looks it
up. A name that is not in the table did not come through the relay and is refused.

Rules: one epoll loop, nothing in it blocks; at most ``BUFFER_BYTES`` wait in each direction of a connection, and a full
direction is not read from; an end of file is passed on as a half-close; whatever goes wrong with a connection ends
that connection only. A local user can read the names in ``/proc/net/unix`` and bind one first: each name is random,
and a taken one is replaced.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from skep import errors, model
from skep.rpc import pair, refusal

if TYPE_CHECKING:
    import grpc

log = logging.getLogger("skep.relay")

BUFFER_BYTES = 256 * 1024
PER_UID = 64
"""Open connections of one user other than root."""
TOTAL = 512
"""Open connections of all users; root's are not refused before twice as many."""
_PREFIX = "unix-abstract:"
_CREDENTIALS = struct.Struct("iII")
"""``struct ucred`` (linux/socket.h): pid, uid, gid."""
_SO_PEERGROUPS = 59
"""asm-generic/socket.h; Linux 4.13. Python's getsockopt takes 1024 bytes at most: 256 groups."""
_NAME_ATTEMPTS = 16
_PAUSE = 0.1
"""Seconds without accepting after the process ran out of file descriptors."""
_CONNECT_SECONDS = 5.0
_LINGER_SECONDS = 1.0
"""How long a refused connection may take to ask something and hear why not."""
_LINGERING = 32
"""Refused connections that stay open at once."""


def _token() -> str:
    """What makes a name unknown before it is bound."""
    return secrets.token_hex(12)


class Relay:
    """Accepts on ``listener`` and relays to gRPC's socket at ``backend``. ``start`` it, then ``close`` it."""

    def __init__(
        self,
        listener: socket.socket,
        backend: str,
        *,
        per_uid: int = PER_UID,
        total: int = TOTAL,
        token: Callable[[], str] = _token,
    ) -> None:
        self._listener = listener
        self._backend = backend
        self._per_uid = per_uid
        self._total = total
        self._token = token
        self._callers: dict[str, model.Caller] = {}
        self._open: Counter[int] = Counter()
        self._count = 0
        self._pairs: dict[int, pair.Pair] = {}
        self._connecting: list[tuple[float, socket.socket, model.Caller, int]] = []
        self._refused: dict[int, tuple[float, refusal.Refusal]] = {}
        self._serial = 0
        self._accepting = False
        self._resume_at: float | None = None
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._state = threading.Lock()
        self._wanted = "run"
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def start(self) -> None:
        """Accept from now on."""
        self._listener.setblocking(False)
        self._thread.start()

    def stop_accepting(self) -> None:
        """Take no new connection; those that are open go on."""
        self._ask("drain")

    def close(self) -> None:
        """End every connection and the thread."""
        self._ask("stop")
        self._thread.join()
        self._listener.close()
        self._epoll.close()
        os.close(self._wake)

    def caller(self, context: grpc.ServicerContext) -> model.Caller:
        """Who makes this call. Denied for a call that did not come through the relay."""
        return self.lookup(context.peer())

    def lookup(self, name: str) -> model.Caller:
        """Who is behind a peer's name as gRPC tells it ("unix-abstract:skep/…"). Denied when nobody is."""
        found = self._callers.get(name.removeprefix(_PREFIX)) if name.startswith(_PREFIX) else None
        if found is None:
            raise errors.Denied(
                "the caller is not known", why="the call did not come through the public socket", do="connect to that"
            )
        return found

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return self._count

    # ------------------------------------------------------------ the loop; everything below runs in its thread

    def _ask(self, what: str) -> None:
        with self._state:
            self._wanted = what
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        self._epoll.register(self._wake, select.EPOLLIN)
        self._accept_on()
        while True:
            arrived = False
            for fd, events in self._epoll.poll(self._timeout()):
                if fd == self._wake:
                    os.eventfd_read(self._wake)
                elif fd == self._listener.fileno():
                    arrived = True
                else:
                    self._serve(fd, events)
            if arrived:  # last, so that no event of this round is taken for one of a new socket with an old number
                self._accept()
            if self._wanted != "run":
                self._accept_off()
            if self._wanted == "stop":
                break
            self._timers()
        for joined in set(self._pairs.values()):
            self._end(joined)
        for _, client, _, _ in self._connecting:
            client.close()
        for _, refused in self._refused.values():
            refused.socket.close()

    def _timeout(self) -> float:
        return _PAUSE if self._resume_at is not None or self._connecting or self._refused else -1

    def _timers(self) -> None:
        if self._resume_at is not None and time.monotonic() >= self._resume_at:
            self._resume_at = None
            self._accept_on()
        for fd in [fd for fd, (until, _) in self._refused.items() if time.monotonic() >= until]:
            self._end_refused(fd)
        waiting, self._connecting = self._connecting, []
        for give_up, client, caller, serial in waiting:
            self._connect(client, caller, serial, give_up)

    def _accept_on(self) -> None:
        if not self._accepting and self._wanted == "run":
            self._epoll.register(self._listener.fileno(), select.EPOLLIN)
            self._accepting = True

    def _accept_off(self) -> None:
        if self._accepting:
            self._epoll.unregister(self._listener.fileno())
            self._accepting = False

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # EMFILE, ENFILE, ENOBUFS, ENOMEM: the waiting client stays in the backlog
            log.warning("cannot accept: %s", error.strerror)
            self._accept_off()
            self._resume_at = time.monotonic() + _PAUSE
            return
        try:
            client.setblocking(False)
            caller = _peer(client)
        except OSError as error:
            log.debug("a connection ended before it began: %s", error)
            client.close()
            return
        reason = self._full(caller.uid)
        if reason:
            log.warning("connection refused: %s", reason, extra={"caller": str(caller)})
            self._refuse(client, reason)
            return
        self._serial += 1
        self._open[caller.uid] += 1
        self._count += 1
        self._connect(client, caller, self._serial, time.monotonic() + _CONNECT_SECONDS)

    def _full(self, uid: int) -> str:
        total = self._count
        if uid != 0 and self._open[uid] >= self._per_uid:
            return f"uid {uid} has {self._open[uid]} connections open, the limit is {self._per_uid}; close some"
        if total >= (self._total if uid else 2 * self._total):
            return f"{total} connections are open, which is the limit; close some"
        return ""

    def _refuse(self, client: socket.socket, reason: str) -> None:
        if len(self._refused) >= _LINGERING:
            self._end_refused(next(iter(self._refused)))
        fd = client.fileno()
        self._refused[fd] = (time.monotonic() + _LINGER_SECONDS, refusal.Refusal(client, reason))
        self._epoll.register(fd, select.EPOLLIN)

    def _end_refused(self, fd: int) -> None:
        self._refused.pop(fd)[1].socket.close()

    def _connect(self, client: socket.socket, caller: model.Caller, serial: int, give_up: float) -> None:
        """Join a client with gRPC's socket under a new name; later, when gRPC's backlog is full."""
        server, name = None, ""
        try:
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            name = self._bind(server, caller, serial)
            self._callers[name] = caller
            server.connect(self._backend)
            joined = pair.Pair(client, server, name, caller.uid)
            self._pairs[client.fileno()] = self._pairs[server.fileno()] = joined
            self._epoll.register(client.fileno(), select.EPOLLIN)
            self._epoll.register(server.fileno(), select.EPOLLIN)
        except OSError as error:
            self._callers.pop(name, None)
            if server is not None:
                server.close()
            if error.errno == errno.EAGAIN and time.monotonic() < give_up:
                self._connecting.append((give_up, client, caller, serial))
                return
            log.warning("a connection could not be relayed: %s", error, extra={"caller": str(caller)})
            client.close()
            self._closed(caller.uid)

    def _bind(self, server: socket.socket, caller: model.Caller, serial: int) -> str:
        """Bind to a fresh abstract name and return it."""
        for attempt in range(_NAME_ATTEMPTS):
            name = f"skep/{self._token()}/{caller.uid}/{caller.gid}/{caller.pid}/{serial}"
            try:
                server.bind("\0" + name)
                return name
            except OSError as error:
                if error.errno != errno.EADDRINUSE or attempt == _NAME_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _serve(self, fd: int, events: int) -> None:
        found = self._pairs.get(fd)
        if found is None:
            # Not a pair: one that is being refused, or that an earlier event of the same round has ended.
            if fd in self._refused and self._refused[fd][1].pump():
                self._end_refused(fd)
            return
        here, there = (found.client, found.server) if fd == found.client.fd else (found.server, found.client)
        try:
            if events & select.EPOLLOUT:
                here.flush()
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and here.reads_into(there):
                here.pump(there, self._buffer)
            here.hung_up = here.hung_up or bool(events & (select.EPOLLHUP | select.EPOLLERR))
            if found.finished():
                self._end(found)
                return
            here.watch(self._epoll, there)
            there.watch(self._epoll, here)
        except OSError as error:
            log.debug("a connection ended: %s", error)
            self._end(found)

    def _end(self, ended: pair.Pair) -> None:
        for end in (ended.client, ended.server):
            self._pairs.pop(end.fd, None)
            end.socket.close()  # leaves the epoll set with its last descriptor
        self._callers.pop(ended.name, None)
        self._closed(ended.uid)

    def _closed(self, uid: int) -> None:
        self._count -= 1
        self._open[uid] -= 1
        if self._open[uid] <= 0:
            del self._open[uid]


def _peer(client: socket.socket) -> model.Caller:
    """SO_PEERCRED and SO_PEERGROUPS: who the other side was when it connected."""
    pid, uid, gid = _CREDENTIALS.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    try:
        raw = client.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 1024)
    except OSError as error:
        if error.errno not in (errno.ERANGE, errno.ENOPROTOOPT):
            raise
        raw = b""  # more than 256 groups: fewer rights than the caller has, never more
    return model.Caller(uid=uid, gid=gid, pid=pid, groups=struct.unpack(f"{len(raw) // 4}I", raw), origin="socket")
