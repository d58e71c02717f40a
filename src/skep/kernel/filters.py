"""Traffic-control filters where others have links: made, noted, looked at, swapped and removed.

The kernel has no pin for a filter. A symbolic link below our pins stands for it, whose text says where the filter is:
the interface by index in a namespace by inode number, direction, priority and handle. It is written before the filter
is made and removed after it, so a filter of ours is never without one. The filter itself carries the directory of its
chain's pins as its name; a filter with another name in the same place is not ours and is never touched.

The qdisc (clsact) that a filter needs is made when it is missing. Who made it is noted too: if it was us, it goes with
our last filter, unless somebody else's is left.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import os
from collections.abc import Callable
from typing import Final, TypeVar

from skep import errors, model, paths, steps
from skep.hooks import request
from skep.hooks import tc as hook
from skep.kernel import bpffs, netlink, netns, observe, refused, settle, sys, tc

log = logging.getLogger(__name__)

_HANDLE: Final = 1
"""Of the only filter at a priority that nobody else has."""
_Answer = TypeVar("_Answer")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """The text of the symbolic link.

    ``made``: the qdisc is ours. ``settled``: the filter was made; a qdisc that is empty then was emptied by others, and
    may have been made anew by them.
    """

    netns: str | None
    inode: int
    ifindex: int
    interface: str
    direction: str
    priority: int
    handle: int = _HANDLE
    made: bool = False
    settled: bool = False


def is_noted(pins: bpffs.Bpffs, pin: model.LinkPin) -> bool:
    """Whether a path is one where a filter is noted, and no kernel link pinned."""
    return pin.endswith(f"/{paths.FILTER}")


def listed(ref: model.InterfaceRef) -> tuple[model.Filter, ...]:
    """Every filter of an interface, ours and foreign."""

    def look() -> tuple[model.Filter, ...]:
        ifindex = netns.here(ref).ifindex
        with netlink.Route() as route:
            return tc.filters(route, ifindex, *tc.directions(tc.qdisc(route, ifindex)))

    return netns.inside(ref.netns, lambda: _told(f"cannot read the filters of {ref.name}", look))


def everywhere(path: str | None) -> tuple[model.Filter, ...]:
    """Every filter on every interface of a network namespace."""

    def look() -> tuple[model.Filter, ...]:
        with netlink.Route() as route:
            places = sorted(tc.qdiscs(route).items())
            return tuple(one for ifindex, kind in places for one in tc.filters(route, ifindex, *tc.directions(kind)))

    return netns.inside(path, lambda: _told("cannot read traffic-control filters", look))


def observed(pins: bpffs.Bpffs, pin: model.LinkPin) -> model.KernelLink | None:
    """The filter noted at ``pin`` as a link without a number; defunct, with interface 0, when it is not there."""
    found = None
    try:
        note = _read(pins, pin)
        if note is None:
            return None
        found = _inside(note, lambda route: _find(route, note, pin))
        place = f"{note.direction} filter, priority {note.priority}, handle {note.handle:#x}"
    except errors.Broken as damaged:
        place = str(damaged)
    return model.KernelLink(
        id=model.KernelLinkId(0),
        type=0,
        program_id=found.program_id if found else model.ProgramId(0),
        ifindex=found.ifindex if found else model.IfIndex(0),
        detail=place,
        defunct=found is None,
    )


def attach(
    pins: bpffs.Bpffs, program: model.ProgramPin, wanted: request.FilterTarget, pin: model.LinkPin
) -> steps.Linked:
    """Make a filter, and the qdisc if there is none. NotFound, Conflict (the qdisc has no such direction, the place is
    taken), Unsupported, Rejected; nothing stays then."""
    if _read(pins, pin) is not None:
        raise errors.AlreadyExists(f"a filter is noted at {pin} already", do="see 'skep doctor'")
    ref = wanted.interface

    def make() -> steps.Linked:
        interface = netns.here(ref)
        note = _Note(
            netns=ref.netns,
            inode=interface.netns,
            ifindex=interface.ifindex,
            interface=ref.name,
            direction=wanted.direction,
            priority=wanted.priority,
        )
        with netlink.Route() as route, sys.held(pins.need(program)) as fd:
            kind = tc.qdisc(route, note.ifindex)
            _refuse_kind(ref, wanted, kind)
            note = dataclasses.replace(note, made=not kind or _made_by(pins, wanted.beside, note))
            _write(pins, pin, note)
            if not kind:
                note = _make_qdisc(route, pins, pin, note)
            made = dataclasses.replace(_filter(note, pin), program_id=observe.program(fd).id)
            tc.set_filter(route, made, fd, replace=False)
            _write(pins, pin, dataclasses.replace(note, settled=True))
        seen = observed(pins, pin)
        if seen is None or seen.defunct:
            raise errors.Conflict(f"the filter on {wanted} went away at once", do="try again")
        return steps.Linked(kernel=seen, taken=0, interface=interface, filter=made)

    try:
        return netns.inside(ref.netns, lambda: _told(f"cannot attach to {wanted}", make))
    except BaseException:
        detach(pins, pin)
        raise


def swap(pins: bpffs.Bpffs, pin: model.LinkPin, old: model.ProgramPin | None, new: model.ProgramPin) -> bool:
    """Put another program into the filter, at once for every packet; with ``old`` only if that one runs. False when
    nothing is noted there; without ``old`` also when the filter is gone or the note cannot be read.

    Between the look at the old program and the change others may change it: traffic control has no compare-and-swap.
    """
    try:
        note = _read(pins, pin)
    except errors.Broken:
        if old is None:
            return False
        raise
    if note is None:
        return False
    what = f"cannot change the program of the filter on {note.interface} {note.direction}"
    with sys.held(pins.need(new)) as fd:

        def change(route: netlink.Route) -> bool:
            there = _find(route, note, pin)
            if there is None:
                return False
            if old is not None:
                with sys.held(pins.need(old)) as old_fd:
                    expected = observe.program(old_fd).id
                if there.program_id != expected:
                    raise errors.Conflict(
                        what, why=f"it runs program {there.program_id} now, not {expected}", do="look at it again"
                    )
            _told(what, lambda: tc.set_filter(route, there, fd, replace=True))
            return True

        done = _inside(note, change)
    if not done and old is not None:
        raise errors.Conflict(
            what,
            why="it is gone: the interface or the qdisc was deleted, or somebody removed the filter",
            do="detach it and attach again",
            errno=errno.ENOLINK,
        )
    return bool(done)


def detach(pins: bpffs.Bpffs, pin: model.LinkPin) -> None:
    """Remove the filter, the qdisc if that was ours and is empty now, and the note. Fine when any of it is missing.

    A note that cannot be read is removed by itself: ``doctor`` finds the filter by its name.
    """
    try:
        note = _read(pins, pin)
    except errors.Broken as damaged:
        log.warning("%s", damaged)
        pins.remove_alias(pin)
        return
    if note is None:
        return

    def remove(route: netlink.Route) -> bool:
        # From here on an empty qdisc is one that we have emptied, also after a crash in between.
        there = _find(route, note, pin)
        fresh = there is not None or not note.settled
        if there is not None:
            _write(pins, pin, dataclasses.replace(note, settled=False))
            tc.remove_filter(route, there)
        if note.made and fresh and _is_empty_clsact(route, note.ifindex):
            tc.remove_clsact(route, note.ifindex)
        return there is not None

    what = f"cannot remove the filter on {note.interface} {note.direction}"
    if _told(what, lambda: _inside(note, remove)):
        settle.settle()
    pins.remove_alias(pin)


# ---------------------------------------------------------------- inside


def _inside(note: _Note, action: Callable[[netlink.Route], _Answer]) -> _Answer | None:
    """Run ``action`` in the noted network namespace, wherever that is known now; None when it is gone."""

    def run() -> _Answer:
        with netlink.Route() as route:
            return action(route)

    if not netns.is_here(note.inode):
        path = netns.where(note.inode, note.netns)
        return None if path is None else netns.inside(path, run)
    return run()


def _find(route: netlink.Route, note: _Note, pin: model.LinkPin) -> model.Filter | None:
    """Our filter, None when it is gone or somebody else's is in its place."""
    wanted = _place(_filter(note, pin))
    return next((one for one in tc.filters(route, note.ifindex, note.direction) if _place(one) == wanted), None)


