"""Kernel functions as perf events (kprobes), and what they are called."""

from __future__ import annotations

import ctypes
import errno
import fnmatch
from collections.abc import Iterator
from typing import Final

from skep import errors
from skep.hooks import request
from skep.kernel import perf, refused, sys

_SYMBOLS: Final = "/proc/kallsyms"
_SUGGESTED_FROM: Final = 5_000  # names that are compared for near misses


def open_event(target: request.KprobeTarget) -> int:
    """An event of the kprobe PMU (Linux 4.17). ``Unsupported`` where the kernel has none."""
    kind = perf.pmu_type("kprobe")
    config = perf.retprobe_bit("kprobe") if target.retprobe else 0
    name = ctypes.create_string_buffer(target.symbol.encode())
    attr = perf.attr_of(kind, config, config1=ctypes.addressof(name), config2=target.offset)
    try:
        return sys.perf_event_open(attr, -1, 0)
    except OSError as refusal:
        what = f"cannot probe the kernel function {target}"
        if refusal.errno == errno.ENOENT:
            raise no_function(target.symbol) from refusal
        if refusal.errno in (errno.EINVAL, errno.EILSEQ, errno.EADDRNOTAVAIL):
            raise errors.Rejected(
                what,
                why=f"{refused.explain(refusal.errno)}: the kernel takes no probe there (it is marked notrace, several "
                "functions have the name, or the offset is inside an instruction)",
                do="probe another instruction, or the function's start",
                errno=refusal.errno,
            ) from refusal
        raise refused.general(what, refusal) from refusal


def check(target: request.KprobeTarget) -> None:
    """Look for the function without probing it. ``Unsupported``, ``NotFound``."""
    perf.pmu_type("kprobe")
    if target.symbol not in functions():
        raise no_function(target.symbol)


def functions() -> frozenset[str]:
    """Every function of the kernel and its modules, whether it can be probed or not."""
    return frozenset(_functions())


def matching(pattern: str) -> tuple[str, ...]:
    """Functions that a shell pattern ("vfs_*") matches and that the kernel lets be traced, by name."""
    return tuple(sorted(set(fnmatch.filter(_traceable() or functions(), pattern))))


def no_function(name: str) -> errors.NotFound:
    """The error for a kernel function that is not there, with near misses."""
    alike = [one for one in functions() if one[:2] == name[:2] and abs(len(one) - len(name)) <= 4]
    near = errors.near_misses(name, alike[:_SUGGESTED_FROM])
    return errors.NotFound(
        f"no kernel function {name!r}",
        why="neither the kernel nor a loaded module has it",
        near=near,
        do="" if near else f"see {_SYMBOLS}",
        errno=errno.ENOENT,
    )


def _functions() -> Iterator[str]:
    with open(_SYMBOLS, encoding="ascii", errors="replace") as file:
        for line in file:
            _, kind, name = line.split(maxsplit=3)[:3]
            if kind in "tT":
                yield name


def _traceable() -> frozenset[str]:
    """What ftrace can attach to; empty where it does not say (no function tracer, or a lockdown)."""
    try:
        with open(f"{perf.tracefs()}/available_filter_functions", encoding="ascii", errors="replace") as file:
            return frozenset(line.split(maxsplit=1)[0] for line in file)
    except (OSError, errors.Unsupported):
        return frozenset()
