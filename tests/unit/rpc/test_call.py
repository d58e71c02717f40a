"""The light gRPC client against servers that say anything. (Against a real one: ``test_client``.)"""

from __future__ import annotations

import base64
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skep.rpc import call, hpack

SECONDS = 10.0
HEAD = hpack.STATUS_200 + hpack.field(b"content-type", b"application/grpc")
SETTINGS = call.frame(call.SETTINGS, 0, 0, b"")
OK = hpack.field(b"grpc-status", b"0")


def message(body: bytes) -> bytes:
    return struct.pack(">BI", 0, len(body)) + body


def answer(stream: int, body: bytes = b"answer") -> bytes:
    return (
        call.frame(call.HEADERS, call.END_HEADERS, stream, HEAD)
        + call.frame(call.DATA, 0, stream, message(body))
        + call.frame(call.HEADERS, call.END_HEADERS | call.END_STREAM, stream, OK)
    )


@contextlib.contextmanager
def server(directory: Path, said: bytes) -> Iterator[str]:
    """Says ``said`` to the first client, then nothing more; hears everything."""
    path = str(directory / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def speak() -> None:
            with contextlib.suppress(OSError), listener.accept()[0] as peer:
                peer.settimeout(SECONDS)
                peer.sendall(said)
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65536):
                    pass

        thread = threading.Thread(target=speak)
        thread.start()
        try:
            yield path
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()
    Path(path).unlink()


def ask(directory: Path, said: bytes) -> bytes:
    with server(directory, said) as path:
        connection = call.Connection(path)
        try:
            return connection.call("/s/m", [b"question"], (("key", "value"),), SECONDS)
        finally:
            connection.close()


