"""Control groups (version 2) by their kernel number, and the programs that are attached to them without a link.

systemd and runc attach device and address filters that way (BPF_PROG_ATTACH), and close the program: only the cgroup
itself leads to them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from skep import errors, model
from skep.kernel import abi, cgroups, groups, sys

MOST: Final = 20_000
"""Directories that are looked at."""
HOOKS: Final = {
    0: "ingress", 1: "egress", 2: "sock_create", 3: "sock_ops", 6: "device", 8: "bind4", 9: "bind6", 10: "connect4",
    11: "connect6", 12: "post_bind4", 13: "post_bind6", 14: "sendmsg4", 15: "sendmsg6", 18: "sysctl", 19: "recvmsg4",
    20: "recvmsg6", 21: "getsockopt", 22: "setsockopt", 29: "getpeername4", 30: "getpeername6", 31: "getsockname4",
    32: "getsockname6", 34: "sock_release", 43: "lsm", 49: "connect_unix", 50: "sendmsg_unix", 51: "recvmsg_unix",
    52: "getpeername_unix", 53: "getsockname_unix",
}  # fmt: skip
"""``enum bpf_attach_type`` (linux/bpf.h) of cgroups, by libbpf's words for sections."""
_ATTACH_TYPES: Final = {
    8: (0, 1), 9: (2, 12, 13, 34), 13: (3,), 15: (6,), 23: (18,), 25: (21, 22),
    18: (8, 9, 10, 11, 14, 15, 19, 20, 29, 30, 31, 32, 49, 50, 51, 52, 53),
}  # fmt: skip
"""``enum bpf_prog_type`` -> the attach types that its programs may have (``attach_type_to_prog_type``,
kernel/bpf/syscall.c)."""
_ALLOW_MULTI: Final = 2  # BPF_F_ALLOW_MULTI, linux/bpf.h


@dataclass(slots=True, kw_only=True)
class Found:
    """``paths``: by the number in ``bpf_link_info``, below the mount. ``cut``: not all was looked at."""

    paths: dict[int, str] = field(default_factory=dict)
    unlinked: list[model.Unlinked] = field(default_factory=list)
    cut: bool = False


def walk(numbers: Collection[int], programs: Iterable[model.KernelProgram]) -> Found:
    """Look for the groups with ``numbers`` and for where ``programs``, which have no link, are attached."""
    found = Found()
    wanted = {one.id: one.type for one in programs if one.type in _ATTACH_TYPES}
    asked = sorted({kind for type_ in wanted.values() for kind in _ATTACH_TYPES[type_]})
    if not numbers and not wanted:
        return found
    try:
        root = cgroups.mount()
    except errors.Unsupported:
        return found
    for count, (path, number) in enumerate(_directories(root)):
        if count == MOST:
            found.cut = True
            break
        if number in numbers:
            found.paths[number] = path
        if asked:
            found.unlinked += _attached(f"{root}{path}", path, asked, wanted)
    return found


def _directories(root: str) -> Iterator[tuple[str, int]]:
    """Every group below the mount, the upper ones first: its path, "/" for the root, and its number, the inode's."""
    pending = [""]
    while pending:
        path = pending.pop()
        with contextlib.suppress(OSError):  # removed meanwhile
            yield path or "/", os.stat(f"{root}{path}").st_ino
            with os.scandir(f"{root}{path}") as entries:
                pending += [f"{path}/{one.name}" for one in entries if one.is_dir(follow_symlinks=False)]


def _attached(
    directory: str, path: str, asked: Iterable[int], wanted: dict[model.ProgramId, int]
) -> Iterator[model.Unlinked]:
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    with sys.held(fd):
        for kind in asked:
            try:
                there, _ = sys.prog_query(fd, kind, linked=False)
            except OSError:
                continue  # an attach type that this kernel does not know
            for id_ in map(model.ProgramId, there):
                if id_ in wanted and kind in _ATTACH_TYPES[wanted[id_]]:
                    yield model.Unlinked(
                        program=id_,
                        place=f"cgroup {HOOKS[kind]} {path}",
                        group=groups.named(path),
                        alone=_alone(fd, kind),
                    )


def _alone(fd: int, kind: int) -> bool:
    """Whether a group's program was attached without BPF_F_ALLOW_MULTI."""
    attr = ctypes.create_string_buffer(abi.ATTR_PROG_QUERY.pack(fd, kind, *[0] * 8), abi.ATTR_PROG_QUERY.size)
    try:
        sys.bpf(abi.PROG_QUERY, attr)
    except OSError:
        return False
    return not abi.ATTR_PROG_QUERY.unpack_from(attr)[3] & _ALLOW_MULTI
