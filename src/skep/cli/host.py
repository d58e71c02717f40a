"""The two facts about this machine that documents need; read once per run."""

from __future__ import annotations

import functools
import time

from skep.cli.document import kernel


@functools.cache
def here() -> kernel.Host:
    """When this machine booted, and whether the kernel counts runs."""
    return kernel.Host(booted_at=time.time() - time.clock_gettime(time.CLOCK_BOOTTIME), statistics=_statistics())


def _statistics() -> bool:
    try:
        with open("/proc/sys/kernel/bpf_stats_enabled", encoding="ascii") as stream:
            return stream.read().strip() != "0"
    except OSError:
        return False
