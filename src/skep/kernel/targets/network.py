"""Network namespaces as a whole: sk_lookup and flow_dissector."""

from __future__ import annotations

import errno
import os
from typing import Final

from skep import errors
from skep.hooks import request
from skep.kernel import bpffs, netns, refused, sys
from skep.kernel.targets.place import Made, Place

_HERE: Final = "/proc/thread-self/ns/net"


def _check(target: request.NetnsTarget) -> None:
    netns.inside(target.path, lambda: None)


def _create(pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: request.NetnsTarget) -> Made:
    def attach() -> Made:
        with sys.held(os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)) as fd:
            return sys.link_create(program, fd, candidate.attach_type, candidate.flags), None

    try:
        return netns.inside(target.path, attach)
    except OSError as refusal:
        code = refusal.errno or 0
        what = f"cannot attach to {target}"
        match code:
            case errno.E2BIG | errno.EEXIST:
                raise errors.Conflict(
                    what,
                    why="it has its flow dissector already, or 64 programs"
                    if code == errno.E2BIG
                    else "another program was attached there without a link",
                    do="detach that first",
                    errno=code,
                ) from refusal
        raise refused.general(what, refusal, feature=f"{candidate.label} links", first="5.8") from refusal


PLACE: Final = Place(check=_check, create=_create)
