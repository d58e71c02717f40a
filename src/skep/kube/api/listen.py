"""A small HTTP server for probes and scrapes: GET and HEAD of a few paths, one request per connection.

Whoever connects may be hostile: a request has to be there within seconds and kilobytes, only so many are served at
once, and nothing that is sent is kept. h11 reads and writes the protocol. There is no body that anybody reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import h11

from skep import errors

log = logging.getLogger("skep.kube.api.listen")

SECONDS: Final = 10.0
"""For a whole request and its answer."""
LONGEST: Final = 16 * 1024
"""Bytes of a request's line and headers; a token of a ServiceAccount has about one thousand."""
AT_ONCE: Final = 64
"""Connections; beyond, a new one is closed at once."""
_HANDSHAKE: Final = 5.0
_READ: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request: the path without its query, and headers by lower-case name."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is answered, as text."""

    status: HTTPStatus
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Route = Callable[[Asked], Awaitable[Answer]]


def address(text: str) -> tuple[str, int] | None:
    """A "[HOST]:PORT" as the flags of Kubernetes' programs have it; "0" is nowhere. Raises InvalidRequest."""
    if text == "0":
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 0xFFFF:
        raise errors.InvalidRequest(
            f"cannot listen on {text!r}", why="it is no [HOST]:PORT", do="write :8175, or 0 for nowhere"
        )
    return host.strip("[]"), int(port)


def text(status: HTTPStatus, words: str, **headers: str) -> Answer:
    """An answer in plain words."""
    return Answer(
        status=status,
        body=words.encode() + b"\n",
        headers={"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff", **headers},
    )


@contextlib.asynccontextmanager
async def listening(
    host: str,
    port: int,
    routes: Mapping[str, Route],
    *,
    tls: ssl.SSLContext | None = None,
    seconds: float = SECONDS,
) -> AsyncIterator[int]:
    """Serve these paths meanwhile; the port, for where 0 was asked for. Raises Unavailable if it cannot be had."""
    now = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now
        if now >= AT_ONCE:
            writer.transport.abort()
            return
        now += 1
        try:
            async with asyncio.timeout(seconds):
                await _exchange(reader, writer, routes)
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError):
            # Too slow, or gone; either way there is nobody to tell.
            writer.transport.abort()
        finally:
            now -= 1

    secured = {"ssl_handshake_timeout": _HANDSHAKE, "ssl_shutdown_timeout": _HANDSHAKE} if tls else {}
    try:
        server = await asyncio.start_server(serve, host, port, limit=LONGEST, ssl=tls, **secured)
    except OSError as error:
        raise errors.Unavailable(
            f"listen on {host} port {port}", why=str(error), do="choose another port, or free this one"
        ) from error
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, routes: Mapping[str, Route]) -> None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LONGEST)
    head_only = False
    try:
        asked = await _asked(reader, connection)
    except h11.RemoteProtocolError as error:
        answer = text(HTTPStatus(error.error_status_hint), "this is no HTTP request that is served here")
    else:
        if asked is None:
            return
        answer, head_only = await _answered(asked, routes), asked.method == "HEAD"
    head = h11.Response(
        status_code=answer.status,
        reason=answer.status.phrase.encode(),
        headers=[*answer.headers.items(), ("Content-Length", str(len(answer.body))), ("Connection", "close")],
    )
    writer.write(connection.send(head) or b"")
    if not head_only:
        writer.write(answer.body)
    await writer.drain()


async def _asked(reader: asyncio.StreamReader, connection: h11.Connection) -> Asked | None:
    """The request; None if there comes none. Raises h11's errors."""
    while True:
        match connection.next_event():
            case h11.Request() as request:
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
                path, _, _ = request.target.decode("latin-1").partition("?")
                return Asked(method=request.method.decode("latin-1"), path=path, headers=headers)
            case h11.NEED_DATA:
                if not (read := await reader.read(_READ)):
                    return None
                connection.receive_data(read)
            case _:
                return None


async def _answered(asked: Asked, routes: Mapping[str, Route]) -> Answer:
    route = routes.get(asked.path)
    if route is None:
        return text(HTTPStatus.NOT_FOUND, "no such path; there are " + " ".join(sorted(routes)))
    if asked.method not in ("GET", "HEAD"):
        return text(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD", Allow="GET, HEAD")
    try:
        return await route(asked)
    except errors.Unavailable as error:
        log.warning("%s cannot be answered: %s", asked.path, error)
        return text(HTTPStatus.SERVICE_UNAVAILABLE, "try again later; the log says why")
    except Exception:
        log.exception("%s cannot be answered", asked.path)
        return text(HTTPStatus.INTERNAL_SERVER_ERROR, "the log says why")