def _place(one: model.Filter) -> tuple[object, ...]:
    return one.direction, one.priority, one.handle, one.kind, one.name


def _filter(note: _Note, pin: model.LinkPin) -> model.Filter:
    return model.Filter(
        interface=note.interface,
        ifindex=model.IfIndex(note.ifindex),
        direction=note.direction,
        priority=note.priority,
        handle=note.handle,
        kind="bpf",
        name=hook.filter_name(model.PinDir(os.path.dirname(pin))),
    )


def _is_empty_clsact(route: netlink.Route, ifindex: int) -> bool:
    kind = tc.qdisc(route, ifindex)
    return kind == tc.CLSACT and not tc.filters(route, ifindex, *tc.directions(kind))


def _made_by(pins: bpffs.Bpffs, beside: model.LinkPin | None, note: _Note) -> bool:
    """Whether our filter of the other direction has made the qdisc that is there: then it is this one's too."""
    other = None if beside is None else _read(pins, beside)
    return other is not None and other.made and (other.inode, other.ifindex) == (note.inode, note.ifindex)


def _make_qdisc(route: netlink.Route, pins: bpffs.Bpffs, pin: model.LinkPin, note: _Note) -> _Note:
    """Make the clsact qdisc; if somebody else was faster it is theirs, and that is noted."""
    try:
        tc.add_clsact(route, note.ifindex)
    except netlink.Refusal as refusal:
        if refusal.errno != errno.EEXIST:
            raise
        note = dataclasses.replace(note, made=False)
        _write(pins, pin, note)
    return note


def _refuse_kind(ref: model.InterfaceRef, wanted: request.FilterTarget, kind: str) -> None:
    if kind in ("", tc.CLSACT) or (kind == "ingress" and wanted.direction == tc.INGRESS):
        return
    raise errors.Conflict(
        f"cannot attach to {wanted}",
        why=f"{ref.name} has a qdisc of kind {kind!r}, which is not skep's to replace"
        + (" and has no egress side: only clsact has both" if kind == "ingress" else ""),
        do="use tcx, which needs no qdisc, or let whoever made this one remove it with its filters "
        f"('tc qdisc del dev {ref.name} ingress')",
    )


def _read(pins: bpffs.Bpffs, pin: str) -> _Note | None:
    text = pins.read_alias(pin)
    if text is None:
        return None
    try:
        return _Note(**json.loads(text))
    except (ValueError, TypeError) as damaged:
        raise errors.Broken(
            f"the note at {pin} cannot be read", why=text, do="remove it, and its filter with 'tc filter del'"
        ) from damaged


def _write(pins: bpffs.Bpffs, pin: str, note: _Note) -> None:
    pins.alias(pin, json.dumps(dataclasses.asdict(note), separators=(",", ":")))


def _told(what: str, action: Callable[[], _Answer]) -> _Answer:
    """Run ``action``; what the kernel refuses is told in its own words."""
    try:
        return action()
    except netlink.Refusal as refusal:
        raise refused.traffic_control(what, refusal, refusal.text) from refusal
    except OSError as refusal:
        raise refused.general(what, refusal) from refusal
