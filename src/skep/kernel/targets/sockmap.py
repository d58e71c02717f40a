"""Maps of sockets (SOCKMAP, SOCKHASH), found by a pin."""

from __future__ import annotations

import errno
import os
from typing import Final

from skep import errors
from skep.hooks import request
from skep.kernel import abi, bpffs, observe, refused, sys
from skep.kernel.targets.place import Made, NextPlease, Place

_SOCKETS: Final = (15, 18)  # BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_SOCKHASH; linux/bpf.h


def opened(pin: str) -> int:
    """A descriptor of the map of sockets at a pin. NotFound, InvalidRequest."""
    try:
        fd = sys.obj_get(pin)
    except OSError as refusal:
        if refusal.errno == errno.EACCES and not _in_bpffs(pin):
            raise _no_sockets(pin) from refusal  # what BPF_OBJ_GET says of any file of another file system
        raise refused.general(f"no map at {pin}", refusal) from refusal
    try:
        if observe.Maps().read(fd).type in _SOCKETS:
            return fd
    except OSError:
        pass  # not a map at all
    os.close(fd)
    raise _no_sockets(pin)


def _in_bpffs(path: str) -> bool:
    try:
        with sys.held(os.open(path, os.O_PATH | os.O_CLOEXEC)) as fd:
            return sys.filesystem_type(fd) == abi.BPF_FS_MAGIC
    except OSError:
        return False


def _no_sockets(pin: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(f"{pin} is not a map of sockets", do="name the pin of a SOCKMAP or SOCKHASH")


def _check(target: request.MapTarget | request.HeldMapTarget) -> None:
    os.close(opened(target.pin))


def _create(pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: request.MapTarget) -> Made:
    with sys.held(opened(target.pin)) as fd:
        try:
            return sys.link_create(program, fd, candidate.attach_type, candidate.flags), None
        except OSError as refusal:
            code = refusal.errno or 0
            what = f"cannot attach to the map {target}"
            if code in (errno.EBUSY, errno.EEXIST):
                raise errors.Conflict(
                    what, why="it has such a program already", do="detach that first", errno=code
                ) from refusal
            if code == errno.EINVAL:
                raise NextPlease(
                    f"{refused.number(code)}: this kernel has no links for maps",
                    errors.Unsupported(
                        what,
                        feature="sockmap links",
                        first="6.10",
                        why=refused.explain(code),
                        errno=code,
                        do="see `skep feature`",
                    ),
                ) from refusal
            raise refused.general(what, refusal, feature="sockmap links", first="6.10") from refusal


def _no_link(pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: request.HeldMapTarget) -> Made:
    raise errors.Broken(f"no link is made at {target}", why="``kernel.held`` attaches there", do="report this as a bug")


PLACE: Final = Place(check=_check, create=_create)
HELD: Final = Place(check=_check, create=_no_link)
