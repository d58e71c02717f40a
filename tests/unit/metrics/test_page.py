"""The page over real sockets: what it answers, to whom, and what a hostile client cannot do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from skep import errors
from skep.metrics import families, page

SECONDS = 10.0


def look() -> families.Snapshot:
    return families.Snapshot(version="1.2.3", programs=(), links=(), maps=(), operations={})


def asked(address: str, request: bytes = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n") -> bytes:
    """The whole answer."""
    if address.startswith("/"):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(SECONDS)
        client.connect(address)
    else:
        host, _, port = address.rpartition(":")
        client = socket.create_connection((host.strip("[]"), int(port)), SECONDS)
    with client:
        client.sendall(request)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        return answer


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "path"])
def test_it_is_served(address: str, tmp_path: Path) -> None:
    place = f"{tmp_path}/metrics.sock" if address == "path" else address
    with page.served(place, look) as told:
        head, _, body = asked(told).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert b'skep_build_info{version="1.2.3"} 1\n' in body
    with pytest.raises(OSError):
        asked(told)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "request_, status",
    [
        (b"HEAD /metrics HTTP/1.0\r\n\r\n", b"200 OK"),
        (b"GET /metrics?name=x HTTP/1.1\r\n\r\n", b"200 OK"),
        (b"GET / HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"405 Method Not Allowed"),
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (b"GET /metrics HTTP/2\r\n\r\n", b"400 Bad Request"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b""),
    ],
    ids=["head", "query", "other page", "post", "nonsense", "later", "endless"],
)
def test_requests(request_: bytes, status: bytes) -> None:
    with page.served("127.0.0.1:0", look) as told:
        try:
            answer = asked(told, request_)
        except ConnectionError:  # hung up on before all was said
            answer = b""
        if status:
            assert answer.startswith(b"HTTP/1.1 " + status + b"\r\n")
        if request_.startswith(b"HEAD"):
            assert answer.endswith(b"\r\n\r\n")
        assert asked(told).startswith(b"HTTP/1.1 200 OK")


def test_who_asks_often_gets_the_same_page(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def counted() -> families.Snapshot:
        looks.append(1)
        return look()

    monkeypatch.setattr(page, "FRESH", 3600.0)
    with page.served("127.0.0.1:0", counted) as told:
        assert len({asked(told) for _ in range(5)}) == 1
    assert len(looks) == 1


def test_slow_clients_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those above the limit are hung up on; when the slow ones have had their time, others are answered again."""
    monkeypatch.setattr(page, "PATIENCE", 0.5)
    with page.served("127.0.0.1:0", look) as told:
        host, _, port = told.rpartition(":")
        slow = [socket.create_connection((host, int(port)), SECONDS) for _ in range(page.AT_ONCE)]
        hung_up = socket.create_connection((host, int(port)), SECONDS)
        assert hung_up.recv(1) == b""
        for client in slow:
            assert client.recv(1) == b""  # half a second later
            client.close()
        hung_up.close()
        assert asked(told).startswith(b"HTTP/1.1 200 OK")


def test_an_error_is_told_and_ends_nothing() -> None:
    def broken() -> families.Snapshot:
        raise errors.Broken("the store cannot be read", do="see the log")

    with page.served("127.0.0.1:0", broken) as told:
        for _ in range(2):
            assert asked(told).startswith(b"HTTP/1.1 500 ")


def test_addresses_that_cannot_be_had() -> None:
    with (
        page.served("127.0.0.1:0", look) as told,
        pytest.raises(errors.Conflict, match="cannot serve metrics"),
        page.served(told, look),
    ):
        pass
    with pytest.raises(errors.InvalidRequest), page.served("no-such-host.invalid:80", look):
        pass
