"""The relay, with real sockets: who is told, what is passed on, what ends and what does not."""

from __future__ import annotations

import os
import secrets
import select
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from skep import errors, model
from skep.rpc import client, peer

SECONDS = 20.0
"""A socket that says nothing for so long fails the test."""
MEBIBYTE = 1 << 20


@dataclass
class Bench:
    """A relay between ``dial`` and ``answer``."""

    relay: peer.Relay
    public: str
    backend: socket.socket

    def dial(self) -> socket.socket:
        """A client's connection."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(SECONDS)
        client.connect(self.public)
        return client

    def answer(self) -> tuple[socket.socket, str]:
        """The other end of the oldest unanswered one, and its name as gRPC writes it."""
        server, name = self.backend.accept()
        server.settimeout(SECONDS)
        return server, "unix-abstract:" + name[1:].decode()

    def joined(self) -> tuple[socket.socket, socket.socket]:
        """Both ends of a new connection."""
        client = self.dial()
        return client, self.answer()[0]

    def settled(self) -> int:
        """The number of open connections after the relay has handled all that happened so far.

        A new connection is accepted at the end of a round, so two of them see two whole rounds.
        """
        for _ in range(2):
            client, server = self.joined()
            with client, server:
                client.sendall(b"?")
                assert server.recv(1) == b"?"
            # Both ends are closed now, but the relay may not know yet.
        client, server = self.joined()
        with client, server:
            client.sendall(b"?")
            assert server.recv(1) == b"?"
            return self.relay.connections - 1


def listening(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.settimeout(SECONDS)
    listener.bind(str(path))
    listener.listen()
    return listener


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from made(tmp_path)


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Bench]:
    """Two connections in all, which for root is four."""
    yield from made(tmp_path, per_uid=2, total=2)


@pytest.fixture
def squattable(tmp_path: Path) -> Iterator[Bench]:
    """Always the same name."""
    yield from made(tmp_path, token=lambda: "0" * 24)


def made(
    tmp_path: Path,
    *,
    per_uid: int = peer.PER_UID,
    total: int = peer.TOTAL,
    token: Callable[[], str] = secrets.token_hex,
) -> Iterator[Bench]:
    backend = listening(tmp_path / "backend")
    relay = peer.Relay(
        listening(tmp_path / "public"), str(tmp_path / "backend"), per_uid=per_uid, total=total, token=token
    )
    relay.start()
    yield Bench(relay, str(tmp_path / "public"), backend)
    relay.close()
    backend.close()


def received(sock: socket.socket, size: int) -> bytes:
    """Exactly so many bytes."""
    whole = bytearray()
    while len(whole) < size:
        piece = sock.recv(min(size - len(whole), MEBIBYTE))
        assert piece, f"ended after {len(whole)} of {size} bytes"
        whole += piece
    return bytes(whole)


def filled_up(sender: socket.socket) -> int:
    """The bytes that go in until relay and socket buffers are full."""
    sender.setblocking(False)
    sent = 0
    while sent < 16 * MEBIBYTE:
        try:
            sent += sender.send(b"y" * 65536)
        except BlockingIOError:
            return sent
    pytest.fail("the relay took everything: nothing holds the sender up")


def test_the_caller_is_who_connected(bench):
    client = bench.dial()
    _, name = bench.answer()

    assert bench.relay.lookup(name) == model.Caller(
        uid=os.getuid(), gid=os.getgid(), pid=os.getpid(), groups=tuple(os.getgroups()), origin="socket"
    )
    client.close()


@pytest.mark.parametrize(
    "name", ["unix:", "unix:/run/skep.sock", "ipv4:127.0.0.1:80", "unix-abstract:skep/0/0/0/0/1", "skep/0/0/0/0/1", ""]
)
def test_whoever_did_not_come_through_the_relay_is_refused(bench, name):
    with pytest.raises(errors.Denied):
        bench.relay.lookup(name)


def test_a_name_is_forgotten_with_its_connection(bench):
    client = bench.dial()
    server, name = bench.answer()
    client.close()
    server.close()
    bench.settled()

    with pytest.raises(errors.Denied):
        bench.relay.lookup(name)


def test_two_connections_have_two_names(bench):
    with bench.dial(), bench.dial():
        assert bench.answer()[1] != bench.answer()[1]


def test_bytes_pass_both_ways(bench):
    client, server = bench.joined()

    client.sendall(b"question")
    assert received(server, 8) == b"question"
    server.sendall(b"answer")
    assert received(client, 6) == b"answer"


def test_a_client_that_half_closes_still_gets_its_answer(bench):
    client, server = bench.joined()

    client.sendall(b"last words")
    client.shutdown(socket.SHUT_WR)

    assert received(server, 10) == b"last words"
    assert server.recv(1) == b""
    server.sendall(b"answer")
    server.close()
    assert received(client, 6) == b"answer"
    assert client.recv(1) == b""


def test_a_server_that_half_closes_still_hears(bench):
    client, server = bench.joined()

    server.shutdown(socket.SHUT_WR)

    assert client.recv(1) == b""
    client.sendall(b"late")
    assert received(server, 4) == b"late"


def test_what_was_sent_before_closing_arrives(bench):
    client, server = bench.joined()

    client.sendall(b"x" * 100_000)
    client.close()

    assert received(server, 100_000) == b"x" * 100_000
    assert server.recv(1) == b""


def test_an_answer_of_16_mib_arrives_whole(bench):
    client, server = bench.joined()
    answer = os.urandom(MEBIBYTE) * 16
    sender = threading.Thread(target=server.sendall, args=(answer,))
    sender.start()

    assert received(client, len(answer)) == answer
    sender.join()


def test_a_slow_reader_holds_up_its_sender_and_nobody_else(bench):
    client, server = bench.joined()
    sent = filled_up(server)

    other, far = bench.joined()
    other.sendall(b"quick")
    assert received(far, 5) == b"quick"
    # The relay has had a whole round since; what it holds of the slow one is bounded.
    assert sent <= peer.BUFFER_BYTES + 4 * MEBIBYTE
    server.close()
    assert received(client, sent) == b"y" * sent
    assert client.recv(1) == b""


def test_a_reader_that_never_reads_and_leaves_ends_the_connection(bench):
    client, server = bench.joined()
    filled_up(server)
    client.close()

    server.settimeout(SECONDS)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        server.sendall(b"y" * 16 * MEBIBYTE)
    assert bench.settled() == 0


class Counted:
    """An epoll set that counts how often it woke somebody up."""

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll = epoll
        self.rounds = 0

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        self.rounds += 1
        return self._epoll.poll(timeout)

    def __getattr__(self, name: str) -> object:
        return getattr(self._epoll, name)


def test_a_client_that_leaves_before_all_is_read_keeps_nobody_busy(bench, monkeypatch):
    """epoll reports a hang-up again and again, even to those who did not ask."""
    client, server = bench.joined()
    sent = filled_up(client)
    client.close()
    other, far = bench.joined()
    counted = Counted(bench.relay._epoll)
    monkeypatch.setattr(bench.relay, "_epoll", counted)

    for _ in range(200):
        other.sendall(b"?")
        assert far.recv(1) == b"?"

    assert counted.rounds < 300  # one for each, and a few for what came before
    assert received(server, sent) == b"y" * sent
    assert server.recv(1) == b""


def test_a_server_that_is_gone_ends_the_connection_of_an_idle_client(bench):
    client, server = bench.joined()

    server.close()

    assert client.recv(1) == b""
    assert bench.settled() == 0


def test_idle_connections_do_not_hold_up_others(bench):
    idle = [bench.joined() for _ in range(40)]

    client, server = bench.joined()
    client.sendall(b"busy")

    assert received(server, 4) == b"busy"
    assert bench.relay.connections == 41
    for pair in idle:
        for end in pair:
            end.close()
    client.close()
    server.close()
    assert bench.settled() == 0


def test_a_client_that_dies_is_forgotten(bench):
    pid = os.fork()
    if pid == 0:  # a process that connects, says half a thing, and is killed
        dying = bench.dial()
        dying.sendall(b"half a")
        os.kill(os.getpid(), 9)
    server, name = bench.answer()
    assert received(server, 6) == b"half a"
    os.waitpid(pid, 0)

    assert server.recv(1) == b""
    server.close()
    assert bench.settled() == 0
    with pytest.raises(errors.Denied):
        bench.relay.lookup(name)


@pytest.fixture
def squatted(tmp_path: Path) -> Iterator[Bench]:
    """The first name is taken twice."""
    fresh = iter(["0" * 24, "0" * 24, "1" * 24])
    yield from made(tmp_path, token=lambda: next(fresh))


def test_a_taken_name_is_replaced(squatted):
    with socket.socket(socket.AF_UNIX) as squatter:
        squatter.bind(f"\0skep/{'0' * 24}/{os.getuid()}/{os.getgid()}/{os.getpid()}/1")

        with squatted.dial():
            assert squatted.answer()[1].startswith("unix-abstract:skep/" + "1" * 24)


def test_when_every_name_is_taken_that_connection_ends_and_the_next_one_works(squattable):
    bench = squattable
    with socket.socket(socket.AF_UNIX) as squatter:
        squatter.bind(f"\0skep/{'0' * 24}/{os.getuid()}/{os.getgid()}/{os.getpid()}/1")
        assert bench.dial().recv(1) == b""

    client, server = bench.joined()
    client.sendall(b"lucky")
    assert received(server, 5) == b"lucky"


def test_without_a_server_only_the_connection_ends(bench, tmp_path):
    bench.backend.close()
    os.unlink(tmp_path / "backend")
    assert bench.dial().recv(1) == b""

    bench.backend = listening(tmp_path / "backend")
    client, server = bench.joined()
    client.sendall(b"back")

    assert received(server, 4) == b"back"


def test_one_connection_too_many_is_told_why(narrow):
    allowed = 4 if os.getuid() == 0 else 2
    open_ones = [narrow.joined() for _ in range(allowed)]

    with client.Client(narrow.public) as refused, pytest.raises(errors.Exhausted, match=r"connections .* close some"):
        refused.version()

    for pair in open_ones:
        for end in pair:
            end.close()
    assert narrow.settled() == 0


def test_connections_that_are_open_go_on_when_no_more_are_accepted(bench):
    client, server = bench.joined()

    bench.relay.stop_accepting()

    client.sendall(b"still")
    assert received(server, 5) == b"still"


def test_closing_ends_every_connection(tmp_path):
    backend = listening(tmp_path / "backend")
    relay = peer.Relay(listening(tmp_path / "public"), str(tmp_path / "backend"))
    relay.start()
    bench = Bench(relay, str(tmp_path / "public"), backend)
    client, server = bench.joined()

    relay.close()

    assert client.recv(1) == b""
    assert server.recv(1) == b""
    backend.close()
