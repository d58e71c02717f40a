"""Every network namespace that can be found, and where BPF programs are attached to the interfaces in it.

A link tells the index of its interface and not the namespace, so each namespace is asked what its interfaces run.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from sys import byteorder
from typing import Final

from skep import errors, model
from skep.kernel import abi, filters, namespaces, netlink, netns, sys

MOST: Final = 1024
"""Namespaces that are entered."""
_GETLINK: Final = 18  # RTM_GETLINK
_IFINFOMSG: Final = struct.Struct("=BxHiII")
_NAME: Final = 3  # IFLA_IFNAME
_XDP: Final = 43  # IFLA_XDP
_XDP_IDS: Final = (4, 5, 6, 7)  # IFLA_XDP_PROG_ID, _DRV_, _SKB_, _HW_
_LISTS: Final = {
    abi.TCX_INGRESS: "tcx ingress",
    abi.TCX_EGRESS: "tcx egress",
    abi.NETKIT_PRIMARY: "netkit primary",
    abi.NETKIT_PEER: "netkit peer",
}


@dataclass(slots=True, kw_only=True)
class Found:
    """``names``: of namespaces, by inode number. ``places``: of links. ``unlinked``: what netlink attached.

    ``cut``: not all was looked at.
    """

    names: dict[int, str] = field(default_factory=dict)
    places: dict[model.KernelLinkId, str] = field(default_factory=dict)
    unlinked: list[model.Unlinked] = field(default_factory=list)
    cut: bool = False


def walk(links: Collection[model.KernelLink], *, enter: bool) -> Found:
    """Find the namespaces; ``enter`` them to find where ``links`` and programs without a link are."""
    paths = _paths()
    found = Found(cut=len(paths) > MOST, names={inode: name for inode, (_, name) in paths.items()})
    if not enter:
        return found
    for path, name in list(paths.values())[:MOST]:
        with contextlib.suppress(errors.SkepError, OSError):  # gone meanwhile
            netns.inside(path, lambda name=name: _look(links, name, found))  # type: ignore[misc]  # mypy and defaults
            suffix = f" in {name}" if name else ""
            for one in filters.everywhere(path):
                if one.program_id:
                    place = f"tc {one.direction} {one.interface}{suffix}"
                    found.unlinked.append(model.Unlinked(program=one.program_id, place=place))
    return found


def _paths() -> dict[int, tuple[str | None, str]]:
    """Inode -> where it can be opened (None: ours) and what it is called: by a name of its own, or by a process."""
    found: dict[int, tuple[str | None, str]] = {os.stat("/proc/thread-self/ns/net").st_ino: (None, "")}
    with contextlib.suppress(OSError):
        for entry in sorted(os.listdir(namespaces.NAMED)):
            path = f"{namespaces.NAMED}/{entry}"
            with contextlib.suppress(OSError):
                found.setdefault(os.stat(path).st_ino, (path, entry))
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()):
        path = f"/proc/{pid}/ns/net"
        with contextlib.suppress(OSError):
            found.setdefault(os.stat(path).st_ino, (path, f"pid:{pid}"))
    return found


def _look(links: Collection[model.KernelLink], name: str, found: Found) -> None:
    """In the calling thread's namespace, called ``name``."""
    suffix = f" in {name}" if name else ""
    linked = {(link.ifindex, link.program_id): link.id for link in links if link.type == abi.LINK_TYPE_XDP}
    listed = {(link.ifindex, link.attach_type) for link in links if link.attach_type in _LISTS and link.ifindex}
    for index, interface, programs in _interfaces():
        for program in programs:
            link = linked.get((index, program))
            if link is None:
                found.unlinked.append(model.Unlinked(program=program, place=f"xdp {interface}{suffix}"))
            else:
                found.places[link] = f"xdp {interface}{suffix}"
        for kind, word in _LISTS.items():
            if (index, kind) in listed:
                with contextlib.suppress(OSError):  # no program was ever there, or no netkit device
                    for id_ in filter(None, sys.prog_query(index, kind)[1]):
                        found.places[model.KernelLinkId(id_)] = f"{word} {interface}{suffix}"


def _interfaces() -> list[tuple[model.IfIndex, str, set[model.ProgramId]]]:
    """Index, name and XDP programs of every interface."""
    with netlink.Route() as route:
        answers = route.ask(_GETLINK, netlink.DUMP, _IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
    made = []
    for one in answers:
        fields = netlink.attributes(one.body[_IFINFOMSG.size :])
        xdp = netlink.attributes(fields.get(_XDP, b""))
        programs = {int.from_bytes(xdp[kind], byteorder) for kind in _XDP_IDS if kind in xdp} - {0}
        name = fields.get(_NAME, b"").rstrip(b"\0").decode(errors="replace")
        index = model.IfIndex(_IFINFOMSG.unpack_from(one.body)[2])
        made.append((index, name, set(map(model.ProgramId, programs))))
    return made
