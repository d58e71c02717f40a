"""Which process has which socket: /proc, pidfd_getfd(2) (Linux 5.6) and the sockets' own options."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import stat
import struct
from collections.abc import Iterator
from typing import Final

from skep import errors, model
from skep.kernel import abi, netns, refused, sys

_LISTENING: Final = "0A"  # TCP_LISTEN, net/tcp_states.h: connections have the same local address
_SHOWN: Final = 8


def taken(named: model.Descriptor) -> int:
    """A descriptor of our own for a process's. ESRCH, EBADF, EPERM."""
    with sys.held(os.pidfd_open(named.pid)) as process:
        return sys.pidfd_getfd(process, named.fd)


def described(fd: int, named: model.Descriptor) -> model.Socket:
    """What is known of the socket behind our descriptor ``fd``. InvalidRequest: it is no socket."""
    status = os.fstat(fd)
    if not stat.S_ISSOCK(status.st_mode):
        raise errors.InvalidRequest(
            f"{named.pid}:{named.fd} is not a socket",
            why=f"descriptor {named.fd} of process {named.pid} is something else",
            do="see `ss -lntup` or the links in /proc/PID/fd",
        )
    domain, kind, protocol = (sys.socket_option(fd, one) for one in (abi.SO_DOMAIN, abi.SO_TYPE, abi.SO_PROTOCOL))
    internet = domain in (socket.AF_INET, socket.AF_INET6)
    names = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}
    return model.Socket(
        ref=model.SocketRef(pid=named.pid, fd=named.fd, inode=status.st_ino, cookie=_cookie(fd)),
        owner=_owner(named.pid),
        filtered=has_filter(fd),
        shares=internet and bool(sys.socket_option(fd, abi.SO_REUSEPORT)),
        protocol=names.get(protocol, "") if internet else f"family {domain} type {kind}",
    )


def again(ref: model.SocketRef) -> int | None:
    """A descriptor of a socket that was found before, wherever it is now; None when no process has it any more."""
    here = model.Descriptor(pid=ref.pid, fd=ref.fd)
    fd = _same(here, ref)
    if fd is not None:
        return fd
    for other in _holders({ref.inode}):
        if other != here and (fd := _same(other, ref)) is not None:
            return fd
    return None


def holder(address: model.LocalAddress, path: str | None, *, several: bool) -> model.Descriptor:
    """A process that has the socket bound to an address, in the network namespace at ``path``. NotFound (near
    misses); InvalidRequest when several sockets have it and not any will do."""
    name = _spelt(address.protocol, address.address, address.port)
    try:
        wanted = ipaddress.ip_address(address.address)
    except ValueError as error:
        raise errors.InvalidRequest(
            f"{address.address!r} is not an IP address", do="write 127.0.0.1 or [::1]"
        ) from error
    bound = netns.inside(path, lambda: tuple(_bound(address.protocol)))
    inodes = {inode for ip, port, inode in bound if (ip, port) == (wanted, address.port)}
    if not inodes:
        near = tuple({_spelt(address.protocol, str(ip), port): None for ip, port, _ in bound if port == address.port})
        do = "" if near else "see `ss -lntup`"
        raise errors.NotFound(f"no socket is bound to {name}", near=near[:3], do=do, errno=errno.ENOENT)
    found = tuple(_holders(inodes))
    if not found:
        raise errors.NotFound(
            f"no process has the socket bound to {name}",
            why="it belongs to the kernel, or to a process that skep does not see",
            do="name it as PID:FD",
        )
    if len(inodes) > 1 and not several:
        shown = ", ".join(f"{one.pid}:{one.fd}" for one in found[:_SHOWN])
        raise errors.InvalidRequest(
            f"{len(inodes)} sockets are bound to {name}", why=shown, do="name one of them as PID:FD"
        )
    return found[0]


def has_filter(fd: int) -> bool:
    """Whether a socket has a filter. EACCES: one of eBPF, whose code the kernel does not show."""
    try:
        return sys.filter_length(fd) > 0
    except OSError as refusal:
        if refusal.errno == errno.EACCES:
            return True
        raise refused.general("the socket's filter cannot be looked for", refusal) from refusal


# ---------------------------------------------------------------- inside


def _same(named: model.Descriptor, ref: model.SocketRef) -> int | None:
    """A descriptor of ``ref`` if that is what a process has there."""
    try:
        fd = taken(named)
    except OSError:
        return None
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode) and _cookie(fd) == ref.cookie:
            return fd
    except OSError:
        pass
    os.close(fd)
    return None


def _cookie(fd: int) -> int:
    cookie: int = struct.unpack("=Q", sys.socket_bytes(fd, abi.SO_COOKIE, 8))[0]
    return cookie


def _owner(pid: int) -> int | None:
    """The uid of a process that is one user's whole: all of its uids, and /proc says that it may be looked into."""
    try:
        shown = os.stat(f"/proc/{pid}").st_uid
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            uids = next(line.split()[1:] for line in file if line.startswith("Uid:"))
    except (OSError, StopIteration):
        return None
    return shown if {int(one) for one in uids} == {shown} else None


def _holders(inodes: set[int]) -> Iterator[model.Descriptor]:
    """Every descriptor of every process that is one of these sockets."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        # It may end meanwhile, or be none of ours to look into.
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{pid}/fd/{fd}") in wanted:
                        yield model.Descriptor(pid=pid, fd=int(fd))


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _bound(protocol: str) -> Iterator[tuple[_Address, int, int]]:
    """Address, port and inode of the sockets of a protocol, from the thread's network namespace; of TCP, listeners."""
    for name in (protocol, f"{protocol}6"):
        try:
            with open(f"/proc/thread-self/net/{name}", encoding="ascii") as file:
                rows = [line.split() for line in file.readlines()[1:]]
        except FileNotFoundError:
            continue  # a kernel without IPv6
        for row in rows:
            if protocol == "tcp" and row[3] != _LISTENING:
                continue
            address, _, port = row[1].partition(":")
            # Words of 32 bits in the machine's order (get_tcp4_sock in net/ipv4/tcp_ipv4.c).
            words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
            yield ipaddress.ip_address(struct.pack(f"={len(words)}I", *words)), int(port, 16), int(row[9])


def _spelt(protocol: str, address: str, port: int) -> str:
    return f"{protocol}:[{address}]:{port}" if ":" in address else f"{protocol}:{address}:{port}"
