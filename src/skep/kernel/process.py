"""Processes: whether one that a link is for is still there, and who one is.

The kernel keeps a link for a process when that process ends, and does not tell.
"""

from __future__ import annotations

import os
from typing import Final

from skep import model
from skep.kernel import groups

_STATE: Final = 0
_START: Final = 19
"""Fields of /proc/PID/stat behind the name, from 0: proc(5) counts them from 3."""


def start(pid: int) -> int:
    """When a process or thread began, in clock ticks since boot; 0 when there is none or it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[_STATE] in (b"Z", b"X") else int(fields[_START])


def lost(pid: int, began: int) -> model.Loss | None:
    """Whether the process that began at ``began`` (0: unknown) is there no more; its number may be another's now."""
    now = start(pid)
    if now and began in (0, now):
        return None
    return model.Loss(state=model.LinkState.DEFUNCT, reason=f"process {pid} has ended")


def described(pid: int) -> model.Process | None:
    """Who a process is; None for one that is gone. What may not be read is left empty."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            comm = file.readline().rstrip("\n")
        uid = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None
    try:
        exe = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        exe = ""  # not ours to see
    return model.Process(pid=pid, comm=comm, exe=exe, uid=uid, group=groups.of(pid))
