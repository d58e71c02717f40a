"""The table of places that links are made at: how each kind is looked for, and how a link is made there.

One module beside this one for each family of places; a program type whose place is of a known kind needs nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from skep import model
from skep.hooks import request
from skep.kernel import bpffs
from skep.kernel.targets import events, group, interface, iterator, multi, netfilter, network, socket, sockmap, tracing
from skep.kernel.targets.place import NextPlease, Place

PLACES: Final[Mapping[type, Place[Any]]] = {  # Any: each kind of place has a type of its own
    request.InterfaceTarget: interface.PLACE,
    request.TracepointTarget: events.TRACEPOINT,
    request.UprobeTarget: events.UPROBE,
    request.KprobeTarget: events.KPROBE,
    request.RawTracepointTarget: tracing.RAW,
    request.PerfEventTarget: events.COUNTER,
    request.KprobeMultiTarget: multi.KPROBES,
    request.UprobeMultiTarget: multi.UPROBES,
    request.IteratorTarget: iterator.PLACE,
    request.CgroupTarget: group.PLACE,
    request.NetnsTarget: network.PLACE,
    request.NetfilterTarget: netfilter.PLACE,
    request.MapTarget: sockmap.PLACE,
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


__all__ = ["PLACES", "NextPlease", "Place", "check", "create", "expand"]
