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
    if target.offset:
        _refuse_beyond(target)
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
    if target.offset:
        _refuse_beyond(target)


def functions() -> frozenset[str]:
    """Every function of the kernel and its modules, whether it can be probed or not."""
    return frozenset(_functions())


def matching(pattern: str) -> tuple[str, ...]:
    """Functions that a shell pattern ("vfs_*") matches and that the kernel lets be traced, by name."""
    return tuple(sorted(set(fnmatch.filter(_traceable() or functions(), pattern))))


def no_function(name: str) -> errors.NotFound:
    """The error for a kernel function that is not there, with near misses."""
    alike = near(name)
    return errors.NotFound(
        f"no kernel function {name!r}",
        why="neither the kernel nor a loaded module has it",
        near=alike,
        do="" if alike else f"see {_SYMBOLS}",
        errno=errno.ENOENT,
    )


def near(name: str) -> tuple[str, ...]:
    """Functions whose names look like one, among those that begin alike: comparing all would take seconds."""
    alike = sorted(one for one in functions() if one[:2] == name[:2] and abs(len(one) - len(name)) <= 4)
    return errors.near_misses(name, alike[:_SUGGESTED_FROM])


def size(symbol: str) -> int | None:
    """At most how many bytes a function has: up to what follows it. None where addresses are hidden, or for the last.

    The kernel keeps no sizes; of several functions of one name the largest is told.
    """
    starts: list[tuple[str, int]] = []
    following: dict[str, list[int]] = {}
    with open(_SYMBOLS, encoding="ascii", errors="replace") as file:
        for line in file:
            address, kind, name, *module = line.split()
            if kind in "tTwW":
                where = module[0] if module else ""
                following.setdefault(where, []).append(int(address, 16))
                if name == symbol:
                    starts.append((where, int(address, 16)))
    sizes = []
    for where, start in starts:
        after = [one for one in following[where] if one > start]
        if not start or not after:
            return None
        sizes.append(min(after) - start)
    return max(sizes, default=None)


def _refuse_beyond(target: request.KprobeTarget) -> None:
    """The kernel would probe whatever comes after the function, or say EILSEQ."""
    room = size(target.symbol)
    if room is not None and target.offset >= room:
        raise errors.InvalidRequest(
            f"cannot probe the kernel function {target}",
            why=f"it has at most {room} ({room:#x}) bytes",
            do="give the offset of an instruction inside it",
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
