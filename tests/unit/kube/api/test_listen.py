"""The small HTTP server, over real sockets, against clients that mean no good."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest

from skep import errors
from skep.kube.api import certificate, health, listen
from skep.kube.api.listen import Answer, Asked


async def hello(asked: Asked) -> Answer:
    return listen.text(HTTPStatus.OK, "hello")


async def broken(asked: Asked) -> Answer:
    raise ZeroDivisionError("a secret")


async def away(asked: Asked) -> Answer:
    raise errors.Unavailable("ask", why="a secret", do="wait")


ROUTES = {"/hello": hello, "/broken": broken, "/away": away}


def served(
    body: Callable[[int], Coroutine[Any, Any, None]], *, tls: ssl.SSLContext | None = None, seconds: float = 30
) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), listen.listening("127.0.0.1", 0, ROUTES, tls=tls, seconds=seconds) as port:
            await body(port)

    asyncio.run(run())


@asynccontextmanager
async def connected(
    port: int, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def said(port: int, words: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """All that is answered until the server closes."""
    async with connected(port, tls) as (reader, writer):
        writer.write(words)
        answer = b""
        try:
            while read := await reader.read(65536):
                answer += read
        except ConnectionResetError:
            pass
        return answer


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET /hello?verbose=1 HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET /hello HTTP/1.0\r\n\r\n", 200),
        (b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /hello/../hello HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"DELETE /hello HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n", 500),
        (b"GET /away HTTP/1.1\r\nHost: x\r\n\r\n", 503),
        (b"GET /hello HTTP/1.1\r\n\r\n", 400),
        (b"GET /hello HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET /hello HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", 400),
        (b"GE T /hello HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /hello HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000, 431),
        (b"GET /" + b"a" * 20_000, 431),
        (b"X: y\r\n" * 5000, 431),
    ],
    ids=range(17),
)
def test_what_is_answered(words: bytes, status: int) -> None:
    async def body(port: int) -> None:
        answer = await said(port, words)
        assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:100]
        assert b"secret" not in answer

    served(body)


def test_an_answer_is_whole_and_head_has_none() -> None:
    async def body(port: int) -> None:
        get = await said(port, b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await said(port, b"HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n")
        assert get.endswith(b"\r\n\r\nhello\n") and b"Content-Length: 6\r\n" in get
        assert head == get.removesuffix(b"hello\n")

    served(body)


def test_a_second_request_on_the_same_connection_is_not_answered() -> None:
    async def body(port: int) -> None:
        answer = await said(port, b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        assert answer.count(b"HTTP/1.1") == 1 and b"Connection: close" in answer

    served(body)


def test_a_slow_client_is_dropped_and_keeps_nobody_waiting() -> None:
    async def body(port: int) -> None:
        async with connected(port) as (slow, writer):
            writer.write(b"GET /hello HT")
            assert (await said(port, b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")).endswith(b"hello\n")
            try:
                assert await slow.read() == b""
            except ConnectionResetError:
                return

    served(body, seconds=0.5)


def test_too_many_connections_do_not_pile_up() -> None:
    async def body(port: int) -> None:
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(listen.AT_ONCE + 5)]
        try:
            ended = [asyncio.create_task(reader.read()) for reader, _ in opened]
            done, left = await asyncio.wait(ended, timeout=5, return_when=asyncio.FIRST_COMPLETED)
            while len(done) < 5:
                more, left = await asyncio.wait(left, timeout=5, return_when=asyncio.FIRST_COMPLETED)
                assert more
                done |= more
            assert len(left) == listen.AT_ONCE
            opened[0][1].transport.abort()
            while not (await said(port, b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")).endswith(b"hello\n"):
                await asyncio.sleep(0)
            for task in left:
                task.cancel()
            await asyncio.gather(*done, *left, return_exceptions=True)
        finally:
            for _, writer in opened:
                writer.transport.abort()

    served(body)


def test_a_client_that_goes_away_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def body(port: int) -> None:
        for words in (b"", b"GET", b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"):
            async with connected(port) as (_, writer):
                writer.write(words)
        assert (await said(port, b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")).endswith(b"hello\n")

    served(body)
    assert [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")] == []


def test_a_port_that_is_taken_is_told() -> None:
    async def body(port: int) -> None:
        with pytest.raises(errors.Unavailable, match=f"port {port}"):
            async with listen.listening("127.0.0.1", port, ROUTES):
                pass

    served(body)


def trusting_nobody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def test_a_certificate_made_at_start_serves() -> None:
    async def body(port: int) -> None:
        answer = await said(port, b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", trusting_nobody())
        assert answer.endswith(b"hello\n")
        async with connected(port) as (reader, writer):
            writer.write(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"hello" not in await reader.read()

    served(body, tls=certificate.made("skep-operator"))


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        ({}, 200, "ok\n"),
        ({"lease": "", "daemon": ""}, 200, "[+]lease ok\n[+]daemon ok\nok\n"),
        ({"lease": "", "daemon": "a secret"}, 503, "[+]lease ok\n[-]daemon failed: the log says why\nnot ok\n"),
    ],
)
def test_checks_are_told_by_name_and_without_their_reasons(found: dict[str, str], status: int, words: str) -> None:
    answer = health.report(found)
    assert (answer.status, answer.body.decode()) == (status, words)


def test_why_a_check_fails_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    why = ["", "no daemon", "no daemon", "", "no daemon"]
    route = health.routes(live={}, ready={"daemon": lambda: why.pop(0)})["/readyz"]
    asked = Asked(method="GET", path="/readyz", headers={})
    seen = [asyncio.run(_awaited(route, asked)).status.value for _ in range(5)]
    assert seen == [200, 503, 503, 200, 503]
    assert [record.getMessage() for record in caplog.records] == ["daemon: no daemon"] * 2


async def _awaited(route: listen.Route, asked: Asked) -> Answer:
    return await route(asked)