CUT = HEAD + OK
ANSWERS = {
    "plain": SETTINGS + answer(1),
    "before its settings": answer(1) + SETTINGS,
    "with a ping in between": SETTINGS + call.frame(call.PING, 0, 0, b"12345678") + answer(1),
    "with somebody else's frames": SETTINGS + call.frame(call.DATA, 0, 3, b"not ours") + answer(1),
    "with unknown frames": SETTINGS + call.frame(0x77, 255, 9, b"???") + answer(1),
    "padded": SETTINGS
    + call.frame(call.HEADERS, call.END_HEADERS | call.PADDED | call.PRIORITY, 1, b"\2" + b"12345" + HEAD + b"\0\0")
    + call.frame(call.DATA, call.PADDED, 1, b"\3" + message(b"answer") + b"\0\0\0")
    + call.frame(call.HEADERS, call.END_HEADERS | call.END_STREAM, 1, OK),
    "in several pieces": SETTINGS
    + call.frame(call.HEADERS, call.END_HEADERS, 1, HEAD)
    + call.frame(call.DATA, 0, 1, message(b"answer")[:3])
    + call.frame(call.DATA, 0, 1, message(b"answer")[3:])
    + call.frame(call.HEADERS, call.END_STREAM, 1, OK[:4])
    + call.frame(call.CONTINUATION, call.END_HEADERS, 1, OK[4:]),
    "and then ends for good": SETTINGS + answer(1) + call.frame(call.GOAWAY, 0, 0, struct.pack(">II", 1, 0)),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_understood(tmp_path, name):
    assert ask(tmp_path, ANSWERS[name]) == b"answer"


def refusal(*fields: tuple[bytes, bytes]) -> bytes:
    block = hpack.STATUS_200 + b"".join(hpack.field(*one) for one in fields)
    return SETTINGS + call.frame(call.HEADERS, call.END_HEADERS | call.END_STREAM, 1, block)


def reset(code: int) -> bytes:
    return SETTINGS + call.frame(call.RST_STREAM, 0, 1, struct.pack(">I", code))


FAILURES = {
    "a status": (refusal((b"grpc-status", b"5"), (b"grpc-message", b"100%25 gone%0A")), "NOT_FOUND", "100% gone\n"),
    "an unknown status": (refusal((b"grpc-status", b"99")), "UNKNOWN", ""),
    "no status": (refusal(), "UNKNOWN", ""),
    "a refused stream": (reset(7), "UNAVAILABLE", ""),
    "a cancelled stream": (reset(8), "CANCELLED", ""),
    "a stream reset for another reason": (reset(2), "INTERNAL", ""),
    "nothing": (b"", "UNAVAILABLE", "closed"),
    "half a frame": (SETTINGS + answer(1)[:20], "UNAVAILABLE", "closed"),
    "goodbye": (call.frame(call.GOAWAY, 0, 0, struct.pack(">II", 0, 0) + b"too busy"), "UNAVAILABLE", "too busy"),
    "half a header": (call.frame(call.HEADERS, call.END_HEADERS, 1, CUT[:-1]), "UNAVAILABLE", "cut short"),
    "all padding": (call.frame(call.DATA, call.PADDED, 1, b"\x09abc"), "UNAVAILABLE", "padding"),
    "HTTP/1.1": (b"HTTP/1.1 400 Bad Request\r\n\r\n" + b" " * 20, "UNAVAILABLE", ""),
    "OK without a message": (refusal((b"grpc-status", b"0")), "INTERNAL", "not one message"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_has_a_status(tmp_path, name):
    said, code, text = FAILURES[name]

    with pytest.raises(call.Failed) as raised:
        ask(tmp_path, said)

    assert raised.value.code == code
    assert text in raised.value.text


@pytest.mark.parametrize(
    "sent", [b"\0\1\2\xff", base64.b64encode(b"\1\2\xff").rstrip(b"=")], ids=["as it is", "in base64"]
)
def test_binary_metadata_is_decoded(tmp_path, sent):
    with pytest.raises(call.Failed) as raised:
        ask(tmp_path, refusal((b"grpc-status", b"5"), (b"x-bin", sent)))

    assert dict(raised.value.metadata)["x-bin"] == b"\1\2\xff"


def test_a_silent_server_costs_no_more_than_the_deadline(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        connection = call.Connection(str(tmp_path / "s"))

        with pytest.raises(call.Failed) as raised:
            connection.call("/s/m", [b"q"], (), 0.05)

        assert raised.value.code == "DEADLINE_EXCEEDED"
        assert not connection.usable


def test_a_stream_gives_every_message_however_it_is_cut(tmp_path):
    whole = b"".join(message(body) for body in (b"one", b"", b"three" * 1000))
    for cut in (1, 7, 4096):
        directory = tmp_path / str(cut)
        directory.mkdir()
        said = SETTINGS + call.frame(call.HEADERS, call.END_HEADERS, 1, HEAD)
        said += b"".join(call.frame(call.DATA, 0, 1, whole[at : at + cut]) for at in range(0, len(whole), cut))
        said += call.frame(call.HEADERS, call.END_HEADERS | call.END_STREAM, 1, OK)
        with server(directory, said) as path, contextlib.closing(call.Connection(path)) as connection:
            assert list(connection.stream("/s/m", (b"",), (), SECONDS)) == [b"one", b"", b"three" * 1000]


def test_a_stream_that_ends_within_a_message_is_a_failure(tmp_path):
    said = SETTINGS + call.frame(call.HEADERS, call.END_HEADERS, 1, HEAD)
    said += call.frame(call.DATA, 0, 1, b"\0\0\0\0\x09ab")
    said += call.frame(call.HEADERS, call.END_HEADERS | call.END_STREAM, 1, OK)
    with (
        server(tmp_path, said) as path,
        contextlib.closing(call.Connection(path)) as connection,
        pytest.raises(call.Failed, match="ends within a message"),
    ):
        list(connection.stream("/s/m", (b"",), (), SECONDS))


def test_a_connection_that_was_closed_is_not_used_again(tmp_path):
    with server(tmp_path, SETTINGS + answer(1)) as path:
        connection = call.Connection(path)
        connection.call("/s/m", [b"q"], (), SECONDS)
        # The server has said all and closed its side.
        assert not connection.usable
        connection.close()


@settings(max_examples=150)
@given(said=st.binary(max_size=200), framed=st.booleans(), kind=st.integers(0, 10), flags=st.integers(0, 255))
def test_whatever_a_server_says_is_a_failure_or_an_answer(tmp_path_factory, said, framed, kind, flags):
    directory = tmp_path_factory.mktemp("anything")

    with contextlib.suppress(call.Failed):
        ask(directory, SETTINGS + call.frame(kind, flags, 1, said) if framed else said)


@given(
    headers=st.lists(
        st.tuples(
            st.one_of(st.sampled_from([b":path", b"content-type"]), st.binary(min_size=1, max_size=200)),
            st.binary(max_size=400),
        )
    )
)
def test_headers_come_back_as_they_went(headers):
    read = list(hpack.fields(b"".join(hpack.field(*one) for one in headers)))

    assert [value for _, value in read] == [value for _, value in headers]
    assert all(name in (b"", wanted) for (name, _), (wanted, _) in zip(read, headers, strict=True))


@given(block=st.binary(max_size=300))
def test_no_block_of_headers_breaks_the_reader(block):
    with contextlib.suppress(ValueError):
        list(hpack.fields(block))
