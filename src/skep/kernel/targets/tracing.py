"""Tracing links without a perf event: raw tracepoints, and targets fixed at load (fentry, LSM hooks …)."""

from __future__ import annotations

import errno
from typing import Final

from skep import errors
from skep.hooks import request
from skep.kernel import bpffs, perf, refused, sys
from skep.kernel.targets.place import Made, Place


def _check_loaded(target: request.LoadedTarget) -> None:
    """The program could not have been loaded without its target."""


def _create_loaded(
    pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: request.LoadedTarget
) -> Made:
    try:
        return sys.raw_tracepoint_open(program), None
    except OSError as refusal:
        raise _refused(f"cannot attach to {target}", candidate, refusal) from refusal


def _check_raw(target: request.RawTracepointTarget) -> None:
    """The kernel has no list of raw tracepoints; tracefs shows nearly all, under the names of their events."""
    if target.name not in perf.events():
        raise _no_tracepoint(target.name)


def _create_raw(
    pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: request.RawTracepointTarget
) -> Made:
    try:
        return sys.raw_tracepoint_open(program, target.name.encode()), None
    except OSError as refusal:
        if refusal.errno == errno.ENOENT:
            raise _no_tracepoint(target.name) from refusal
        raise _refused(f"cannot attach to the tracepoint {target}", candidate, refusal) from refusal


def _no_tracepoint(name: str) -> errors.NotFound:
    near = errors.near_misses(name, perf.events())
    do = "" if near else "see the events below tracefs; if it belongs to a module, load that first (modprobe)"
    return errors.NotFound(f"no tracepoint {name!r}", near=near, do=do, errno=errno.ENOENT)


def _refused(what: str, candidate: request.LinkRequest, refusal: OSError) -> errors.SkepError:
    code = refusal.errno or 0
    match code:
        case errno.EBUSY if candidate.label == "freplace":
            return errors.Conflict(
                what, why="another program has taken its place already", do="detach that first", errno=code
            )
        case errno.EBUSY | errno.EEXIST:
            return errors.AlreadyExists(
                what, why="this program is there already", do="load it once more to attach it twice", errno=code
            )
        case errno.E2BIG:
            return errors.Exhausted(what, why="38 programs are there already", do="detach one", errno=code)
    return refused.general(what, refusal, feature=candidate.label, first="5.5")


LOADED: Final = Place(check=_check_loaded, create=_create_loaded)
RAW: Final = Place(check=_check_raw, create=_create_raw)
