"""The interfaces of the calling thread's network namespace and those of its default routes, by route netlink.

Layouts: linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h. What messages say is parsed purely.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterable
from typing import Final, NamedTuple

from skep import model
from skep.kernel import netlink

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""RTMGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE."""
_LINK: Final = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_ADDRESS: Final = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix, flags, scope, index
_ROUTE: Final = struct.Struct("=BBBBBBBBI")  # struct rtmsg: family, dst, src, tos, table, protocol, scope, type, flags
_HOP: Final = struct.Struct("=HBBi")  # struct rtnexthop: length, flags, hops, index
_MAC, _NAME = 1, 3  # IFLA_ADDRESS, IFLA_IFNAME
_FAR, _NEAR = 1, 2  # IFA_ADDRESS (of a point-to-point link: the peer's), IFA_LOCAL
_OUT, _METRIC, _HOPS = 4, 6, 9  # RTA_OIF, RTA_PRIORITY, RTA_MULTIPATH
_UP: Final = 1  # IFF_UP
_LOOPBACK: Final = 8  # IFF_LOOPBACK
_MAIN: Final = 254  # RT_TABLE_MAIN
_UNICAST: Final = 1  # RTN_UNICAST
_FAMILIES: Final = {int(socket.AF_INET): 4, int(socket.AF_INET6): 6}
_ROOM: Final = 1 << 16


class Default(NamedTuple):
    """A way out of a default route."""

    family: int
    metric: int
    ifindex: int


def here() -> tuple[tuple[model.InterfaceSeen, ...], tuple[str, ...]]:
    """The interfaces by index, and the names of those with a default route, the best first."""
    with netlink.Route(strict=True) as route:
        links = route.ask(_GETLINK, netlink.DUMP, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
        addresses = route.ask(_GETADDR, netlink.DUMP, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
        routes = [answer.body for family in _FAMILIES for answer in _table(route, family)]
    seen = interfaces([each.body for each in links], [each.body for each in addresses])
    return seen, primary(seen, (default for body in routes for default in defaults(body)))


def _table(route: netlink.Route, family: int) -> tuple[netlink.Message, ...]:
    try:
        return route.ask(_GETROUTE, netlink.DUMP, _ROUTE.pack(family, 0, 0, 0, _MAIN, 0, 0, 0, 0))
    except netlink.Refusal as refusal:
        # A kernel without IPv6; a main table that nobody has written to yet.
        if refusal.errno in (errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.ENOENT):
            return ()
        raise


def interfaces(links: Iterable[bytes], addresses: Iterable[bytes]) -> tuple[model.InterfaceSeen, ...]:
    """Interfaces out of the bodies of RTM_NEWLINK and RTM_NEWADDR messages."""
    of: dict[int, list[str]] = {}
    for body in addresses:
        family, prefix, _, _, index = _ADDRESS.unpack_from(body)
        told = netlink.attributes(body[_ADDRESS.size :])
        raw = told.get(_NEAR, told.get(_FAR, b""))
        if family in _FAMILIES and len(raw) in (4, 16):
            of.setdefault(index, []).append(f"{ipaddress.ip_address(raw)}/{prefix}")
    found = []
    for body in links:
        family, _, index, flags, _ = _LINK.unpack_from(body)
        if family != socket.AF_UNSPEC:
            continue  # a bridge's view of its ports
        told = netlink.attributes(body[_LINK.size :])
        mac = told.get(_MAC, b"")
        found.append(
            model.InterfaceSeen(
                name=told.get(_NAME, b"").partition(b"\0")[0].decode(errors="surrogateescape"),
                ifindex=model.IfIndex(index),
                mac=":".join(f"{byte:02x}" for byte in mac) if len(mac) == 6 and not flags & _LOOPBACK else "",
                addresses=tuple(sorted(of.get(index, ()))),
                up=bool(flags & _UP),
            )
        )
    return tuple(sorted(found, key=lambda each: each.ifindex))


def defaults(body: bytes) -> tuple[Default, ...]:
    """The ways out of a route (the body of RTM_NEWROUTE) if it is a default one of the main table; else ()."""
    family, length, _, _, table, _, _, type, _ = _ROUTE.unpack_from(body)
    if length or table != _MAIN or type != _UNICAST or family not in _FAMILIES:
        return ()
    told = netlink.attributes(body[_ROUTE.size :])
    metric = int.from_bytes(told.get(_METRIC, b"")[:4], sys.byteorder)
    out = [int.from_bytes(told[_OUT][:4], sys.byteorder)] if _OUT in told else _hops(told.get(_HOPS, b""))
    return tuple(Default(_FAMILIES[family], metric, index) for index in out)


def _hops(data: bytes) -> list[int]:
    found, at = [], 0
    while at + _HOP.size <= len(data):
        length, _, _, index = _HOP.unpack_from(data, at)
        if length < _HOP.size:
            break
        found.append(index)
        at += length + 3 & ~3
    return found


def primary(seen: Iterable[model.InterfaceSeen], routes: Iterable[Default]) -> tuple[str, ...]:
    """The interfaces of default routes by name: IPv4's first, then by metric; each once, the loopback never."""
    names: dict[int, str] = {each.ifindex: each.name for each in seen if each.name != "lo"}
    return tuple(dict.fromkeys(names[each.ifindex] for each in sorted(routes) if each.ifindex in names))


def listener() -> socket.socket:
    """A socket that hears of changes in the calling thread's network namespace, wherever it is read."""
    heard = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
    )
    try:
        heard.bind((0, _GROUPS))
    except OSError:
        heard.close()
        raise
    return heard


def drain(heard: socket.socket) -> bool:
    """Read all that has come; whether any of it may change what ``here`` says."""
    changed = False
    while True:
        try:
            data = heard.recv(_ROOM)
        except BlockingIOError:
            return changed
        except OSError as refusal:
            if refusal.errno != errno.ENOBUFS:  # more came than there was room for
                raise
            changed = True
            continue
        changed = changed or matters(data)


def matters(data: bytes) -> bool:
    """Whether notifications are about interfaces, addresses or default routes; other routes come and go all day."""
    return any(
        kind in (_NEWLINK, _DELLINK, _NEWADDR, _DELADDR) or (kind in (_NEWROUTE, _DELROUTE) and defaults(body))
        for kind, body in netlink.messages(data)
    )
