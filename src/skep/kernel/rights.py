"""Keeping only the capabilities that are needed: for a process that somebody starts with all of them.

Sources: capabilities(7), prctl(2), capset(2).
"""

from __future__ import annotations

import ctypes
import os

from skep import errors
from skep.kernel import sys

_PR_CAPBSET_DROP = 24  # linux/prctl.h
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITIES = 64  # more than any kernel has; 41 in Linux 6.18


def keep(capabilities: frozenset[int]) -> None:
    """Give up every capability (CAP_…) but these, for good and for every thread that this one starts. Denied."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    try:
        for capability in range(_CAPABILITIES):
            if capability not in capabilities:
                prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # EINVAL beyond the last one
        prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
        if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        sys.keep_capabilities(sum(1 << one for one in capabilities))
    except OSError as error:
        raise errors.Denied(
            "the capabilities that are not needed cannot be given up",
            why=error.strerror or str(error),
            do="start it as root, with at least those that it needs",
            errno=error.errno or 0,
        ) from error
