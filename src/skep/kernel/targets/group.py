"""Control groups (version 2): links by the directory, in an order that newer kernels let one choose."""

from __future__ import annotations

import errno
import os
from typing import Final

from skep import errors
from skep.hooks import request
from skep.kernel import abi, bpffs, refused, sys, tcx
from skep.kernel.targets.place import Made, Place

_SEE: Final = "see `findmnt -t cgroup2` and the directories below"


def open_(path: str) -> int:
    """The directory of a cgroup. ``NotFound``; ``InvalidRequest`` for a directory that is none of version 2."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as refusal:
        if refusal.errno == errno.ENOTDIR:
            raise _no_cgroup(path, "it is not a directory") from refusal
        raise refused.general(f"no cgroup at {path}", refusal, do=_SEE) from refusal
    if sys.filesystem_type(fd) != abi.CGROUP2_SUPER_MAGIC:
        os.close(fd)
        raise _no_cgroup(path, "the directory is not in a cgroup2 file system")
    return fd


def _no_cgroup(path: str, why: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(f"{path} is not a cgroup", why=why, do=_SEE)


def _check(target: request.CgroupTarget) -> None:
    os.close(open_(target.path))


def _create(pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: request.CgroupTarget) -> Made:
    with sys.held(open_(target.path)) as fd:
        try:
            return tcx.create(pins, program, fd, candidate), None
        except OSError as refusal:
            raise _refused(candidate, target, refusal) from refusal


def _refused(candidate: request.LinkRequest, target: request.CgroupTarget, refusal: OSError) -> errors.SkepError:
    code = refusal.errno or 0
    what = f"cannot attach to the cgroup {target}"
    match code:
        case errno.EINVAL | errno.E2BIG if candidate.options is not None:
            return errors.Unsupported(
                what,
                feature="order among a cgroup's programs",
                first="6.16",
                why=refused.explain(code),
                do="leave the order out: the program then runs last",
                errno=code,
            )
        case errno.E2BIG:
            return errors.Exhausted(what, why="64 programs are there already", do="detach one", errno=code)
        case errno.EPERM:
            return errors.Denied(
                what,
                why=f"{refused.explain(code)}: a program of a cgroup above allows no others below it, or skep lacks "
                "CAP_BPF or CAP_NET_ADMIN",
                do="see `bpftool cgroup tree`",
                errno=code,
            )
    return refused.general(what, refusal, feature=f"{candidate.label} links", first="5.7")


PLACE: Final = Place(check=_check, create=_create)
