"""Tables of functions for the kernel: a map that is written, and registered by that or by a link (Linux 6.4)."""

from __future__ import annotations

from typing import Final

from skep.hooks import request
from skep.kernel import bpffs, registration, sys
from skep.kernel.targets.place import Made, Place


def _check(target: request.StructOpsTarget) -> None:
    """The map came with the program."""


def _create(pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: request.StructOpsTarget) -> Made:
    """A link; or the map itself, which ``start`` registers when its pin is there to take it back by."""
    fd = pins.need(target.map)
    if not target.linked:
        return fd, None
    with sys.held(fd):
        registration.write(pins, fd, target)
        try:
            return sys.link_create(fd, 0, candidate.attach_type, 0), None
        except OSError as refusal:
            raise registration.refusal_of(target, refusal) from refusal


def _start(pins: bpffs.Bpffs, fd: int, target: request.StructOpsTarget) -> None:
    if not target.linked:
        registration.write(pins, fd, target)


PLACE: Final = Place(check=_check, create=_create, start=_start)
