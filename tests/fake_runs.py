"""Programs that the fake kernel runs on request: what they answer is told beforehand; and what iterators print."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from skep import errors, model
from skep.hooks import request
from skep.kernel import door


class Runs:
    """Part of ``FakeKernel``. Programs of the fake return 2, take 40 ns and leave everything as it was."""

    _need: Any  # FakeKernel's
    _programs: Any
    ran: list[tuple[bytes, bytes, int | None]]
    """What was run: packet, context, repetitions."""
    nanoseconds: int
    printed: list[bytes | None]
    """What iterators print, piece by piece; None: nothing for a while."""
    read_by: list[request.LinkRequest]
    readings = 0
    """That are open."""

    def _start_runs(self) -> None:
        self.ran, self.nanoseconds, self.printed, self.read_by = [], 40, [], []

    def run(self, program: model.ProgramPin, packet: bytes, context: bytes, repeat: int | None) -> door.Answer:
        self._need(program, "program")
        if 0 < len(packet) < 14:
            raise errors.Rejected("the kernel does not run the program", errno=22)
        self.ran.append((packet, context, repeat))
        return door.Answer(
            code=2, duration_ns=None if repeat is None else self.nanoseconds, packet=packet, context=context
        )

    @contextlib.contextmanager
    def read_link(self, link: model.LinkPin) -> Iterator[door.Printed]:
        self._need(link, "link")
        self.readings += 1
        try:
            yield _Printed(list(self.printed))
        finally:
            self.readings -= 1

    @contextlib.contextmanager
    def read_program(self, program: model.ProgramPin, by: request.LinkRequest) -> Iterator[door.Printed]:
        self._need(program, "program")
        self.read_by.append(by)
        self.readings += 1
        try:
            yield _Printed(list(self.printed))
        finally:
            self.readings -= 1


class _Printed:
    def __init__(self, left: list[bytes | None]) -> None:
        self._left = left

    def read(self, most: int) -> bytes | None:
        if not self._left:
            return b""
        piece = self._left.pop(0)
        if piece is not None and len(piece) > most:
            self._left.insert(0, piece[most:])
            piece = piece[:most]
        return piece
