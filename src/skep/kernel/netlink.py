"""Route netlink, as much of it as traffic control needs: requests, dumps, attributes, and the kernel's own words.

A socket belongs to the network namespace of the thread that opens it. Layouts: linux/netlink.h, linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Final, NamedTuple

REQUEST: Final = 0x1
ACK: Final = 0x4
REPLACE: Final = 0x100
EXCL: Final = 0x200
CREATE: Final = 0x400
DUMP: Final = 0x300

_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE: Final = struct.Struct("=HH")  # struct nlattr: length, type
_TYPE_MASK: Final = 0x3FFF  # NLA_TYPE_MASK: without "nested" and "network byte order"
_ERROR: Final = 2  # NLMSG_ERROR
_DONE: Final = 3  # NLMSG_DONE
_INTERRUPTED: Final = 0x10  # NLM_F_DUMP_INTR: something changed while it was listed
_CAPPED: Final = 0x100  # NLM_F_CAPPED: the answer does not repeat the request
_TEXTS: Final = 0x200  # NLM_F_ACK_TLVS
_MESSAGE: Final = 1  # NLMSGERR_ATTR_MSG
_SOL_NETLINK: Final = 270
_CAP_ACK: Final = 10  # NETLINK_CAP_ACK; Linux 4.3
_EXT_ACK: Final = 11  # NETLINK_EXT_ACK; Linux 4.12
_STRICT: Final = 12  # NETLINK_GET_STRICT_CHK; Linux 4.20
_ROOM: Final = 1 << 18
"""Bytes for one datagram; the kernel sends dumps in pieces of at most 32 KiB."""
_TRIES: Final = 10


class Refusal(OSError):
    """The kernel said no; ``text`` is what it says beside the errno, "" when it says nothing."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, os.strerror(code))
        self.text = text


class Message(NamedTuple):
    """One answer: ``body`` begins behind the ``nlmsghdr``."""

    type: int
    body: bytes


class Route:
    """A NETLINK_ROUTE socket in the calling thread's network namespace; for one thread.

    ``strict``: dumps go by the whole header, so that one of a single table of routes leaves the others out (Linux 4.20;
    before, they come too).
    """

    def __init__(self, *, strict: bool = False) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._sequence = 0
        for option in (_CAP_ACK, _EXT_ACK, _STRICT) if strict else (_CAP_ACK, _EXT_ACK):
            try:
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            except OSError as old:
                # Before 4.12 there are no texts to be had; nothing else changes.
                if old.errno != errno.ENOPROTOOPT:
                    self._socket.close()
                    raise

    def __enter__(self) -> Route:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def ask(self, type: int, flags: int, body: bytes) -> tuple[Message, ...]:
        """One request and its answers, but for the acknowledgement. ``Refusal``."""
        for _ in range(_TRIES):
            self._sequence += 1
            header = _HEADER.pack(_HEADER.size + len(body), type, flags | REQUEST, self._sequence, 0)
            self._socket.send(header + body)
            found, whole = self._answers(dump=flags & DUMP == DUMP)
            if whole:
                return found
        raise Refusal(errno.EBUSY, "the list changes all the time")

    def _answers(self, *, dump: bool) -> tuple[tuple[Message, ...], bool]:
        """Everything up to the end of the dump or the acknowledgement; and whether nothing changed meanwhile."""
        found: list[Message] = []
        whole = True
        while True:
            data = self._socket.recv(_ROOM)
            at = 0
            while at < len(data):
                length, type, flags, sequence, _ = _HEADER.unpack_from(data, at)
                body = data[at + _HEADER.size : at + length]
                at += _aligned(length)
                if sequence != self._sequence:
                    continue
                whole = whole and not flags & _INTERRUPTED
                if type == _ERROR or (type == _DONE and dump):
                    raise_refusal(flags, body)
                    return tuple(found), whole
                found.append(Message(type, body))


def messages(data: bytes) -> Iterator[Message]:
    """The whole messages of a datagram."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, type, _, _, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            return
        yield Message(type, data[at + _HEADER.size : at + length])
        at += _aligned(length)


def attribute(type: int, payload: bytes) -> bytes:
    """One ``struct nlattr``, padded to four bytes."""
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, type) + payload + bytes(_aligned(length) - length)


def text(type: int, value: str) -> bytes:
    """A text attribute with its NUL."""
    return attribute(type, value.encode() + b"\0")


def number(type: int, value: int) -> bytes:
    """A u32 attribute."""
    return attribute(type, struct.pack("=I", value))


def attributes(data: bytes) -> dict[int, bytes]:
    """Attributes by type; of equal ones the last."""
    return dict(each(data))


def each(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Attributes in their order, equal ones too."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, type = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield type & _TYPE_MASK, data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)


def _aligned(length: int) -> int:
    return length + 3 & ~3


def raise_refusal(flags: int, body: bytes) -> None:
    """Raise what an acknowledgement says, unless that is success."""
    (code,) = struct.unpack_from("=i", body) if len(body) >= 4 else (0,)
    if not code:
        return
    told = ""
    if flags & _TEXTS:
        # struct nlmsgerr: the errno and the request's header, then (unless capped) the request's body.
        (length,) = struct.unpack_from("=I", body, 4)
        start = 4 + (_HEADER.size if flags & _CAPPED else _aligned(length))
        told = attributes(body[start:]).get(_MESSAGE, b"").rstrip(b"\0").decode(errors="replace")
    raise Refusal(-code, told)
