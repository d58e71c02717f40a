"""What a pod of the cleaning DaemonSet does on its node: wait until nobody uses skep's directories, remove them."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from skep import errors, paths
from skep.kube import naming
from skep.kube.clean import cleaner

EVERY: Final = 0.2
"""Seconds between two looks at whether somebody still runs."""
_HOLDING: Final = ("progs", "links", "chains")
"""Of the pins, those by which something runs; a map alone does nothing."""
_SHOWN: Final = 5


def clean(host: str, say: Callable[[str], None]) -> None:
    """Remove every directory of skep's below ``host``, once daemon and CSI driver have ended.

    Conflict, and nothing is removed, if programs are pinned that nobody has unloaded: without their store nobody could
    detach them in order.
    """
    root = Path(host)
    _wait(lambda: not _answers(_at(root, f"{cleaner.PLUGINS}/{naming.DRIVER}/csi.sock")), "the CSI driver", say)
    lock = _at(root, paths.layout().lock)
    descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC) if lock.exists() else None
    try:
        if descriptor is not None:
            _wait(lambda: _locked(descriptor), "the daemon", say)
        if left := sorted(_running(_at(root, paths.DEFAULT_PINS))):
            shown = ", ".join(left[:_SHOWN]) + (f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else "")
            raise errors.Conflict(
                "the node is not clean",
                why=f"no application has loaded what is pinned there: {shown}",
                do="deploy skep again and unload it with `skep unload`, or remove the pins on the node",
            )
        for each in cleaner.DIRECTORIES:
            if _removed(_at(root, each)):
                say(f"removed {each}")
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _at(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _wait(done: Callable[[], bool], who: str, say: Callable[[str], None]) -> None:
    if not done():
        say(f"{who} still runs; waiting for it to end")
        while not done():
            time.sleep(EVERY)


def _answers(path: Path) -> bool:
    """Whether somebody listens on a socket."""
    with socket.socket(socket.AF_UNIX) as one:
        try:
            one.connect(str(path))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR):
                return False
            raise
    return True


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _running(pins: Path) -> Iterator[str]:
    """What is pinned that runs, by its path below the pins. Symbolic links are notes."""
    for name in _HOLDING:
        for path in (pins / name).rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield str(path.relative_to(pins))


def _removed(path: Path) -> bool:
    """Remove a directory with everything in it; False if there is none."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise errors.Conflict(
            f"{error.filename or path} cannot be removed", why=str(error.strerror), do="see what uses it on the node"
        ) from error
    return True
