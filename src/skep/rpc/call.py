"""gRPC calls over a Unix socket, one at a time per connection: what ``Client`` needs of HTTP/2, and no more.

The grpc package takes 60 ms to import, which is most of a command's time; this takes 2. It speaks to any gRPC server
built on the C core. Sources: RFC 9113 (HTTP/2), gRPC's PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import struct
import time
import urllib.parse
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

from skep.rpc import hpack

CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
"""By ``grpc-status``."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME = struct.Struct(">BHBBI")
"""Length (24 bits, as 8 and 16), type, flags, stream."""
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
ACK, END_STREAM, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 32

_SETTING = struct.Struct(">HI")
_TABLE_SIZE, _WINDOW, _FRAME_SIZE, _HEADER_LIST, _TRUE_BINARY = 1, 4, 5, 6, 0xFE03
"""Settings; the last is gRPC's: metadata may hold any byte."""
_LARGEST_WINDOW = 2**31 - 1
_FIRST_WINDOW = 65535
_LARGEST_FRAME = 2**24 - 1
_MOST_METADATA = 4 * 1024 * 1024
_REFILL = 2**29
_HELD = 8192
"""Bytes that may wait for more to be sent with them, until an answer is waited for."""
_CANCEL = 8
_RESETS = {0: "UNAVAILABLE", 7: "UNAVAILABLE", 8: "CANCELLED", 11: "RESOURCE_EXHAUSTED"}
"""HTTP/2's error codes of a stream -> the status that gRPC makes of them."""


class Failed(Exception):
    """A call that did not succeed: the status' name, its text, and the trailing metadata."""

    def __init__(self, code: str, text: str, metadata: tuple[tuple[str, bytes], ...] = ()) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text
        self.metadata = metadata


@dataclass(slots=True)
class _Stream:
    """What has come of the one call that is under way."""

    id: int
    window: int
    body: bytearray
    trailers: dict[bytes, bytes]
    ended: bool = False
    eaten: int = 0


