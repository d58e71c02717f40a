"""How to turn a gRPC client away before gRPC sees it: just enough HTTP/2 to answer its first call with a status.

Only a status reaches a person: clients take a closed connection or a GOAWAY for a passing trouble and try again.
Sources: RFC 9113 (HTTP/2 frames), RFC 7541 (HPACK, appendix A), gRPC's PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import urllib.parse

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME = struct.Struct(">BHBBI")
"""Length (24 bits, as 8 and 16), type, flags, stream."""
_HEADERS, _SETTINGS, _GOAWAY = 1, 4, 7
_ACK, _END_STREAM, _END_HEADERS = 1, 1, 4
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
        self._send(_frame(_SETTINGS, 0, 0, b""))

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
    at = len(_PREFACE)
    while len(heard) >= at + _FRAME.size:
        high, low, kind, _, stream = _FRAME.unpack_from(heard, at)
        if kind == _HEADERS:
            return int(stream) & 0x7FFFFFFF
        at += _FRAME.size + (high << 16 | low)
    return 0


def answer(stream: int, text: str) -> bytes:
    """The frames that end a call with RESOURCE_EXHAUSTED and ``text``, and the connection after it."""
    block = b"\x88"  # :status 200, entry 8 of the static table
    block += b"\x0f\x10" + _string(b"application/grpc")  # content-type, entry 31
    block += b"\x00" + _string(b"grpc-status") + _string(b"%d" % _RESOURCE_EXHAUSTED)
    block += b"\x00" + _string(b"grpc-message") + _string(urllib.parse.quote(text, safe=" :/,;=()").encode())
    return (
        _frame(_SETTINGS, _ACK, 0, b"")
        + _frame(_HEADERS, _END_STREAM | _END_HEADERS, stream, block)
        + _frame(_GOAWAY, 0, 0, struct.pack(">II", stream, 0))
    )


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return _FRAME.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


def _string(value: bytes) -> bytes:
    """A string literal without Huffman coding: its length with a 7-bit prefix (RFC 7541, 5.1), then its bytes."""
    length = len(value)
    if length < 127:
        return bytes([length]) + value
    rest, coded = length - 127, bytearray([127])
    while rest >= 128:
        coded.append(rest & 127 | 128)
        rest >>= 7
    coded.append(rest)
    return bytes(coded) + value
