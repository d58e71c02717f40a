"""Running programs on request (BPF_PROG_TEST_RUN) and reading iterators (BPF_ITER_CREATE)."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from typing import Final

from skep import errors, model
from skep.hooks import request
from skep.kernel import abi, bpffs, refused, sys, targets
from skep.kernel.door import Answer

_ROOM: Final = 8192
"""Bytes by which a program may make a packet longer: more than any headroom and tail that the kernel gives it."""
_WHOLE: Final = 1024
"""Bytes of the largest context of a type: the kernel gives back a whole one, whatever part of it was given."""


def run(pins: bpffs.Bpffs, program: model.ProgramPin, packet: bytes, context: bytes, repeat: int | None) -> Answer:
    """Run the program at a pin. ``repeat`` None: the type takes none, and the kernel measures nothing."""
    # A context is written back to where it came from when the type has no place of its own for it.
    ctx = ctypes.create_string_buffer(context, max(len(context), 1))
    after = ctypes.create_string_buffer(len(context) + _WHOLE)
    data = ctypes.create_string_buffer(packet, max(len(packet), 1))
    out = ctypes.create_string_buffer(len(packet) + _ROOM)
    measured = repeat is not None
    keeps = bool(context) and measured
    attr = ctypes.create_string_buffer(abi.ATTR_TEST_RUN.size)
    with sys.held(pins.need(program)) as fd:
        abi.ATTR_TEST_RUN.pack_into(
            attr, 0,
            fd, 0, len(packet), len(out) if packet else 0, ctypes.addressof(data) if packet else 0,
            ctypes.addressof(out) if packet else 0, repeat or 0, 0, len(context), len(after) if keeps else 0,
            ctypes.addressof(ctx) if context else 0, ctypes.addressof(after) if keeps else 0, 0, 0, 0,
        )  # fmt: skip
        try:
            sys.bpf(abi.PROG_TEST_RUN, attr)
        except OSError as refusal:
            raise _refused(refusal) from refusal
    _, answer, _, size, _, _, _, duration, _, ctx_size, *_ = abi.ATTR_TEST_RUN.unpack(attr.raw)
    return Answer(
        code=ctypes.c_int32(answer).value,
        duration_ns=duration if measured else None,
        packet=out.raw[:size] if packet else b"",
        context=after.raw[:ctx_size] if keeps else ctx.raw[: len(context)],
    )


def _refused(refusal: OSError) -> errors.SkepError:
    code = refusal.errno or 0
    what = "the kernel does not run the program"
    match code:
        case errno.EINVAL | errno.E2BIG | errno.EFAULT | errno.ERANGE:
            return errors.Rejected(
                what,
                why=f"{refused.explain(code)}: the packet or the context does not fit a program of this type",
                do="see docs/run.md for what each type takes",
                errno=code,
            )
        case errno.ENOSPC:
            return errors.Exhausted(what, why="it made the packet too long", do="give a shorter one", errno=code)
    return refused.general(what, refusal, feature="running programs of this type on request", first="4.12")


@contextlib.contextmanager
def opened(pins: bpffs.Bpffs, link: model.LinkPin) -> Iterator[Pages]:
    """What the pinned iterator prints, from its beginning."""
    with sys.held(pins.need(link)) as fd, sys.held(_iterator(fd)) as reading:
        yield Pages(reading)


@contextlib.contextmanager
def opened_for_once(pins: bpffs.Bpffs, program: model.ProgramPin, candidate: request.LinkRequest) -> Iterator[Pages]:
    """The same by a link that nothing pins: it ends with the block."""
    with sys.held(pins.need(program)) as fd:
        made, _ = targets.create(pins, fd, candidate)
    with sys.held(made), sys.held(_iterator(made)) as reading:
        yield Pages(reading)


def _iterator(link: int) -> int:
    try:
        return sys.bpf(abi.ITER_CREATE, abi.ATTR_ITER_CREATE.pack(link, 0))
    except OSError as refusal:
        raise refused.general("the link cannot be read", refusal, feature="iterators", first="5.8") from refusal


class Pages:
    """The text or bytes of one reading."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, most: int) -> bytes | None:
        """Up to ``most`` bytes, b"" at the end; None after many objects for which nothing was printed."""
        try:
            return os.read(self._fd, most)
        except OSError as refusal:
            if refusal.errno in (errno.EAGAIN, errno.EINTR):
                return None
            if refusal.errno == errno.E2BIG:
                raise errors.Exhausted(
                    "the iterator cannot be read",
                    why="E2BIG: for one object it printed more than the kernel's buffer holds",
                    do="print less for each object",
                    errno=errno.E2BIG,
                ) from refusal
            raise refused.general("the iterator cannot be read", refusal) from refusal
