"""Many functions by one link: kprobe.multi and uprobe.multi."""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import os
from typing import Final

from skep import errors
from skep.hooks import request
from skep.kernel import abi, bpffs, kprobe, refused, sys, uprobe
from skep.kernel.targets.place import Made, Place

_MOST: Final = 1 << 20
"""MAX_KPROBE_MULTI_CNT and MAX_UPROBE_MULTI_CNT, kernel/trace/bpf_trace.c."""


def _functions(target: request.KprobeMultiTarget) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for pattern in target.patterns:
        if not any(letter in pattern for letter in "*?["):
            found[pattern] = None
            continue
        matching = kprobe.matching(pattern)
        if not matching:
            near = kprobe.near(pattern.strip("*?"))
            raise errors.NotFound(
                f"no kernel function matches {pattern!r}",
                why="neither the kernel nor a loaded module has one that can be traced",
                near=near,
                do="" if near else "see available_filter_functions below tracefs",
                errno=errno.ENOENT,
            )
        found.update(dict.fromkeys(matching))
    return tuple(found)


def _check_functions(target: request.KprobeMultiTarget) -> None:
    _count_functions(target)


def _count_functions(target: request.KprobeMultiTarget) -> tuple[request.KprobeMultiTarget, ...]:
    """The target with how many functions it means."""
    known, found = kprobe.functions(), _functions(target)
    for name in found:
        if name not in known:
            raise kprobe.no_function(name)
    _refuse_too_many(str(target), len(found))
    return (dataclasses.replace(target, matched=len(found)),)


def _on_functions(
    pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: request.KprobeMultiTarget
) -> Made:
    names = [ctypes.create_string_buffer(name.encode()) for name in _functions(target)]
    table = (ctypes.c_uint64 * len(names))(*(ctypes.addressof(name) for name in names))
    tail = abi.TAIL_KPROBE_MULTI.pack(candidate.flags, len(names), ctypes.addressof(table), 0, 0)
    try:
        return sys.link_create(program, 0, candidate.attach_type, 0, tail), None
    except OSError as refusal:
        what = f"cannot attach to {target}"
        if refusal.errno in (errno.ESRCH, errno.ENOENT, errno.EINVAL):
            known = kprobe.functions()
            for name in names:
                if (text := name.value.decode()) not in known:
                    raise kprobe.no_function(text) from refusal
        raise refused.general(what, refusal, feature="kprobe.multi links", first="5.18") from refusal


def _check_places(target: request.UprobeMultiTarget) -> None:
    os.close(uprobe.resolve_all(target)[0].fd)


def _count_places(target: request.UprobeMultiTarget) -> tuple[request.UprobeMultiTarget, ...]:
    """The target with how many places it means."""
    place, found = uprobe.resolve_all(target)
    os.close(place.fd)
    _refuse_too_many(str(target), len(found))
    return (dataclasses.replace(target, matched=len(found)),)


def _refuse_too_many(what: str, number: int) -> None:
    if number > _MOST:
        raise errors.Exhausted(
            f"cannot attach to {what}",
            why=f"{number} places match, and the kernel takes {_MOST} for one link",
            do="use narrower patterns",
            errno=errno.E2BIG,
        )


def _on_places(
    pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: request.UprobeMultiTarget
) -> Made:
    place, found = uprobe.resolve_all(target)
    with sys.held(place.fd):
        offsets = (ctypes.c_uint64 * len(found))(*found)
        path = ctypes.create_string_buffer(os.fsencode(place.path))
        tail = abi.TAIL_UPROBE_MULTI.pack(
            ctypes.addressof(path), ctypes.addressof(offsets), 0, 0, len(found), candidate.flags, target.pid or 0
        )
        try:
            return sys.link_create(program, 0, candidate.attach_type, 0, tail), None
        except OSError as refusal:
            what = f"cannot probe {target}"
            if refusal.errno == errno.ESRCH and target.pid is not None:
                raise errors.NotFound(
                    what, why=f"no process {target.pid}", do="see `ps`", errno=errno.ESRCH
                ) from refusal
            raise refused.general(what, refusal, feature="uprobe.multi links", first="6.6") from refusal


KPROBES: Final = Place(check=_check_functions, create=_on_functions, expand=_count_functions)
UPROBES: Final = Place(check=_check_places, create=_on_places, expand=_count_places)
