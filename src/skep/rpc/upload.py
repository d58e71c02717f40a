"""Objects that clients stream: one header, then chunks; at most 16 MiB, refused as soon as that is clear.

An object is held in memory, so only a few uploads run at a time; others wait without being read, and one that stalls
is ended.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import grpc

from skep import errors, model
from skep.pb import skep_pb2

AT_ONCE = 4
STALL_SECONDS = 60.0
"""The time one upload may take; 16 MiB over a Unix socket take a tenth of a second."""
WAIT_SECONDS = 60.0


P = TypeVar("P", skep_pb2.LoadStreamRequest, skep_pb2.ReplaceProgramRequest, skep_pb2.PreviewRequest)
"""A message of a streaming request: a chunk, or else the header."""


class Uploads:
    """Receives objects, a few at a time."""

    def __init__(self, *, at_once: int = AT_ONCE, wait: float = WAIT_SECONDS, stall: float = STALL_SECONDS) -> None:
        self._slots = threading.BoundedSemaphore(at_once)
        self._wait = wait
        self._stall = stall

    @contextlib.contextmanager
    def received(
        self, parts: Iterator[P], context: grpc.ServicerContext, announced: Callable[[P], int]
    ) -> Iterator[tuple[P, bytes]]:
        """The header and the object's bytes, for as long as they are needed. ``announced`` reads the object's size out
        of the header. InvalidRequest for a broken sequence, Exhausted above 16 MiB."""
        if not self._slots.acquire(timeout=self._wait):
            raise errors.Exhausted("too many objects are being sent at once", do="try again")
        try:
            timer = threading.Timer(self._stall, context.cancel)
            timer.daemon = True
            timer.start()
            try:
                received = _receive(parts, announced)
            finally:
                timer.cancel()
            yield received
        finally:
            self._slots.release()


def _receive(parts: Iterator[P], announced: Callable[[P], int]) -> tuple[P, bytes]:
    header = next(parts, None)
    if header is None or header.WhichOneof("part") in (None, "chunk"):
        raise errors.InvalidRequest("the stream does not begin with a header", do="send it before the chunks")
    wanted = announced(header)
    if wanted > model.MAX_OBJECT_BYTES:
        raise _too_large(wanted)
    object = bytearray()
    for part in parts:
        if part.WhichOneof("part") != "chunk":
            raise errors.InvalidRequest("the stream has a second header", do="send one operation per stream")
        object += part.chunk
        if len(object) > model.MAX_OBJECT_BYTES:
            raise _too_large(len(object))
    if wanted and len(object) != wanted:
        raise errors.InvalidRequest(
            "the object is not complete", why=f"{wanted} bytes were announced and {len(object)} arrived", do="try again"
        )
    return header, bytes(object)


def _too_large(size: int) -> errors.Exhausted:
    return errors.Exhausted(
        f"the object is too large: {size} bytes or more",
        why=f"the limit is {model.MAX_OBJECT_BYTES} bytes (16 MiB)",
        do="strip its debug sections: llvm-strip -g FILE",
    )
