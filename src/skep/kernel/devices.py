"""Network interfaces by the words that people use: names, alternative names (Linux 5.5), numbers and shell patterns.

All of it asks the network namespace of the calling thread. Layouts: linux/rtnetlink.h, linux/if_link.h.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import socket
import struct
from typing import Final, NamedTuple

from skep import errors, model
from skep.kernel import namespaces, netlink, netns

_GETLINK: Final = 18  # RTM_GETLINK
_NEWLINK: Final = 16  # RTM_NEWLINK
_IFINFOMSG: Final = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_NAME: Final = 3  # IFLA_IFNAME
_EXT_MASK: Final = 29  # IFLA_EXT_MASK
_PROPERTIES: Final = 52  # IFLA_PROP_LIST
_ALTERNATIVE: Final = 53  # IFLA_ALT_IFNAME
_SKIP_STATS: Final = 8  # RTEXT_FILTER_SKIP_STATS
_NUMBER: Final = "ifindex:"
"""No interface is called so: names have no colon (``dev_valid_name`` in net/core/dev.c)."""
_SHORT: Final = 15  # IFNAMSIZ without the NUL


class Device(NamedTuple):
    """One interface and its other names."""

    number: int
    name: str
    others: tuple[str, ...]


def meant(ref: model.InterfaceRef) -> tuple[model.InterfaceRef, ...]:
    """The interfaces that a caller means, each by its own name, by ascending index.

    ``ref.name`` is a name, an alternative name, "ifindex:3", or a shell pattern for all that match now; ``ref.netns``
    is what ``namespaces.meant`` takes. ``NotFound`` with near misses, ``InvalidRequest``.
    """
    where = None if ref.netns is None else namespaces.meant(ref.netns)
    asked = model.InterfaceRef(name=ref.name, netns=where)
    names = netns.inside(where, lambda: _here(asked))
    return tuple(model.InterfaceRef(name=name, netns=where) for name in names)


def here() -> tuple[Device, ...]:
    """Every interface of the calling thread's namespace, by ascending index."""
    body = _IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + netlink.number(_EXT_MASK, _SKIP_STATS)
    with netlink.Route() as route:
        found = [_device(one.body) for one in route.ask(_GETLINK, netlink.DUMP, body) if one.type == _NEWLINK]
    return tuple(sorted(found))


def _here(ref: model.InterfaceRef) -> tuple[str, ...]:
    if ref.name.startswith(_NUMBER):
        return (_by_number(ref),)
    if 0 < len(ref.name.encode()) <= _SHORT:
        # By far the most usual; a name that looks like a pattern is still a name.
        with contextlib.suppress(OSError):
            return (socket.if_indextoname(socket.if_nametoindex(ref.name)),)
    known = here()
    for device in known:
        if ref.name in device.others:
            return (device.name,)
    if is_pattern(ref.name):
        matching = tuple(
            device.name
            for device in known
            if any(fnmatch.fnmatchcase(name, ref.name) for name in (device.name, *device.others))
        )
        if matching:
            return matching
    raise _missing(ref, known)


def is_pattern(name: str) -> bool:
    """Whether a name has what shells take for a pattern."""
    return any(letter in name for letter in "*?[")


def _by_number(ref: model.InterfaceRef) -> str:
    digits = ref.name.removeprefix(_NUMBER)
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits) < 2**31):
        raise errors.InvalidRequest(
            f"{ref.name!r} is not an interface's number", why="they are positive", do="see `ip link`"
        )
    try:
        return socket.if_indextoname(int(digits))
    except OSError as missing:
        raise errors.NotFound(
            f"no interface with number {digits} {place(ref)}",
            why="there are " + ", ".join(f"{one.number} ({one.name})" for one in here()[:8]),
            do="see `ip link`",
            errno=missing.errno or errno.ENXIO,
        ) from missing


def _missing(ref: model.InterfaceRef, known: tuple[Device, ...]) -> errors.NotFound:
    plain = ref.name.strip("*?")
    names = [name for device in known for name in (device.name, *device.others)]
    near = errors.near_misses(plain, names)
    if not is_pattern(ref.name):
        what = f"no interface {ref.name!r} {place(ref)}"
        return errors.NotFound(what, near=near, do="" if near else "see `ip link`", errno=errno.ENODEV)
    what = f"no interface matches {ref.name!r} {place(ref)}"
    shown = ", ".join(device.name for device in known[:8]) + (", …" if len(known) > 8 else "")
    return errors.NotFound(
        what, why=f"there are {shown}", near=near, do="" if near else "see `ip link`", errno=errno.ENODEV
    )


def place(ref: model.InterfaceRef) -> str:
    """Where an interface was looked for, to be told."""
    return f"in network namespace {ref.netns}" if ref.netns else "in skep's network namespace"


def _device(body: bytes) -> Device:
    name, others = "", []
    for kind, value in netlink.each(body[_IFINFOMSG.size :]):
        if kind == _NAME:
            name = _text(value)
        elif kind == _PROPERTIES:
            others += [_text(one) for kind, one in netlink.each(value) if kind == _ALTERNATIVE]
    return Device(_IFINFOMSG.unpack_from(body)[2], name, tuple(others))


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="surrogateescape")
