"""Waiting until code that ran before is done: an RCU grace period, asked for from user space."""

from __future__ import annotations

import errno
import struct

from skep.kernel import abi, refused, sys


def settle() -> None:
    """Return when every CPU has left BPF code that ran before the call (4 to 16 ms)."""
    try:
        sys.membarrier(abi.MEMBARRIER_CMD_GLOBAL)  # synchronize_rcu(), kernel/sched/membarrier.c
    except OSError as refusal:
        if refusal.errno not in (errno.EINVAL, errno.ENOSYS, errno.EPERM):
            raise refused.general("cannot wait for the kernel to settle", refusal) from refusal
        by_map_update()  # a kernel with nohz_full, or a filter on system calls


def by_map_update() -> None:
    """The same through BPF: an update of a map of maps returns after a grace period.

    maybe_wait_bpf_programs(), kernel/bpf/syscall.c: "bpf: wait for running BPF programs when updating map-in-map",
    Linux 4.20, made for user space that swaps maps.
    """
    try:
        with (
            sys.held(sys.map_create(abi.MAP_TYPE_ARRAY, 4, 4, 1)) as inner,
            sys.held(sys.map_create(abi.MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 1, inner=inner)) as outer,
        ):
            sys.map_update(outer, struct.pack("=I", 0), struct.pack("=I", inner))
    except OSError as refusal:
        raise refused.general("cannot wait for the kernel to settle", refusal) from refusal
