"""Which processes hold programs, links and maps: every descriptor of every process, as /proc tells them.

A descriptor of a BPF object is told by its anonymous inode, and its object's id by its fdinfo. Needs CAP_SYS_PTRACE for
other users' processes, and sees those of its own pid namespace only. Bounded: a machine with very many descriptors is
looked at in part, and that is told.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from skep import model
from skep.kernel import abi, sys

MOST_DESCRIPTORS: Final = 1_000_000
"""So many are looked at in one walk, about a second's worth."""
MOST_EVENTS: Final = 4096
"""So many perf events are asked for their program."""
_KINDS: Final = {
    "anon_inode:bpf-prog": (model.ObjectKind.PROGRAM, b"prog_id:"),
    "anon_inode:bpf-map": (model.ObjectKind.MAP, b"map_id:"),
    "anon_inode:bpf_link": (model.ObjectKind.LINK, b"link_id:"),
    "anon_inode:bpf-link": (model.ObjectKind.LINK, b"link_id:"),
}
_EVENT: Final = "anon_inode:[perf_event]"
_EVENTS: Final = ("raw tracepoint", "tracepoint", "kprobe", "kretprobe", "uprobe", "uretprobe")
"""enum bpf_task_fd_type, linux/bpf.h."""


@dataclass(slots=True, kw_only=True)
class Found:
    """What a walk found. ``unread``: processes that could not be looked into. ``cut``: not all was looked at."""

    held: defaultdict[model.ObjectRef, set[int]] = field(default_factory=lambda: defaultdict(set))
    unlinked: list[model.Unlinked] = field(default_factory=list)
    unread: int = 0
    cut: bool = False


def walk(proc: str = "/proc", without: Collection[int] = ()) -> Found:
    """Look at every process but those in ``without``."""
    found = Found()
    left, events = MOST_DESCRIPTORS, MOST_EVENTS
    for name in os.listdir(proc):
        if not name.isdecimal() or (pid := int(name)) in without:
            continue
        try:
            with sys.held(os.open(f"{proc}/{name}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as directory:
                for number in os.listdir(directory):
                    left -= 1
                    kind = _read(directory, number)
                    if kind == _EVENT and events > 0:
                        events -= 1
                        found.unlinked.extend(_event(pid, int(number)))
                    elif kind in _KINDS and (ref := _object(f"{proc}/{name}/fdinfo/{number}", *_KINDS[kind])):
                        found.held[ref].add(pid)
        except OSError as refusal:
            found.unread += refusal.errno in (errno.EACCES, errno.EPERM)
        if left <= 0 or events <= 0:
            found.cut = True
        if left <= 0:
            break
    return found


def _read(directory: int, number: str) -> str:
    try:
        return os.readlink(number, dir_fd=directory)
    except OSError:  # closed meanwhile
        return ""


def _object(fdinfo: str, kind: model.ObjectKind, key: bytes) -> model.ObjectRef | None:
    with contextlib.suppress(OSError), sys.held(os.open(fdinfo, os.O_RDONLY | os.O_CLOEXEC)) as fd:
        for line in os.read(fd, 4096).splitlines():
            if line.startswith(key):
                return kind, int(line[len(key) :])
    return None


def _event(pid: int, number: int) -> list[model.Unlinked]:
    """The program that is on a process's perf event by PERF_EVENT_IOC_SET_BPF (BPF_TASK_FD_QUERY; Linux 4.18)."""
    name = ctypes.create_string_buffer(256)
    attr = ctypes.create_string_buffer(abi.ATTR_TASK_FD_QUERY.size)
    abi.ATTR_TASK_FD_QUERY.pack_into(attr, 0, pid, number, 0, len(name), ctypes.addressof(name), 0, 0, 0, 0)
    try:
        sys.bpf(abi.TASK_FD_QUERY, attr)
    except OSError:
        return []  # an event without program, or of a kind that is not told
    program, kind, offset = abi.ATTR_TASK_FD_QUERY.unpack_from(attr)[5:8]
    if not program:
        return []
    word = _EVENTS[kind] if kind < len(_EVENTS) else "perf event"
    where = name.value.decode(errors="replace") + (f"+{offset:#x}" if offset else "")
    return [model.Unlinked(program=model.ProgramId(program), place=f"{word} {where}".strip(), pid=pid)]