class Connection:
    """One connection to ``path``. ``Failed`` with UNAVAILABLE when nobody listens; then, and after any other failure
    that breaks it, ``usable`` is False."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._heard = bytearray()
        self._held = bytearray()
        self._next = 1
        self._window = self._stream_window = _FIRST_WINDOW
        self._frame = 16384
        self._eaten = 0
        self._broken = False
        self._until: float | None = None
        self._stream = _Stream(0, 0, bytearray(), {})
        settings = (
            (_TABLE_SIZE, 0), (_WINDOW, _LARGEST_WINDOW), (_FRAME_SIZE, _LARGEST_FRAME),
            (_HEADER_LIST, _MOST_METADATA), (_TRUE_BINARY, 1),
        )  # fmt: skip
        try:
            self._socket.connect(path)
            self._socket.sendall(
                PREFACE
                + frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*one) for one in settings))
                + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", _LARGEST_WINDOW - _FIRST_WINDOW))
            )
        except OSError as error:
            self.close()
            raise Failed("UNAVAILABLE", f"{path}: {error.strerror or error}") from error

    def close(self) -> None:
        """End the connection."""
        self._broken = True
        self._socket.close()

    def interrupt(self) -> None:
        """End the connection under the hands of the thread that uses it: its call fails with UNAVAILABLE."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    @property
    def usable(self) -> bool:
        """Whether another call may be made."""
        if self._broken:
            return False
        self._socket.setblocking(False)
        try:
            return self._socket.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def call(
        self, method: str, messages: Iterable[bytes], metadata: Iterable[tuple[str, str]], timeout: float | None
    ) -> bytes:
        """Send ``messages`` to ``method`` ("/package.Service/Method") and return the one that answers.

        ``timeout``: seconds, a deadline for both sides. ``Failed`` for every other status than OK.
        """
        with self._under_way(timeout) as stream:
            self._ask(method, messages, metadata, timeout)
            while not stream.ended:
                self._read_frame()
            self._flush()
        return _answer(stream)

    def stream(
        self, method: str, messages: Iterable[bytes], metadata: Iterable[tuple[str, str]], timeout: float | None
    ) -> Generator[bytes, None, None]:
        """Like ``call``, with every message as it comes. Nothing is read ahead; closing the iterator ends the call."""
        with self._under_way(timeout) as stream:
            self._ask(method, messages, metadata, timeout)
            while True:
                while (message := _first_message(stream.body)) is not None:
                    yield message
                if stream.ended:
                    break
                self._read_frame()
            self._flush()
        _check(stream)
        if stream.body:
            raise Failed("INTERNAL", "the daemon's answer ends within a message")

    @contextlib.contextmanager
    def _under_way(self, timeout: float | None) -> Iterator[_Stream]:
        """A new stream; what goes wrong on it as ``Failed``."""
        self._until = None if timeout is None else time.monotonic() + timeout
        stream = self._stream = _Stream(self._next, self._stream_window, bytearray(), {})
        self._next += 2
        try:
            yield stream
        except TimeoutError as error:
            self._cancel()
            raise Failed("DEADLINE_EXCEEDED", "the deadline has passed") from error
        except (OSError, ValueError, struct.error) as error:
            # The answer may have come before the connection went.
            if not stream.ended:
                self.close()
                raise Failed("UNAVAILABLE", str(error)) from error
        except BaseException:
            self._cancel()
            raise

    # ------------------------------------------------------------ sending

    def _ask(
        self, method: str, messages: Iterable[bytes], metadata: Iterable[tuple[str, str]], timeout: float | None
    ) -> None:
        stream = self._stream
        self._send(frame(HEADERS, END_HEADERS, stream.id, _request(method, metadata, timeout)))
        for message in messages:
            self._send_data(struct.pack(">BI", 0, len(message)) + message)
            if stream.ended:
                break
        if not stream.ended:
            self._send(frame(DATA, END_STREAM, stream.id, b""))

    def _send(self, data: bytes) -> None:
        """Now, or together with what follows when that is little: each write wakes the daemon up once more."""
        self._held += data
        if len(self._held) > _HELD:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            self._limit()
            self._socket.sendall(self._held)
            self._held.clear()

    def _send_data(self, data: bytes) -> None:
        """In frames that the peer takes, as fast as its windows allow."""
        stream, view = self._stream, memoryview(data)
        while len(view) > 0 and not stream.ended:
            room = min(len(view), self._frame, self._window, stream.window)
            if room <= 0:
                self._read_frame()
                continue
            self._send(frame(DATA, 0, stream.id, view[:room]))
            self._window -= room
            stream.window -= room
            view = view[room:]
            if select.select([self._socket], [], [], 0)[0]:
                self._read_frame()  # an early refusal is heard before everything is sent

    def _cancel(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.settimeout(0.1)
            self._socket.sendall(frame(RST_STREAM, 0, self._stream.id, struct.pack(">I", _CANCEL)))
        self.close()

    # ------------------------------------------------------------ receiving

    def _read_frame(self) -> None:
        kind, flags, number, payload = self._next_frame()
        ours = number == self._stream.id
        if kind == DATA:
            self._eaten += len(payload)
            if self._eaten > _REFILL:
                self._send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._eaten)))
                self._eaten = 0
            if ours:
                self._stream.body += _unpadded(payload, flags)
                self._stream.eaten += len(payload)
                if self._stream.eaten > _REFILL:
                    self._send(frame(WINDOW_UPDATE, 0, number, struct.pack(">I", self._stream.eaten)))
                    self._stream.eaten = 0
        elif kind == HEADERS:
            block = _unpadded(payload, flags)[5 if flags & PRIORITY else 0 :]
            if not flags & END_HEADERS:
                block += self._continued()
            if ours:
                self._stream.trailers.update(hpack.fields(block))
        elif kind == RST_STREAM and ours:
            code = _RESETS.get(struct.unpack(">I", payload)[0], "INTERNAL")
            self._stream.trailers.setdefault(b"grpc-status", str(CODES.index(code)).encode())
            self._stream.ended = True
        elif kind == SETTINGS and not flags & ACK:
            self._settle(payload)
        elif kind == PING and not flags & ACK:
            self._send(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            more_room = struct.unpack(">I", payload)[0] & _LARGEST_WINDOW
            if number == 0:
                self._window += more_room
            elif ours:
                self._stream.window += more_room
        elif kind == GOAWAY:
            last, _ = struct.unpack_from(">II", payload)
            self._broken = True
            if last & _LARGEST_WINDOW < self._stream.id:
                raise ConnectionAbortedError(payload[8:].decode(errors="replace") or "the daemon is ending")
        if kind in (DATA, HEADERS) and ours and flags & END_STREAM:
            self._stream.ended = True

    def _continued(self) -> bytes:
        """The rest of a block of headers."""
        rest = bytearray()
        while True:
            kind, flags, _, more = self._next_frame()
            rest += more
            if kind != CONTINUATION or len(rest) > _MOST_METADATA:
                raise ValueError("the daemon sent headers that make no sense")
            if flags & END_HEADERS:
                return bytes(rest)

    def _settle(self, payload: bytes) -> None:
        for key, value in _SETTING.iter_unpack(payload):
            if key == _WINDOW:
                self._stream.window += value - self._stream_window
                self._stream_window = value
            elif key == _FRAME_SIZE:
                self._frame = value
        self._send(frame(SETTINGS, ACK, 0, b""))

    def _next_frame(self) -> tuple[int, int, int, bytes]:
        """Type, flags, stream and payload."""
        high, low, kind, flags, number = FRAME.unpack(self._exactly(FRAME.size))
        return kind, flags, number & _LARGEST_WINDOW, self._exactly(high << 16 | low)

    def _exactly(self, size: int) -> bytes:
        self._flush()
        while len(self._heard) < size:
            self._limit()
            piece = self._socket.recv(max(65536, size - len(self._heard)))
            if not piece:
                raise ConnectionResetError("the daemon closed the connection")
            self._heard += piece
        taken = bytes(self._heard[:size])
        del self._heard[:size]
        return taken

    def _limit(self) -> None:
        """Let the socket wait no longer than the deadline allows."""
        if self._until is None:
            self._socket.settimeout(None)
            return
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)


