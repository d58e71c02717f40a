"""What links and their orders can on this kernel, beyond program types: each found out by trying."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Callable, Iterator

from skep.kernel import abi, sys

_CGROUP_EGRESS = 1  # BPF_CGROUP_INET_EGRESS
_NO_DESCRIPTOR = 2**32 - 1


def knows(command: int, attr: bytes) -> Callable[[], str]:
    """Whether bpf(2) has a command: with a descriptor that nobody has, one that it lacks answers EINVAL."""

    def attempt() -> str:
        try:
            sys.bpf(command, ctypes.create_string_buffer(attr, len(attr)))
        except OSError as refusal:
            if refusal.errno != errno.EBADF:
                raise
        return ""

    return attempt


def creates(map_type: int, key: int, value: int, entries: int, flags: int = 0) -> Callable[[], str]:
    """Whether a map of a type can be made."""

    def attempt() -> str:
        os.close(sys.map_create(map_type, key, value, entries, flags=flags))
        return ""

    return attempt


def cgroup_order() -> str:
    """Whether cgroups keep their programs in an order that one can choose: they then number its revisions."""
    for path in _cgroups():
        with sys.held(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as fd:
            attr = ctypes.create_string_buffer(abi.ATTR_PROG_QUERY.size)
            abi.ATTR_PROG_QUERY.pack_into(attr, 0, fd, _CGROUP_EGRESS, 0, 0, 0, 0, 0, 0, 0, 0)
            sys.bpf(abi.PROG_QUERY, attr)
            if abi.ATTR_PROG_QUERY.unpack_from(attr)[-1]:
                return ""
            raise OSError(errno.EINVAL, "no revision")
    raise OSError(errno.ENOENT, "no cgroup2 file system is mounted")


def modules_with_types() -> str:
    """Whether modules bring BTF: fentry and its like reach their functions then."""
    with os.scandir("/sys/kernel/btf") as entries:
        count = sum(one.name != "vmlinux" for one in entries)
    with open("/proc/modules", encoding="ascii", errors="replace") as file:
        loaded = sum(1 for _ in file)
    if not count and loaded:
        raise OSError(errno.ENOENT, "no module has BTF")
    return f"{count} of {loaded} modules"


def _cgroups() -> Iterator[str]:
    with contextlib.suppress(OSError), open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        for line in file:
            words = line.split()
            if words[2] == "cgroup2":
                yield words[1]


LINK_UPDATE = knows(abi.LINK_UPDATE, abi.ATTR_LINK_UPDATE.pack(_NO_DESCRIPTOR, _NO_DESCRIPTOR, 0, 0))
LINK_DETACH = knows(abi.LINK_DETACH, abi.ATTR_LINK_UPDATE.pack(_NO_DESCRIPTOR, 0, 0, 0)[:4])
