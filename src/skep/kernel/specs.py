"""Telling USDT programs where arguments are: elements of the map of usdt.bpf.h, taken for a link and free after it.

Programs that share their maps share this one, so that no two links may use an element for different things. Who uses an
element is written into the element itself, into padding (``usdt.Mark``): the number of a link of skep's, and of its
program. An element is free when no pinned link of that number runs that program any more. Nothing has to be given back:
a detach frees by removing the pin, and so does the sweep after a daemon that was killed between the two. A lost store
changes nothing either.
"""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
from collections.abc import Sequence
from typing import Final

from skep import errors, model, paths
from skep.bytecode import btf, usdt
from skep.hooks import request
from skep.kernel import abi, bpffs, elements, observe, probes, refused, sys

log = logging.getLogger(__name__)
_FOREIGN: Final = 0


def take(pins: bpffs.Bpffs, program: int, target: request.UsdtTarget, sites: Sequence[probes.Site]) -> tuple[int, ...]:
    """For each site the number of the element that describes its arguments; what the program finds as its cookie.

    ``program``: its descriptor. Zeros for a program without such a map.
    ``Exhausted``: the map is full. ``Unsupported``: its layout is unknown.
    """
    if target.specs is None:
        return (0,) * len(sites)
    mark = usdt.Mark(link=target.owner, program=observe.Programs().read(program).id & 0xFFFF)
    with sys.held(pins.need(target.specs)) as fd:
        seen = observe.Maps().read(fd)
        if seen.type != abi.MAP_TYPE_ARRAY or seen.key_size != 4:
            raise errors.Unsupported(
                "the program's map __bpf_usdt_specs cannot be filled",
                feature="this version of usdt.bpf.h",
                why="it is no array",
                do="compile the program against the headers of libbpf",
            )
        try:
            shape = usdt.layout(btf.parse(observe.btf(seen.btf_id)), seen.value_type_id, seen.value_size)
        except OSError as refusal:
            raise refused.general("the BTF of the map __bpf_usdt_specs cannot be read", refusal) from refusal
        _warn(target, sites)
        wanted = {site.offset: shape.encode(site.arguments, target.cookie, mark) for site in sites}
        there, free = _sorted(pins, shape, mark, _elements(seen.id))
        needed = [one for one in dict.fromkeys(wanted.values()) if one not in there]
        if len(needed) > len(free):
            raise errors.Exhausted(
                f"cannot attach to {dataclasses.replace(target, site=None)}",
                why=f"it takes {len(needed)} argument specifications, and of the {seen.max_entries} of the program's "
                f"map __bpf_usdt_specs {len(free)} are free",
                do="detach other USDT links, or compile with a larger BPF_USDT_MAX_SPEC_CNT",
                errno=errno.E2BIG,
            )
        for number, one in zip(free, needed, strict=False):
            try:
                sys.map_update(fd, number.to_bytes(4, "little"), one)
            except OSError as refusal:
                raise elements.explained(seen, refusal) from refusal
            there[one] = number
    return tuple(there[wanted[site.offset]] for site in sites)


def _elements(map_: model.MapId) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    after = b""
    while True:
        page, after = elements.page(map_, after, 4096)
        found.extend((int.from_bytes(key, "little"), values[0]) for key, values in page)
        if not after:
            return found


def _sorted(
    pins: bpffs.Bpffs, shape: usdt.Layout, mark: usdt.Mark, found: Sequence[tuple[int, bytes]]
) -> tuple[dict[bytes, int], list[int]]:
    """The elements that this link has already, by content, and the numbers of the free ones."""
    mine: dict[bytes, int] = {}
    free: list[int] = []
    alive: dict[int, frozenset[int]] = {}
    for number, data in found:
        owner = shape.mark(data)
        if owner is None:
            free.append(number)
        elif owner == mark:
            mine.setdefault(data, number)
        elif owner.link != _FOREIGN:
            if owner.link not in alive:
                alive[owner.link] = _programs(pins, model.LinkId(owner.link))
            if owner.program not in alive[owner.link]:
                free.append(number)
    return mine, free


def _programs(pins: bpffs.Bpffs, link: model.LinkId) -> frozenset[int]:
    """The programs (the last 16 bits of their ids) that the pinned kernel links of one link run.

    While a program is replaced there are two of them.
    """
    found = set()
    place = paths.Pins(pins.root)
    for path in (place.link(link), place.link_copy(link)):
        for pin in pins.walk(path) if os.path.isdir(path) else (path,):
            fd = pins.get(pin, "bpf-link")
            if fd is not None:
                with sys.held(fd):
                    found.add(observe.link(fd).program_id & 0xFFFF)
    return frozenset(found)


def _warn(target: request.UsdtTarget, sites: Sequence[probes.Site]) -> None:
    unread = {place for site in sites for place, one in enumerate(site.arguments) if one.kind is usdt.Kind.UNREADABLE}
    if unread:
        log.warning(
            "%s: BPF programs cannot read argument %s; bpf_usdt_arg() answers EINVAL for it",
            target,
            " and ".join(map(str, sorted(unread))),
            extra={"link": target.owner},
        )
