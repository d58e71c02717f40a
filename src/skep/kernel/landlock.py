"""Giving up the sight of parts of the file system, which needs no right: Landlock, for the agent of a node.

Its pod shares the host's process ids with the daemon, since Kubernetes gives them to a whole pod, so its /proc shows
every process of the node. Source: landlock(7), linux/landlock.h; Linux 5.13.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Collection
from typing import Final

from skep.kernel import sys

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE
"""What a rule about a file that is no directory may say."""
_HANDLED: Final = _FILES | _READ_DIR
_RULE_PATH_BENEATH: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38  # linux/prctl.h
_ABSENT: Final = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
"""Not built, not enabled at boot, or forbidden by a container runtime's filter of system calls."""

_create = sys.syscall("landlock_create_ruleset", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint)
_add = sys.syscall("landlock_add_rule", ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)
_restrict = sys.syscall("landlock_restrict_self", ctypes.c_int, ctypes.c_uint)


def hide(directories: Collection[str]) -> bool:
    """From now on this thread, and every thread and process that it starts, sees nothing of some directories of ``/``
    ("proc"), but for what ``/proc/self`` is now. False where the kernel cannot; it cannot be undone.

    Files that are open stay open. Of the other directories nothing changes.
    """
    try:
        ruleset = _create(struct.pack("=Q", _HANDLED), 8, 0)
    except OSError as refusal:
        if refusal.errno in _ABSENT:
            return False
        raise
    with sys.held(ruleset):
        for name in os.listdir("/"):
            if name not in directories:
                _allow(ruleset, f"/{name}")
        if "proc" in directories:
            _allow(ruleset, "/proc/self")
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
        _restrict(ruleset, 0)
    return True


def _allow(ruleset: int, path: str) -> None:
    """Everything below a path, as far as the process's rights go; a path that has gone needs no rule."""
    with contextlib.suppress(FileNotFoundError), sys.held(os.open(path, os.O_PATH | os.O_CLOEXEC)) as place:
        rights = _HANDLED if os.path.isdir(path) else _FILES
        # struct landlock_path_beneath_attr, which is packed
        _add(ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
