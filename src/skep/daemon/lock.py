"""Who owns an instance of skep: the flock(2) on its lock file, held by the daemon or by one direct command.

The lock goes with the process, however that ends. The file's one line ("daemon 4711") only tells others whom they meet.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from typing import Literal

from skep import errors

Owner = Literal["daemon", "direct"]
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.25


@contextlib.contextmanager
def held(path: str, owner: Owner, timeout: float) -> Iterator[None]:
    """Own the instance whose lock file is ``path``.

    Busy at once when a daemon owns it, and after ``timeout`` seconds (0: never) when a direct command does.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise errors.Denied(
            f"cannot open the lock file {path}",
            why=error.strerror or str(error),
            do="run as root",
            errno=error.errno or 0,
        ) from error
    try:
        _wait(fd, path, timeout)
        _write(fd, f"{owner} {os.getpid()}\n")
        try:
            yield
        finally:
            _write(fd, "")
    finally:
        os.close(fd)


def _wait(fd: int, path: str, timeout: float) -> None:
    began, pause = time.monotonic(), _FIRST_PAUSE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pass
        holder, _, pid = os.pread(fd, 64, 0).decode(errors="replace").strip().partition(" ")
        if holder == "daemon":
            raise errors.Busy(
                f"a daemon owns {os.path.dirname(path)}",
                why=f"process {pid} holds {path}",
                do="talk to it, or stop it first; another --runtime-dir makes another instance",
            )
        waited = time.monotonic() - began
        if timeout and waited >= timeout:
            raise errors.Busy(
                f"another command owns {os.path.dirname(path)}",
                why=f"process {pid or 'unknown'} held {path} for {waited:.1f} s",
                do="try again, or wait longer with --lock-timeout",
            )
        time.sleep(min(pause, max(timeout - waited, 0.0)) if timeout else pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _write(fd: int, text: str) -> None:
    with contextlib.suppress(OSError):  # a full disk: the line is only for people
        os.ftruncate(fd, 0)
        os.pwrite(fd, text.encode(), 0)
