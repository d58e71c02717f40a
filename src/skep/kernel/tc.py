"""Traffic control over netlink: the clsact qdisc of an interface and the filters on it. One function per request.

Everything here takes a socket and an interface's index in that socket's namespace. Layouts: linux/rtnetlink.h,
linux/pkt_cls.h, linux/pkt_sched.h.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Final

from skep import model
from skep.kernel import netlink

INGRESS: Final = "ingress"
EGRESS: Final = "egress"
CLSACT: Final = "clsact"

_PARENTS: Final = {INGRESS: 0xFFFFFFF2, EGRESS: 0xFFFFFFF3}
"""TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS) and ..._EGRESS; the older "ingress" qdisc takes the first one too."""
_TC_H_CLSACT: Final = 0xFFFFFFF1
_HANDLE: Final = 0xFFFF0000
_TCMSG: Final = struct.Struct("=BxHiIII")  # family, index, handle, parent, info
_NEWQDISC, _DELQDISC, _GETQDISC = 36, 37, 38
_NEWTFILTER, _DELTFILTER, _GETTFILTER = 44, 45, 46
_KIND: Final = 1  # TCA_KIND
_OPTIONS: Final = 2  # TCA_OPTIONS
_BPF_FD: Final = 6  # TCA_BPF_FD
_BPF_NAME: Final = 7
_BPF_FLAGS: Final = 8
_BPF_TAG: Final = 10
_BPF_ID: Final = 11
_DIRECT: Final = 1  # TCA_BPF_FLAG_ACT_DIRECT; Linux 4.4
_ETH_P_ALL: Final = 3


def qdisc(route: netlink.Route, ifindex: int) -> str:
    """The kind of qdisc in an interface's ingress slot: "clsact" (Linux 4.5), "ingress", or "" for none.

    Out of the list of all: a question about one is answered to everybody who listens for changes, too
    (``qdisc_get_notify``, net/sched/sch_api.c).
    """
    return qdiscs(route).get(ifindex, "")


def qdiscs(route: netlink.Route) -> dict[int, str]:
    """Every interface of the namespace that has a qdisc in its ingress slot, with its kind."""
    found: dict[int, str] = {}
    for one in route.ask(_GETQDISC, netlink.DUMP, _TCMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0)):
        _, _, ifindex, _, parent, _ = _header(one.body)
        if parent == _TC_H_CLSACT:
            found[ifindex] = _text(netlink.attributes(one.body[_TCMSG.size :]).get(_KIND, b""))
    return found


def add_clsact(route: netlink.Route, ifindex: int) -> None:
    """Make the clsact qdisc. EEXIST: there is one; ENOENT: this kernel has no such qdisc."""
    request = _TCMSG.pack(socket.AF_UNSPEC, 0, ifindex, _HANDLE, _TC_H_CLSACT, 0)
    route.ask(_NEWQDISC, netlink.ACK | netlink.CREATE | netlink.EXCL, request + netlink.text(_KIND, CLSACT))


def remove_clsact(route: netlink.Route, ifindex: int) -> None:
    """Remove the clsact qdisc with all of its filters."""
    request = _TCMSG.pack(socket.AF_UNSPEC, 0, ifindex, _HANDLE, _TC_H_CLSACT, 0)
    route.ask(_DELQDISC, netlink.ACK, request + netlink.text(_KIND, CLSACT))


def directions(kind: str) -> tuple[str, ...]:
    """Which filters a qdisc of ``kind`` has."""
    return {CLSACT: (INGRESS, EGRESS), "ingress": (INGRESS,)}.get(kind, ())


def filters(route: netlink.Route, ifindex: int, *wanted: str) -> tuple[model.Filter, ...]:
    """The filters on an interface, in the order in which they are asked; () without a qdisc or interface.

    ``wanted`` directions: asked about egress, an "ingress" qdisc answers with its ingress filters.
    """
    name = _interface(ifindex)
    found: list[model.Filter] = []
    for direction in wanted:
        request = _TCMSG.pack(socket.AF_UNSPEC, 0, ifindex, 0, _PARENTS[direction], 0)
        answers = route.ask(_GETTFILTER, netlink.DUMP, request)
        listed = [_filter(one.body, name, direction) for one in answers]
        # Each priority is told once by itself, with handle 0, and then with each of its filters.
        full = {one.priority for one in listed if one.handle}
        found.extend(one for one in listed if one.handle or one.priority not in full)
    return tuple(sorted(found, key=lambda one: (one.direction, one.priority)))


def set_filter(route: netlink.Route, wanted: model.Filter, program: int, *, replace: bool) -> None:
    """Make a direct-action filter of a program's descriptor; or put the program into the filter with the same priority
    and handle, at once for every packet (``list_replace_rcu`` in ``cls_bpf_change``). EEXIST, ENOENT."""
    flags = netlink.ACK | (netlink.REPLACE if replace else netlink.CREATE | netlink.EXCL)
    options = (
        netlink.number(_BPF_FD, program) + netlink.text(_BPF_NAME, wanted.name) + netlink.number(_BPF_FLAGS, _DIRECT)
    )
    route.ask(_NEWTFILTER, flags, _place(wanted) + netlink.attribute(_OPTIONS, options))


def remove_filter(route: netlink.Route, one: model.Filter) -> None:
    """Remove one filter. ENOENT."""
    route.ask(_DELTFILTER, netlink.ACK, _place(one))


def _place(one: model.Filter) -> bytes:
    info = one.priority << 16 | socket.htons(_ETH_P_ALL)
    header = _TCMSG.pack(socket.AF_UNSPEC, 0, one.ifindex, one.handle, _PARENTS[one.direction], info)
    return header + netlink.text(_KIND, one.kind)


def _filter(body: bytes, interface: str, direction: str) -> model.Filter:
    _, _, ifindex, handle, _, info = _header(body)
    rest = netlink.attributes(body[_TCMSG.size :])
    kind = _text(rest.get(_KIND, b""))
    options = netlink.attributes(rest.get(_OPTIONS, b"")) if kind == "bpf" else {}
    return model.Filter(
        interface=interface,
        ifindex=model.IfIndex(ifindex),
        direction=direction,
        priority=info >> 16,
        handle=handle,
        kind=kind,
        name=_text(options.get(_BPF_NAME, b"")),
        program_id=model.ProgramId(int.from_bytes(options.get(_BPF_ID, b""), sys.byteorder)),
        tag=options.get(_BPF_TAG, b"").hex(),
    )


def _header(body: bytes) -> tuple[int, int, int, int, int, int]:
    family, pad, ifindex, handle, parent, info = _TCMSG.unpack_from(body)
    return family, pad, ifindex, handle, parent, info


def _interface(ifindex: int) -> str:
    try:
        return socket.if_indextoname(ifindex)
    except OSError:
        return ""


def _text(padded: bytes) -> str:
    return padded.partition(b"\0")[0].decode(errors="replace")
