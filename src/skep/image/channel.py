"""What the daemon and the process that fetches say to each other: JSON heads, each with bytes beside it if need be.

Whoever reads treats every number as hostile: the other side has read a stranger's bytes.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, Final

from skep import errors

_PRELUDE: Final = struct.Struct(">IQ")
MOST_HEAD: Final = 8 << 20
MOST_BYTES: Final = 160 << 20


class Garbled(Exception):
    """The other side does not speak this protocol."""


def send(channel: socket.socket, head: dict[str, Any], data: bytes = b"") -> None:  # Any: JSON
    """Send one message. ``OSError``."""
    text = json.dumps(head).encode()
    channel.sendall(_PRELUDE.pack(len(text), len(data)) + text)
    if data:
        channel.sendall(data)


def receive(channel: socket.socket) -> tuple[dict[str, Any], bytes] | None:
    """The next message; None when the other side closed. ``Garbled``, ``OSError``, ``TimeoutError``."""
    prelude = _exactly(channel, _PRELUDE.size, at_start=True)
    if not prelude:
        return None
    size, more = _PRELUDE.unpack(prelude)
    if size > MOST_HEAD or more > MOST_BYTES:
        raise Garbled(f"a message of {size} and {more} bytes")
    try:
        head = json.loads(_exactly(channel, size))
    except (ValueError, RecursionError) as error:
        raise Garbled("a message is not JSON") from error
    if not isinstance(head, dict):
        raise Garbled("a message is not an object")
    return head, _exactly(channel, more)


def pack_error(error: errors.SkepError) -> dict[str, Any]:
    """An error, to be raised again by ``restore``."""
    return {
        "error": {"kind": type(error).__name__, "what": error.what, "why": error.why, "do": error.do, "no": error.errno}
    }


def restore(fields: object) -> errors.SkepError:
    """The error that ``pack_error`` packed. Its text is cut: it may quote a stranger."""
    if not isinstance(fields, dict):
        raise Garbled("an error is not an object")
    texts = {name: _printable(fields.get(name), most) for name, most in (("what", 300), ("why", 600), ("do", 400))}
    code = fields.get("no")
    kind = _KINDS.get(str(fields.get("kind")), errors.Unavailable)
    return kind(**texts, errno=code if type(code) is int else 0)


_KINDS: Final[dict[str, type[errors.SkepError]]] = {
    kind.__name__: kind
    for kind in (
        errors.InvalidRequest, errors.BadObject, errors.NotFound, errors.Denied, errors.Exhausted, errors.Unavailable,
        errors.Conflict,
    )
}  # fmt: skip


def _printable(value: object, most: int) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(each if each.isprintable() else "�" for each in text[:most])


def _exactly(channel: socket.socket, size: int, *, at_start: bool = False) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = channel.recv(min(1 << 20, size - len(data)))
        if not piece:
            if at_start and not data:
                return b""
            raise Garbled("a message ends early")
        data += piece
    return bytes(data)