def frame(kind: int, flags: int, stream: int, payload: bytes | memoryview) -> bytes:
    """One HTTP/2 frame (RFC 9113, section 4.1)."""
    return FRAME.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


def _request(method: str, metadata: Iterable[tuple[str, str]], timeout: float | None) -> bytes:
    block = hpack.METHOD_POST + hpack.SCHEME_HTTP + hpack.field(b":path", method.encode())
    block += hpack.field(b":authority", b"localhost") + hpack.field(b"content-type", b"application/grpc")
    block += hpack.field(b"te", b"trailers") + hpack.field(b"grpc-accept-encoding", b"identity")
    if timeout is not None:
        milliseconds = min(max(int(timeout * 1000), 1), 99_999_999)
        block += hpack.field(b"grpc-timeout", b"%dm" % milliseconds)
    for name, value in metadata:
        block += hpack.field(name.encode(), value.encode())
    return block


def _answer(stream: _Stream) -> bytes:
    """The message of a stream that has ended. ``Failed`` for any status but OK."""
    _check(stream)
    if len(stream.body) < 5 or stream.body[0] or len(stream.body) != 5 + int.from_bytes(stream.body[1:5], "big"):
        raise Failed("INTERNAL", "the daemon's answer is not one message")
    return bytes(memoryview(stream.body)[5:])


def _first_message(body: bytearray) -> bytes | None:
    """Take the first whole message out of what has come, None when there is none yet."""
    if len(body) < 5 or len(body) < (end := 5 + int.from_bytes(body[1:5], "big")):
        return None
    if body[0]:
        raise ValueError("the daemon sent a compressed message")
    message = bytes(memoryview(body)[5:end])
    del body[:end]
    return message


def _check(stream: _Stream) -> None:
    status = stream.trailers.get(b"grpc-status", b"")
    code = CODES[int(status)] if status.isdigit() and int(status) < len(CODES) else "UNKNOWN"
    if code != "OK":
        text = urllib.parse.unquote(stream.trailers.get(b"grpc-message", b"").decode(errors="replace"))
        found = tuple((name.decode(), _binary(name, value)) for name, value in stream.trailers.items())
        raise Failed(code, text, found)


def _binary(name: bytes, value: bytes) -> bytes:
    """The bytes of metadata whose name ends in "-bin": as they are after a NUL, or else in base64 without padding."""
    if not name.endswith(b"-bin"):
        return value
    if value.startswith(b"\0"):
        return value[1:]
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4))
    except ValueError:
        return b""


def _unpadded(payload: bytes, flags: int) -> bytes:
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ValueError("the daemon sent a frame that is all padding")
    return payload[1 : len(payload) - payload[0]]
