"""How to turn a gRPC client away before gRPC sees it: HTTP/2's GOAWAY with a text (RFC 9113, section 6.8)."""

from __future__ import annotations

import contextlib
import socket
import struct

_SETTINGS = struct.pack(">HBBBI", 0, 0, 4, 0, 0)
"""An empty SETTINGS frame, which a server must send first (section 3.4): length (24 bits), type 4, flags, stream 0."""
_GOAWAY = 7
_ENHANCE_YOUR_CALM = 11


def goaway(text: str) -> bytes:
    """The frames that end a connection before its first stream, with ``text`` as debug data."""
    payload = struct.pack(">II", 0, _ENHANCE_YOUR_CALM) + text.encode()
    return _SETTINGS + struct.pack(">HBBBI", len(payload) >> 8, len(payload) & 255, _GOAWAY, 0, 0) + payload


def send(client: socket.socket, text: str) -> None:
    """Say why, without waiting: a fresh socket's buffer has room."""
    with contextlib.suppress(OSError):
        client.send(goaway(text))
        client.shutdown(socket.SHUT_WR)
