"""Reading a file with the rights of the caller who named it, never with the daemon's."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from skep import errors, model
from skep.kernel import abi, netns, refused, sys

_OWN_PROCESS: Final = "direct"
"""``Caller.origin`` of who runs this very process: its rights are the caller's, and it may be unable to change them."""


def read_as(path: str, caller: model.Caller, limit: int) -> bytes:
    """The bytes of the regular file at an absolute path, at most ``limit`` of them.

    The thread that opens it takes on the caller's uid, gid and groups for file access, and drops its capabilities;
    symbolic links are followed as the caller could. Refused without being opened: FIFOs, devices, directories,
    anything in procfs and its magic links, which would lead into the daemon's own process.
    ``NotFound``, ``Denied``, ``InvalidRequest``, ``Exhausted`` (larger than ``limit``).
    """
    if not path.startswith("/") or "\0" in path:
        raise errors.InvalidRequest(
            f"cannot read {path!r}", why="it is not an absolute path", do="name the file by its whole path"
        )

    same = _rights_are_ours(caller)

    def read() -> bytes:
        if not same:
            sys.act_as(caller.uid, caller.gid, caller.groups)
        with sys.held(sys.open_without_magic(path, os.O_PATH)) as place:
            _check(path, place, limit)
            # Opened by O_PATH nothing has happened yet to a FIFO or device; this opens the same inode for reading.
            with sys.held(os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)) as fd:
                return _read(path, fd, limit)

    try:
        return read() if same else netns.elsewhere(read)
    except OSError as refusal:
        raise _explain(path, caller, refusal) from refusal


def _rights_are_ours(caller: model.Caller) -> bool:
    """Whether the caller may do just what this process may, so that no thread has to become somebody else.

    Root with our groups: to act as uid 0 changes nothing, capabilities included (``sys.act_as``).
    """
    if caller.origin == _OWN_PROCESS:
        return True
    ours = caller.uid == os.geteuid() == 0 and caller.gid == os.getegid()
    return ours and frozenset(caller.groups) == frozenset(os.getgroups())


def _check(path: str, place: int, limit: int) -> None:
    status = os.fstat(place)
    if not stat.S_ISREG(status.st_mode):
        raise errors.InvalidRequest(f"cannot read {path}", why="it is not a regular file", do="name an object file")
    if sys.filesystem_type(place) == abi.PROC_SUPER_MAGIC:
        raise errors.InvalidRequest(f"cannot read {path}", why="it is in procfs", do="copy it to a file")
    if status.st_size > limit:
        raise _too_large(path, limit)


def _read(path: str, fd: int, limit: int) -> bytes:
    """The size was checked, but the file may grow meanwhile."""
    data = bytearray()
    while piece := os.read(fd, min(1 << 20, limit + 1 - len(data))):
        data += piece
        if len(data) > limit:
            raise _too_large(path, limit)
    return bytes(data)


def _too_large(path: str, limit: int) -> errors.Exhausted:
    return errors.Exhausted(
        f"{path} is too large",
        why=f"an object may have {limit} bytes",
        do="strip it: llvm-strip -g removes DWARF and keeps BTF",
        errno=errno.EFBIG,
    )


def _explain(path: str, caller: model.Caller, refusal: OSError) -> errors.SkepError:
    code = refusal.errno or 0
    what = f"cannot read {path}"
    if code in (errno.EACCES, errno.EPERM):
        return errors.Denied(
            what, why=f"{refused.explain(code)} for {caller}", do="make it readable for the caller", errno=code
        )
    if code in (errno.ENOENT, errno.ENOTDIR):
        # Near misses would tell what is in the directory.
        return errors.NotFound(
            what, why=refused.explain(code), do="check the path: it is looked up on the daemon's host", errno=code
        )
    if code == errno.ELOOP:
        return errors.InvalidRequest(
            what, why="it is a loop of links, or a link into procfs", errno=code, do="name the file itself"
        )
    return refused.general(what, refusal)
