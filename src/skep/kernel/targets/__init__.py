"""The table of places that links are made at: how each kind is looked for, and how a link is made there.

One module beside this one for each family of places; a program type whose place is of a known kind needs nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from skep import model
from skep.hooks import request
from skep.kernel import bpffs, process
from skep.kernel.targets import (
    events,
    group,
    interface,
    iterator,
    multi,
    netfilter,
    network,
    socket,
    sockmap,
    struct_ops,
    tracing,
    usdt,
)
from skep.kernel.targets.place import NextPlease, Place

PLACES: Final[Mapping[type, Place[Any]]] = {  # Any: each kind of place has a type of its own
    request.InterfaceTarget: interface.PLACE,
    request.FilterTarget: interface.FILTER,
    request.TracepointTarget: events.TRACEPOINT,
    request.UprobeTarget: events.UPROBE,
    request.KprobeTarget: events.KPROBE,
    request.RawTracepointTarget: tracing.RAW,
    request.PerfEventTarget: events.COUNTER,
    request.KprobeMultiTarget: multi.KPROBES,
    request.UprobeMultiTarget: multi.UPROBES,
    request.UsdtTarget: usdt.PLACE,
    request.IteratorTarget: iterator.PLACE,
    request.CgroupTarget: group.PLACE,
    request.NetnsTarget: network.PLACE,
    request.NetfilterTarget: netfilter.PLACE,
    request.MapTarget: sockmap.PLACE,
    request.HeldMapTarget: sockmap.HELD,
    request.StructOpsTarget: struct_ops.PLACE,
    request.SocketTarget: socket.PLACE,
    request.LoadedTarget: tracing.LOADED,
}


def check(target: request.Target) -> None:
    """Look for a target without attaching to it."""
    PLACES[type(target)].check(target)


def expand(target: request.Target) -> tuple[request.Target, ...]:
    """What a target stands for here and now; itself, where its kind stands for nothing else."""
    place = PLACES[type(target)]
    return (target,) if place.expand is None else place.expand(target)


def create(pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest) -> tuple[int, model.Interface | None]:
    """A new link's descriptor, and the interface it is on. ``NextPlease``: another candidate may do."""
    return PLACES[type(candidate.target)].create(pins, program, candidate, candidate.target)


def process_start(target: request.Target) -> int:
    """When the process began that a target is for, in clock ticks since boot; 0 for targets of none."""
    pid = _pid(target)
    return 0 if pid is None else process.start(pid)


def lost(target: request.Target, began: int) -> model.Loss | None:
    """What a link to ``target`` has lost of it, as far as its kernel link does not tell; ``began``: its process."""
    pid = _pid(target)
    if pid is not None and (found := process.lost(pid, began)) is not None:
        return found
    own = PLACES[type(target)].lost
    return None if own is None else own(target)


def _pid(target: request.Target) -> int | None:
    """The process that a link is for: every target that has one calls it ``pid``."""
    pid: int | None = getattr(target, "pid", None)
    return pid


def start(pins: bpffs.Bpffs, fd: int, candidate: request.LinkRequest) -> None:
    """What a place still needs when that which ``create`` made is pinned."""
    begin = PLACES[type(candidate.target)].start
    if begin is not None:
        begin(pins, fd, candidate.target)


__all__ = ["PLACES", "NextPlease", "Place", "check", "create", "expand", "lost", "process_start", "start"]
