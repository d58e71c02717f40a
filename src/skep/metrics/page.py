"""``/metrics`` over HTTP, on TCP or on a Unix socket.

Whoever reaches the address may read it: numbers, names of programs, maps and interfaces. So it is off by default, and
what to give it is loopback or a socket; in a cluster the agent's page asks the API server who may read.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final

from skep import errors
from skep.metrics import families
from skep.rpc import listen

log = logging.getLogger("skep.metrics")

FRESH: Final = 1.0
"""Seconds for which a page is given again: who asks in a loop costs the kernel nothing."""
PATIENCE: Final = 5.0
"""Seconds that a client may take to ask, and to take the answer."""
AT_ONCE: Final = 4
"""Clients; more are hung up on."""
_MOST_HEAD: Final = 8192
_BACKLOG: Final = 16


@contextlib.contextmanager
def served(address: str, look: Callable[[], families.Snapshot]) -> Iterator[str]:
    """Serve until the block ends; the address, with the port that it got. ``address``: "HOST:PORT" or an absolute path.

    Conflict when the address is taken, InvalidRequest when there is no such host.
    """
    with contextlib.ExitStack() as stack:
        if address.startswith("/"):
            listener = stack.enter_context(listen.listen(address))
            stack.callback(listen.remove, address, listen.identity(address))
        else:
            listener = stack.enter_context(_tcp(address))
        server = _Server(listener, look)
        thread = threading.Thread(target=server.run, name="metrics", daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.end)
        host, port = address.rpartition(":")[0], listener.getsockname()[1]
        yield address if address.startswith("/") else f"{host}:{port}"


def _tcp(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        family, kind, proto, _, place = socket.getaddrinfo(
            host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind | socket.SOCK_CLOEXEC, proto)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        unknown = isinstance(error, socket.gaierror)
        kind_ = errors.InvalidRequest if unknown else errors.Conflict
        raise kind_(
            f"cannot serve metrics on {address}",
            why=error.strerror or str(error),
            do="choose another metrics.address",
            errno=0 if unknown else error.errno or 0,
        ) from error
    return listener


class _Server:
    """One thread that accepts, and one for each client while it is answered."""

    def __init__(self, listener: socket.socket, look: Callable[[], families.Snapshot]) -> None:
        self._listener = listener
        self._look = look
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._made = -FRESH
        self._text = b""
        self._over = False

    def run(self) -> None:
        """Until ``end``."""
        while not self._over:
            try:
                client, _ = self._listener.accept()
            except OSError as error:
                if not self._over:
                    log.warning("cannot accept: %s", error.strerror)
                    time.sleep(FRESH)  # out of descriptors: the client waits in the backlog
                continue
            if not self._slots.acquire(blocking=False):
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), name="metrics-client", daemon=True).start()

    def end(self) -> None:
        """Let ``run`` return."""
        self._over = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, contextlib.suppress(OSError):
                client.sendall(self._answer(_request(client)))
        finally:
            self._slots.release()

    def _answer(self, request: tuple[str, str] | None) -> bytes:
        if request is None:
            return _response(HTTPStatus.BAD_REQUEST, b"not HTTP\n")
        method, path = request
        if method not in ("GET", "HEAD"):
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, b"GET it\n")
        if path.partition("?")[0] != "/metrics":
            return _response(HTTPStatus.NOT_FOUND, b"see /metrics\n")
        try:
            return _response(HTTPStatus.OK, self._page(), kind=families.CONTENT_TYPE, bodiless=method == "HEAD")
        except errors.SkepError as error:
            return _response(HTTPStatus.INTERNAL_SERVER_ERROR, f"{error}\n".encode())

    def _page(self) -> bytes:
        with self._lock:
            if time.monotonic() - self._made >= FRESH:
                self._text = families.text(families.families(self._look())).encode()
                self._made = time.monotonic()
            return self._text


def _request(client: socket.socket) -> tuple[str, str] | None:
    """Method and path; None for what is no request of HTTP/1. ``TimeoutError`` for a slow client."""
    until = time.monotonic() + PATIENCE
    head = bytearray()
    while b"\r\n\r\n" not in head:
        client.settimeout(max(until - time.monotonic(), 0.001))
        piece = client.recv(_MOST_HEAD)
        head += piece
        if not piece or len(head) > _MOST_HEAD:
            return None
    client.settimeout(PATIENCE)
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    return (words[0], words[1]) if len(words) == 3 and words[2].startswith("HTTP/1.") else None


def _response(status: HTTPStatus, body: bytes, *, kind: str = "text/plain", bodiless: bool = False) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if bodiless else body)
