"""The public socket: made here, or handed over by systemd; and the notes that systemd gets back.

Sources: unix(7), sd_listen_fds(3), sd_notify(3).
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import socket
import stat
from collections.abc import MutableMapping

from skep import errors

_FIRST_FD = 3
"""SD_LISTEN_FDS_START."""
_BACKLOG = 128
_MAX_PATH = 107
"""``sun_path`` less its final NUL."""


def activated(environment: MutableMapping[str, str]) -> socket.socket | None:
    """The listening Unix socket that systemd passed to this process, None when it passed none.

    The variables are removed, so that children do not take them for theirs. InvalidRequest for anything else than
    exactly one listening Unix stream socket.
    """
    pid = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count:
        return None
    if count != "1":
        raise errors.InvalidRequest(
            f"systemd passed {count} sockets", why="skep takes one", do="leave one ListenStream= in skep.socket"
        )
    os.set_inheritable(_FIRST_FD, False)
    passed = socket.socket(fileno=_FIRST_FD)
    listening = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    if passed.family != socket.AF_UNIX or passed.type != socket.SOCK_STREAM or not listening:
        raise errors.InvalidRequest(
            "the socket that systemd passed is not a listening Unix stream socket",
            do="give skep.socket a ListenStream= with a path",
        )
    return passed


def listen(path: str, *, mode: int = 0o660, group: str = "") -> socket.socket:
    """A new socket that listens at ``path``, with permission bits ``mode`` and, if named, ``group``.

    Replaces the socket file of a daemon that is gone. Conflict when a live one listens there or when another kind of
    file is in the way; InvalidRequest for a path that is too long or a group that does not exist.
    """
    if len(os.fsencode(path)) > _MAX_PATH:
        raise errors.InvalidRequest(
            f"the socket's path is too long: {path}", why=f"Unix sockets take {_MAX_PATH} bytes", do="choose a shorter"
        )
    gid = _gid(group) if group else -1
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        os.makedirs(os.path.dirname(path) or ".", mode=0o755, exist_ok=True)
        _clear(path)
        made.bind(path)
        # Nobody can connect before listen(), so the wider bits that bind() left are never in force.
        os.chmod(path, mode)
        if gid >= 0:
            os.chown(path, -1, gid)
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        kind = errors.Denied if isinstance(error, PermissionError) else errors.Conflict
        raise kind(
            f"cannot listen on {path}",
            why=error.strerror or str(error),
            do="choose another --socket-path",
            errno=error.errno or 0,
        ) from error
    except errors.SkepError:
        made.close()
        raise
    return made


def remove(path: str, inode: tuple[int, int]) -> None:
    """Remove the socket file, unless somebody has put another one there."""
    with contextlib.suppress(FileNotFoundError):
        if identity(path) == inode:
            os.unlink(path)


def identity(path: str) -> tuple[int, int]:
    """Device and inode number of a file."""
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def notify(environment: MutableMapping[str, str], state: str) -> None:
    """Tell systemd ("READY=1", "STOPPING=1"); nothing happens outside of a unit with Type=notify."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as note, contextlib.suppress(OSError):
        note.connect("\0" + address[1:] if address.startswith("@") else address)
        note.send(state.encode())


def _clear(path: str) -> None:
    """Remove a dead daemon's socket file."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise errors.Conflict(
            f"cannot listen on {path}", why="something that is not a socket is there", do="remove it or choose another"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as probe:
        result = probe.connect_ex(path)
    if result in (0, errno.EAGAIN, errno.EINPROGRESS):
        raise errors.Conflict(
            f"cannot listen on {path}",
            why="another daemon is listening there",
            do="stop it, or choose another --socket-path",
            errno=errno.EADDRINUSE,
        )
    if result == errno.ECONNREFUSED:
        os.unlink(path)
    elif result != errno.ENOENT:
        raise OSError(result, os.strerror(result))


def _gid(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        known = tuple(entry.gr_name for entry in grp.getgrall())
        raise errors.NotFound(f"no group {name!r} to own the socket", near=errors.near_misses(name, known)) from None
