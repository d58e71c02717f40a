"""Ordered hooks of an interface (TCX, Linux 6.6; netkit, 6.7): what runs there and where a new link goes."""

from __future__ import annotations

import errno
from typing import Final

from skep import errors, model
from skep.hooks import request
from skep.kernel import abi, bpffs, netns, refused, sys

LISTS: Final = {
    abi.TCX_INGRESS: ("TCX", "6.6"),
    abi.TCX_EGRESS: ("TCX", "6.6"),
    abi.NETKIT_PRIMARY: ("netkit", "6.7"),
    abi.NETKIT_PEER: ("netkit", "6.7"),
}
"""Attach type -> what the list belongs to, and the first Linux release that has it."""
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
                raise unsupported(ref, attach_type, errno.EINVAL) from refusal
            if (other := not_here(ref, attach_type, refusal.errno or 0)) is not None:
                raise other from refusal
            raise refused.general(f"cannot read the {LISTS[attach_type][0]} hook of {ref.name}", refusal) from refusal
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


def unsupported(ref: model.InterfaceRef, attach_type: int, code: int) -> errors.Unsupported:
    """The error for a kernel without such lists."""
    name, first = LISTS[attach_type]
    return errors.Unsupported(
        f"{ref.name} has no {name} hook",
        feature=name,
        first=first,
        why=f"{refused.explain(code)}: this kernel has no {name}",
        errno=code,
        do="use a kernel that has it; see 'skep feature'",
    )


def not_here(ref: model.InterfaceRef, attach_type: int, code: int) -> errors.SkepError | None:
    """The error for a netkit program on another device, or on the end that may not have it; None for other refusals."""
    if attach_type not in (abi.NETKIT_PRIMARY, abi.NETKIT_PEER):
        return None
    match code:
        case errno.ENXIO:
            return errors.InvalidRequest(
                f"{ref.name} is no netkit device", do="name one, or use tcx, which every interface has"
            )
        case errno.EACCES:
            return errors.InvalidRequest(
                f"{ref.name} is the peer of a netkit pair",
                why="programs of both sides are attached at the primary device",
                do="name the other end, with SIDE peer for what this one sends",
            )
    return None


def _create(program: int, ifindex: int, wanted: request.LinkRequest, flags: int, anchor: int) -> int:
    tail = abi.TAIL_ORDERED.pack(anchor, 0)
    return sys.link_create(program, ifindex, wanted.attach_type, wanted.flags | flags, tail)


def _anchor_gone(pin: model.LinkPin, why: str) -> errors.Conflict:
    return errors.Conflict(f"cannot attach beside {pin}", why=why, do="see `skep doctor`, then attach again")
