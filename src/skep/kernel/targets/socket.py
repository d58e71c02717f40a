"""Sockets of processes: no link is made there (see ``kernel.sockets``); here they are only looked for."""

from __future__ import annotations

import os
from typing import Final

from skep import errors
from skep.hooks import request, socket
from skep.kernel import bpffs, proc_sockets, sockets
from skep.kernel.targets.place import Made, Place


def _check(target: request.SocketTarget) -> None:
    if target.socket is None:
        several = target.option is request.SocketOption.REUSEPORT
        sockets.find(socket.parse(target.name), None, several=several)
        return
    fd = proc_sockets.again(target.socket)
    if fd is None:
        raise errors.NotFound(f"{target} is closed", do="see `ss -lntup`")
    os.close(fd)


def _create(pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: request.SocketTarget) -> Made:
    raise errors.Broken(f"{target} has no link", why="a program is attached to it otherwise", do="report this as a bug")


PLACE: Final = Place(check=_check, create=_create)
