"""Ending links so that nothing runs any more when the call returns.

Dropping the last reference does that, but the last reference need not be ours: any process that lists links (bpftool, a
second skep) holds each one for a moment, and then it is *its* close that detaches. So the kernel is told to detach
first where the link type can (XDP, TCX, cgroup, netns …: ``bpf_link_ops.detach``, Linux 5.9), and in all cases the
link is waited for until its id is gone.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from typing import Final

from skep import model
from skep.kernel import abi, bpffs, observe, refused, registration, sys

log = logging.getLogger(__name__)

PATIENCE: Final = 3.0
"""Seconds to wait for somebody else's reference; who holds one for longer wants the link to live (a pin of its own)."""


def detach(pins: bpffs.Bpffs, pin: model.LinkPin) -> None:
    """Detach, unlink the pin, close, and wait until the kernel has forgotten the link. Fine when the pin is missing."""
    fd = pins.get(pin)
    if fd is None:
        return
    with sys.held(fd):
        if registration.is_linkless(fd):
            registration.end(fd)
            pins.unlink(pin)
            return
        link = observe.link(fd)
        try:
            sys.link_detach(fd)
        except OSError as refusal:
            if refusal.errno != errno.EOPNOTSUPP:  # perf events and tracing links end with their last reference
                raise refused.general(f"cannot detach the link at {pin}", refusal) from refusal
        pins.unlink(pin)
    if not _gone(link.id, time.monotonic() + PATIENCE):
        log.warning(
            "link %d is still held by another process or pin; see 'bpftool link show id %d'",
            link.id,
            link.id,
            extra={"link": link.id},
        )


def _gone(link: model.KernelLinkId, deadline: float) -> bool:
    pause = 0.0005
    while True:
        try:
            os.close(sys.fd_by_id(abi.LINK_GET_FD_BY_ID, link))
        except OSError as answer:
            if answer.errno == errno.ENOENT:
                return True
            if answer.errno != errno.EAGAIN:
                raise refused.general(f"cannot look for link {link}", answer) from answer
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
