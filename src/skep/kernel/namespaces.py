"""Network namespaces by the words that people use: a path, a name of ``ip netns``, or a process.

A namespace named by a process is kept as "pid:123@4026532345": the process, and the number of its namespace. That stays
meaningful when the process is gone, as long as anybody else is in the namespace, and is never taken for another
process's that got the same pid.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
from typing import Final

from skep import errors

NAMED: Final = "/run/netns"
"""Where ``ip netns`` keeps them."""
_OF_PROCESS: Final = re.compile(r"/proc/([1-9][0-9]{0,9})/ns/net")
_PROCESS: Final = re.compile(r"pid:([1-9][0-9]{0,9})(?:@([0-9]{1,20}))?")


def meant(words: str) -> str:
    """The namespace that a caller means, as it is stored: a path, or "pid:N@INODE", also for a path of a process.

    ``NotFound`` with near misses of names; ``InvalidRequest``. Whether a path leads to one is seen by who enters it.
    """
    if told := _OF_PROCESS.fullmatch(words):
        return _of_process(f"pid:{told[1]}")
    if "/" in words:
        return words
    if words.startswith("pid:"):
        return _of_process(words)
    path = f"{NAMED}/{words}"
    if words in ("", ".", "..") or not os.path.exists(path):
        raise _no_name(words)
    return path


def path_of(stored: str) -> str:
    """Where a stored namespace can be opened now. ``NotFound``: nobody is in it any more."""
    told = _PROCESS.fullmatch(stored)
    if told is None or told[2] is None:
        return stored
    pid, inode = int(told[1]), int(told[2])
    for pattern in (f"/proc/{pid}/ns/net", f"{NAMED}/*", "/proc/[0-9]*/ns/net"):
        for path in glob.iglob(pattern):
            with contextlib.suppress(OSError):
                if os.stat(path).st_ino == inode:
                    return path
    raise errors.NotFound(
        f"the network namespace of process {pid} is gone",
        why=f"neither a process nor a name leads to number {inode}",
        do="see `lsns -t net`",
        errno=errno.ESRCH,
    )


def lost(stored: str) -> str:
    """What is to be told of a namespace that was named by a process; "" while that process is in it."""
    told = _PROCESS.fullmatch(stored)
    if told is None or told[2] is None:
        return ""
    try:
        if os.stat(f"/proc/{told[1]}/ns/net").st_ino == int(told[2]):
            return ""
    except OSError:
        return f"process {told[1]}, by which its network namespace was named, is gone"
    return f"process {told[1]}, by which its network namespace was named, is in another one now"


def _of_process(words: str) -> str:
    told = _PROCESS.fullmatch(words)
    if told is None:
        raise errors.InvalidRequest(f"{words!r} names no process", why="it is pid:NUMBER", do="see `ps -e`")
    if told[2] is not None:
        path_of(words)
        return words
    try:
        inode = os.stat(f"/proc/{told[1]}/ns/net").st_ino
    except FileNotFoundError as missing:
        raise errors.NotFound(f"no process {told[1]}", errno=errno.ESRCH, do="see `ps -e`") from missing
    except OSError as refusal:
        raise errors.Denied(
            f"the network namespace of process {told[1]} cannot be seen",
            why=os.strerror(refusal.errno or 0),
            do="skep needs CAP_SYS_PTRACE",
            errno=refusal.errno or 0,
        ) from refusal
    return f"{words}@{inode}"


def _no_name(words: str) -> errors.NotFound:
    known: list[str] = []
    with contextlib.suppress(OSError):
        known = sorted(os.listdir(NAMED))
    near = errors.near_misses(words, known)
    return errors.NotFound(
        f"no network namespace {words!r}",
        why=f"nothing of that name is in {NAMED}",
        near=near,
        do="" if near else "see `ip netns list`; or give a path, or pid:NUMBER",
        errno=errno.ENOENT,
    )
