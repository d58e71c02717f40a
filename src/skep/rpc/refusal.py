"""How to turn a gRPC client away before gRPC sees it: just enough HTTP/2 to answer its first call with a status.

Only a status reaches a person: clients take a closed connection or a GOAWAY for a passing trouble and try again.
Sources: RFC 9113 (HTTP/2 frames), RFC 7541 (HPACK, appendix A), gRPC's PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import urllib.parse

from skep.rpc import call, hpack

_RESOURCE_EXHAUSTED = 8
"""grpc-status."""
_MOST = 64 * 1024
"""Bytes of a client that are looked at."""


class Refusal:
    """One client that is not let in: ``pump`` reads what it sends until its first call can be answered."""

    def __init__(self, client: socket.socket, text: str) -> None:
        self.socket = client
        self._text = text
        self._heard = bytearray()
        self._answered = False
        self._send(call.frame(call.SETTINGS, 0, 0, b""))

    def pump(self) -> bool:
        """Read once; True when there is nothing left to do but close."""
        try:
            piece = self.socket.recv(_MOST)
        except BlockingIOError:
            return False
        except OSError:
            return True
        if not piece:
            return True
        if self._answered:
            return False  # what a client still sends is of no interest
        self._heard += piece
        stream = first_call(self._heard)
        if stream:
            self._send(answer(stream, self._text))
            self._answered = True
        return not self._answered and len(self._heard) > _MOST

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # a fresh socket's buffer has room
            self.socket.send(data)


def first_call(heard: bytes | bytearray) -> int:
    """The stream of the first HEADERS frame in what a client has sent so far, 0 when there is none yet."""
    at = len(call.PREFACE)
    while len(heard) >= at + call.FRAME.size:
        high, low, kind, _, stream = call.FRAME.unpack_from(heard, at)
        if kind == call.HEADERS:
            return int(stream) & 0x7FFFFFFF
        at += call.FRAME.size + (high << 16 | low)
    return 0


def answer(stream: int, text: str) -> bytes:
    """The frames that end a call with RESOURCE_EXHAUSTED and ``text``, and the connection after it."""
    block = hpack.STATUS_200 + hpack.field(b"content-type", b"application/grpc")
    block += hpack.field(b"grpc-status", b"%d" % _RESOURCE_EXHAUSTED)
    block += hpack.field(b"grpc-message", urllib.parse.quote(text, safe=" :/,;=()").encode())
    return (
        call.frame(call.SETTINGS, call.ACK, 0, b"")
        + call.frame(call.HEADERS, call.END_STREAM | call.END_HEADERS, stream, block)
        + call.frame(call.GOAWAY, 0, 0, struct.pack(">II", stream, 0))
    )
