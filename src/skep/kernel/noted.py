"""Attachments that the kernel lets nobody pin: a note, a symbolic link below the pins, stands where the pin would be.

A program on a socket ends with its socket, a traffic-control filter with its interface, a program in a map of sockets
(before Linux 6.10) with the map. The door treats the note's path as a link's pin, so that plans, undo and status need
not know. A struct_ops without a link needs no note: its map is pinned (``registration``).
"""

from __future__ import annotations

from typing import Final, Protocol

from skep import model
from skep.kernel import bpffs, filters, held, sockets


class Kind(Protocol):
    """One kind of such attachments: a module with these functions."""

    def is_noted(self, pins: bpffs.Bpffs, pin: model.LinkPin) -> bool:
        """Whether a path is one for such a note."""
        ...

    def observed(self, pins: bpffs.Bpffs, pin: model.LinkPin) -> model.KernelLink | None:
        """What is noted, as a link without a number that is defunct when the attachment is gone; None: nothing."""
        ...

    def swap(self, pins: bpffs.Bpffs, pin: model.LinkPin, old: model.ProgramPin | None, new: model.ProgramPin) -> bool:
        """Put another program in the place of ours; with ``old`` only if that one is there. False: nothing is noted."""
        ...

    def detach(self, pins: bpffs.Bpffs, pin: model.LinkPin) -> None:
        """Detach, then forget. Fine when either is gone already."""
        ...


KINDS: Final[tuple[Kind, ...]] = (sockets, filters, held)


def kind(pins: bpffs.Bpffs, pin: model.LinkPin) -> Kind | None:
    """The kind that is noted at a path; None where a link is pinned, or nothing is."""
    return next((one for one in KINDS if one.is_noted(pins, pin)), None)
