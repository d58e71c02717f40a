"""Hooks of the packet filter (netfilter), in the network namespace that the calling thread is in."""

from __future__ import annotations

import errno
import os
from typing import Final

from skep import errors, model
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


def _lost(target: request.NetfilterTarget) -> model.Loss | None:
    """The link itself keeps its namespace alive (bpf_nf_link_attach in net/netfilter/nf_bpf_link.c takes a reference),
    so it runs on for whoever is still in there when the namespace's name is gone."""
    if target.netns is None or os.path.exists(target.netns):
        return None
    return model.Loss(
        state=model.LinkState.PARTIAL,
        reason=f"{target.netns} was deleted; only this link, or a process in it, keeps the network namespace alive",
    )


PLACE: Final = Place(check=_check, create=_create, lost=_lost)
