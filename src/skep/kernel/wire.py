"""How daemon and loader talk: a document (a head and blobs) in a memfd, sent with descriptors over a stream socket.

A message is a 12-byte prelude (number of descriptors, the memfd included; bytes in the memfd) and, in portions, the
descriptors. The receiver of descriptors waits for one byte more, ``finish``, which says that the sender holds none.
Whoever reads treats every number as hostile: the loader has read user bytes.
"""

from __future__ import annotations

import _socket
import os
import struct
from typing import Final, NamedTuple

_PRELUDE: Final = struct.Struct("=IQ")
_COUNT: Final = struct.Struct("=I")
_SIZE: Final = struct.Struct("=Q")
_PORTION: Final = 200  # descriptors at a time; SCM_MAX_FD is 253
_MOST_FDS: Final = 4096
_MOST_BYTES: Final = 1 << 28
_FD: Final = struct.Struct("=i")


class Document(NamedTuple):
    """JSON and the bytes it refers to by number."""

    head: bytes
    blobs: tuple[bytes, ...]


class Message(NamedTuple):
    """A document and the descriptors that came with it, which the receiver closes."""

    document: Document
    fds: tuple[int, ...]


class Garbled(Exception):
    """The other side does not speak this protocol."""


def adopt(fd: int) -> _socket.socket:
    """The socket behind an inherited descriptor."""
    return _socket.socket(fileno=fd)


def send(channel: _socket.socket, document: Document, fds: list[int]) -> None:
    """Send a document with descriptors, which stay the caller's."""
    parts = [_COUNT.pack(len(document.blobs)), _SIZE.pack(len(document.head)), document.head]
    for blob in document.blobs:
        parts += [_SIZE.pack(len(blob)), blob]
    data = b"".join(parts)
    memory = os.memfd_create("skep", os.MFD_CLOEXEC)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(memory, view) :]
        every = [memory, *fds]
        prelude = _PRELUDE.pack(len(every), len(data))
        for at in range(0, len(every), _PORTION):
            portion = b"".join(_FD.pack(fd) for fd in every[at : at + _PORTION])
            channel.sendmsg([prelude], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, portion)], _socket.MSG_NOSIGNAL)
    finally:
        os.close(memory)


def receive(channel: _socket.socket) -> Message | None:
    """The next message, None when the other side closed. ``Garbled``; ``OSError`` (ETIMEDOUT and the like)."""
    fds: list[int] = []
    try:
        total = size = 0
        while not fds or len(fds) < total:
            prelude, ancillary = _portion(channel)
            for level, kind, data in ancillary:
                if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                    fds += [fd for (fd,) in _FD.iter_unpack(data[: len(data) // 4 * 4])]
            if not prelude:
                if fds:
                    raise Garbled("the message ends early")
                return None
            total, size = _PRELUDE.unpack(prelude)
            if not fds or total > _MOST_FDS or len(fds) > total or size > _MOST_BYTES:
                raise Garbled(f"{total} descriptors, {size} bytes")
        document = _read(fds[0], size)
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    os.close(fds[0])
    return Message(document, tuple(fds[1:]))


def timeval(seconds: int, microseconds: int) -> bytes:
    """``struct timeval`` for SO_RCVTIMEO: a timeout of the socket itself, so that MSG_WAITALL keeps its meaning."""
    return struct.pack("@ll", seconds, microseconds)


def finish(channel: _socket.socket) -> None:
    """Say that everything of the last request is closed."""
    channel.sendall(b"\0", _socket.MSG_NOSIGNAL)


def await_finish(channel: _socket.socket) -> bool:
    """Wait for ``finish``; False when the other side closed instead."""
    return channel.recv(1) == b"\0"


def _portion(channel: _socket.socket) -> tuple[bytes, list[tuple[int, int, bytes]]]:
    room = _socket.CMSG_SPACE(_FD.size * _PORTION)
    prelude, ancillary, _, _ = channel.recvmsg(_PRELUDE.size, room, _socket.MSG_CMSG_CLOEXEC | _socket.MSG_WAITALL)
    if prelude and len(prelude) != _PRELUDE.size:
        for _, _, data in ancillary:
            for (fd,) in _FD.iter_unpack(data[: len(data) // 4 * 4]):
                os.close(fd)
        raise Garbled("a prelude was cut short")
    return prelude, ancillary


def _read(memory: int, size: int) -> Document:
    """The size is checked against the file, whose bytes are copied: the other side may still write to it."""
    data = bytearray()
    while len(data) < size:
        piece = os.pread(memory, size - len(data), len(data))
        if not piece:
            raise Garbled("the document is cut short")
        data += piece
    try:
        (count,) = _COUNT.unpack_from(data, 0)
        at = _COUNT.size
        parts: list[bytes] = []
        for _ in range(count + 1):
            (length,) = _SIZE.unpack_from(data, at)
            at += _SIZE.size
            if length > size - at:
                raise Garbled("a part is longer than the document")
            parts.append(bytes(data[at : at + length]))
            at += length
    except struct.error as damaged:
        raise Garbled("the document is cut short") from damaged
    return Document(parts[0], tuple(parts[1:]))
