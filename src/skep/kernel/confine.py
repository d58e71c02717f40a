"""Giving up every right before a stranger's bytes are touched: for the process that fetches and unpacks images.

Sources: capabilities(7), prctl(2), setresuid(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from typing import Final

from skep import errors

NOBODY: Final = 65534
"""The overflow user and group, who own nothing (Documentation/admin-guide/sysctl/fs.rst)."""
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_NAME = 15
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITIES = 64  # more than any kernel has; 41 in Linux 6.18


def drop(name: str, parent: int, *, memory: int, file_bytes: int, seconds: int) -> None:
    """Become nobody for good, called ``name``; die with ``parent``.

    ``memory``: bytes of address space; ``file_bytes``: of any one file written; ``seconds``: of CPU. Without root there
    are no rights to give up, and only new ones are ruled out. Unavailable when a right could not be given up.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    try:
        if os.geteuid() == 0:
            for capability in range(_CAPABILITIES):
                prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # EINVAL beyond the last one
            prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)  # takes the capabilities too, and makes us undumpable
        if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
        for limit, most in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_AS, memory),
            (resource.RLIMIT_FSIZE, file_bytes),
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_NOFILE, 64),
        ):
            resource.setrlimit(limit, (most, most))
    except OSError as error:
        raise errors.Unavailable(
            "the process that fetches images cannot give up its rights",
            why=str(error),
            do="see whether the service's settings forbid setuid",
            errno=error.errno or 0,
        ) from error
    # Only now: a change of user clears it.
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C is for the daemon, which closes the socket
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # EFBIG says it better
    with contextlib.suppress(OSError):
        os.chdir("/")
    if os.getppid() != parent:  # it died before the lines above
        os._exit(1)
