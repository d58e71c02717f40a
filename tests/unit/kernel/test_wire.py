"""The protocol between daemon and loader: what goes in comes out, and a garbled message leaves no descriptor open."""

from __future__ import annotations

import _socket
import os
import struct
from collections.abc import Iterator

import pytest

from skep.kernel import wire


@pytest.fixture
def pair() -> Iterator[tuple[_socket.socket, _socket.socket]]:
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    yield ours, theirs
    ours.close()
    theirs.close()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("count", [0, 1, 199, 200, 450], ids=str)
def test_documents_and_descriptors_arrive(pair: tuple[_socket.socket, _socket.socket], count: int) -> None:
    ours, theirs = pair
    document = wire.Document(b'{"a": 1}', (b"", b"x" * 100_000))
    before = open_descriptors()
    file = os.open("/dev/null", os.O_RDONLY)
    wire.send(ours, document, [file] * count)
    message = wire.receive(theirs)
    assert message is not None
    assert message.document == document
    assert len(message.fds) == count
    assert all(not os.get_inheritable(fd) and os.fstat(fd).st_rdev == os.fstat(file).st_rdev for fd in message.fds)
    for fd in (file, *message.fds):
        os.close(fd)
    assert open_descriptors() == before


def test_a_closed_socket_is_no_message(pair: tuple[_socket.socket, _socket.socket]) -> None:
    ours, theirs = pair
    ours.close()
    assert wire.receive(theirs) is None
    assert not wire.await_finish(theirs)


def _raw(channel: _socket.socket, prelude: bytes, data: bytes | None) -> None:
    if data is None:
        channel.sendall(prelude)
        return
    memory = os.memfd_create("test")
    os.write(memory, data)
    rights = struct.pack("=i", memory)
    channel.sendmsg([prelude], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
    os.close(memory)


BODY = struct.pack("=IQ", 0, 2) + b"{}"


@pytest.mark.parametrize(
    ("prelude", "data"),
    [
        (struct.pack("=IQ", 1, 14), None),
        (struct.pack("=IQ", 1, 14)[:5], BODY),
        (struct.pack("=IQ", 0, 14), BODY),
        (struct.pack("=IQ", 2**32 - 1, 14), BODY),
        (struct.pack("=IQ", 1, 2**63), BODY),
        (struct.pack("=IQ", 1, 15), BODY),
        (struct.pack("=IQ", 1, 3), BODY),
        (struct.pack("=IQ", 2, 14), BODY),
        (struct.pack("=IQ", 1, 14), struct.pack("=IQ", 7, 2) + b"{}"),
        (struct.pack("=IQ", 1, 14), struct.pack("=IQ", 0, 2**60) + b"{}"),
    ],
    ids=[
        "no descriptor", "short prelude", "no descriptor promised", "too many promised", "too large", "file too short",
        "cut inside", "second descriptor missing", "blobs missing", "part too long",
    ],
)  # fmt: skip
def test_a_garbled_message_is_refused_and_closed(
    pair: tuple[_socket.socket, _socket.socket], prelude: bytes, data: bytes | None
) -> None:
    ours, theirs = pair
    before = open_descriptors()
    _raw(ours, prelude, data)
    ours.shutdown(_socket.SHUT_WR)
    with pytest.raises(wire.Garbled):
        wire.receive(theirs)
    assert open_descriptors() == before
