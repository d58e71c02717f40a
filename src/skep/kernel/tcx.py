"""Ordered hooks of an interface (TCX; Linux 6.6): what runs there and where a new link goes."""

from __future__ import annotations

import errno
from typing import Final

from skep import errors, model
from skep.hooks import request
from skep.kernel import abi, bpffs, netns, refused, sys

_SIDES: Final = {request.Place.BEFORE: abi.F_BEFORE, request.Place.AFTER: abi.F_AFTER}


def on(ref: model.InterfaceRef, attach_type: int) -> tuple[model.HookEntry, ...]:
    """Programs on a hook in running order, foreign ones included."""

    def look() -> tuple[model.HookEntry, ...]:
        ifindex = netns.here(ref).ifindex
        try:
            programs, links = sys.prog_query(ifindex, attach_type)
        except OSError as refusal:
            if refusal.errno == errno.ENOENT:  # no program has been there yet
                return ()
            if refusal.errno == errno.EINVAL:
                raise unsupported(ref, errno.EINVAL) from refusal
            raise refused.general(f"cannot read the TCX hook of {ref.name}", refusal) from refusal
        return tuple(
            model.HookEntry(program_id=model.ProgramId(program), link_id=model.KernelLinkId(link))
            for program, link in zip(programs, links, strict=True)
        )

    return netns.inside(ref.netns, look)


def create(pins: bpffs.Bpffs, program: int, ifindex: int, wanted: request.LinkRequest) -> int:
    """Make a link beside the anchor, or at an end of the list. ``Conflict``: the anchor is gone; ``OSError``."""
    match wanted.options:
        case request.Anchor(place=place, link=None):
            return _create(program, ifindex, wanted, _SIDES[place], 0)
        case request.Anchor(place=place, link=pin) if pin is not None:
            anchor = pins.get(pin)
            if anchor is None:
                raise _anchor_gone(pin, "its pin is not there")
            with sys.held(anchor):
                try:
                    return _create(program, ifindex, wanted, _SIDES[place] | abi.F_LINK, anchor)
                except OSError as refusal:
                    if refusal.errno in (errno.ENOENT, errno.EBADF):
                        raise _anchor_gone(pin, "it is not on this hook any more") from refusal
                    raise
        case _:
            return _create(program, ifindex, wanted, 0, 0)


def known(ifindex: int, attach_type: int) -> bool:
    """Whether the kernel has the hook at all; asked in the interface's namespace, to explain a refusal."""
    try:
        sys.prog_query(ifindex, attach_type)
    except OSError as refusal:
        return refusal.errno != errno.EINVAL
    return True


def unsupported(ref: model.InterfaceRef, code: int) -> errors.Unsupported:
    """The error for a kernel without TCX."""
    return errors.Unsupported(
        f"{ref.name} has no TCX hook",
        feature="TCX",
        first="6.6",
        why=refused.explain(code),
        errno=code,
        do="use a newer kernel",
    )


def _create(program: int, ifindex: int, wanted: request.LinkRequest, flags: int, anchor: int) -> int:
    tail = abi.TAIL_ORDERED.pack(anchor, 0)
    return sys.link_create(program, ifindex, wanted.attach_type, wanted.flags | flags, tail)


def _anchor_gone(pin: model.LinkPin, why: str) -> errors.Conflict:
    return errors.Conflict(f"cannot attach beside {pin}", why=why, do="see `skep doctor`, then attach again")
