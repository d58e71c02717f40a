"""One look at all that BPF is in this kernel, and at who holds it: programs, links and maps, managed or not."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection
from typing import Final

from skep import model
from skep.kernel import abi, cgroup_tree, contained, everypin, holders, networks, observe, process, refused, whereabouts

_ON_INTERFACES: Final = frozenset((abi.PROG_TYPE_SCHED_CLS, abi.PROG_TYPE_SCHED_ACT, abi.PROG_TYPE_XDP))
_WHAT: Final = "programs, links and maps"


def fingerprint() -> str:
    """Changes when a program, link or map comes or goes. Costs a system call for each."""
    digest = hashlib.sha256()
    try:
        for command in (abi.PROG_GET_NEXT_ID, abi.LINK_GET_NEXT_ID, abi.MAP_GET_NEXT_ID):
            digest.update(repr(list(observe.ids(command))).encode())
    except OSError as refusal:
        raise refused.listing(_WHAT, refusal) from refusal
    return digest.hexdigest()[:16]


def taken(without: Collection[int]) -> model.Survey:
    """Look at everything; the processes ``without`` are ours, which hold things only while they are at work."""
    try:
        return _taken(without)
    except OSError as refusal:
        raise refused.listing(_WHAT, refusal) from refusal


def _taken(without: Collection[int]) -> model.Survey:
    programs, maps, links = _programs(), _maps(), observe.links()
    linked = {link.program_id for link in links}
    found = holders.walk(without=without)
    pins = everypin.Walk()
    groups = cgroup_tree.walk(_groups(), (one for one in programs if one.id not in linked))
    nets = networks.walk(links, enter=any(one.type in _ON_INTERFACES for one in programs))
    names = whereabouts.Names(
        links=nets.places, namespaces=nets.names, groups=groups.paths, maps={one.id: one.name for one in maps}
    )
    loose = {
        *((model.ObjectKind.PROGRAM, int(one.id)) for one in programs if one.id not in linked),
        *((model.ObjectKind.MAP, int(one.id)) for one in maps),
    }
    inner = contained.walk(maps, loose - found.held.keys() - pins.pins.keys())
    events = [one for one in found.unlinked if one.program not in linked]
    pids = {pid for held in found.held.values() for pid in held} | {one.pid for one in events}
    walks = (
        ("descriptors", found),
        ("pins", pins),
        ("cgroups", groups),
        ("network namespaces", nets),
        ("elements of maps", inner),
    )
    return model.Survey(
        programs=programs,
        links=links,
        maps=maps,
        places=_places(names),
        unlinked=tuple(dict.fromkeys((*nets.unlinked, *groups.unlinked, *events))),
        held={ref: tuple(sorted(who)) for ref, who in found.held.items()},
        pins={ref: tuple(paths) for ref, paths in pins.pins.items()},
        inside={ref: tuple(sorted(ids)) for ref, ids in inner.inside.items()},
        processes={pid: one for pid in sorted(pids) if (one := process.described(pid)) is not None},
        unread=found.unread,
        cut=tuple(what for what, walk in walks if walk.cut),
    )


def _programs() -> tuple[model.KernelProgram, ...]:
    read = observe.Programs().read
    return tuple(
        dataclasses.replace(read(fd), memlock_bytes=observe.memory(fd))
        for fd in observe.each(abi.PROG_GET_NEXT_ID, abi.PROG_GET_FD_BY_ID)
    )


def _maps() -> tuple[model.KernelMap, ...]:
    read = observe.Maps().read
    return tuple(
        dataclasses.replace(read(fd), memlock_bytes=observe.memory(fd))
        for fd in observe.each(abi.MAP_GET_NEXT_ID, abi.MAP_GET_FD_BY_ID)
    )


def _groups() -> frozenset[int]:
    """The numbers of the cgroups that links are attached to."""
    read = observe.Links().read
    return frozenset(
        whereabouts.group(fd)
        for fd in observe.each(abi.LINK_GET_NEXT_ID, abi.LINK_GET_FD_BY_ID)
        if read(fd).type == abi.LINK_TYPE_CGROUP
    ) - {0}


def _places(names: whereabouts.Names) -> dict[model.KernelLinkId, str]:
    read = observe.Links().read
    found: dict[model.KernelLinkId, str] = {}
    for fd in observe.each(abi.LINK_GET_NEXT_ID, abi.LINK_GET_FD_BY_ID):
        link = read(fd)
        found[link.id] = whereabouts.told(fd, link, names)
    return found
