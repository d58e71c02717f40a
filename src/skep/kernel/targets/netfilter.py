"""Hooks of the packet filter (netfilter), in the network namespace that the calling thread is in."""

from __future__ import annotations

import errno
from typing import Final

from skep import errors
from skep.hooks import request
from skep.kernel import abi, bpffs, netns, refused, sys
from skep.kernel.targets.place import Made, Place


def _check(target: request.NetfilterTarget) -> None:
    netns.inside(target.netns, lambda: None)


def _create(pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: request.NetfilterTarget) -> Made:
    tail = abi.TAIL_NETFILTER.pack(target.family, target.hook, target.priority, candidate.flags)
    try:
        return netns.inside(target.netns, lambda: (sys.link_create(program, 0, candidate.attach_type, 0, tail), None))
    except OSError as refusal:
        code = refusal.errno or 0
        what = f"cannot attach to {target}"
        if code in (errno.EBUSY, errno.EEXIST):
            raise errors.Conflict(
                what,
                why="another BPF program has this priority there",
                do="choose another priority",
                errno=code,
            ) from refusal
        if code in (errno.EAFNOSUPPORT, errno.EINVAL, errno.ENOENT):
            raise errors.Unsupported(
                what,
                feature="netfilter links",
                first="6.6" if candidate.flags else "6.4",
                why=refused.explain(code),
                do="check that the kernel has this family's netfilter",
                errno=code,
            ) from refusal
        raise refused.general(what, refusal, feature="netfilter links", first="6.4") from refusal


PLACE: Final = Place(check=_check, create=_create)
