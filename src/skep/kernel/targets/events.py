"""Perf events: tracepoints, uprobes and kprobes. A program is attached to an event, which the link then holds."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final, TypeVar

from skep import errors
from skep.hooks import request
from skep.kernel import abi, bpffs, kprobe, perf, refused, sys
from skep.kernel.targets.place import Made, Place

T = TypeVar("T")


def on_event(event: int, what: str, program: int, candidate: request.LinkRequest) -> Made:
    """A link of ``program`` to an event, whose descriptor is closed."""
    with sys.held(event):
        cookie = candidate.options.value if isinstance(candidate.options, request.Cookie) else 0
        try:
            tail = abi.TAIL_PERF_EVENT.pack(cookie)
            return sys.link_create(program, event, candidate.attach_type, candidate.flags, tail), None
        except OSError as refusal:
            raise _perf_refused(what, refusal) from refusal


def _place(
    check: Callable[[T], object],
    open_: Callable[[T], int],
    what: Callable[[T], str],
    expand: Callable[[T], tuple[request.Target, ...]] | None = None,
) -> Place[T]:
    def create(pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: T) -> Made:
        return on_event(open_(target), what(target), program, candidate)

    return Place(check=lambda target: (check(target), None)[1], create=create, expand=expand)


def _perf_refused(what: str, refusal: OSError) -> errors.SkepError:
    code = refusal.errno or 0
    if code == errno.EINVAL:
        return errors.Rejected(
            f"cannot attach to {what}",
            why=f"{refused.explain(code)}: the program does not fit it (it reads beyond the event's fields, sleeps "
            "where it may not), or this kernel has no perf links (Linux 5.15)",
            errno=code,
            do="attach it to a tracepoint that has these fields, or change the program",
        )
    if code == errno.EEXIST:
        return errors.AlreadyExists(
            f"cannot attach to {what}",
            why="this program is there already",
            do="load it once more to attach it twice",
            errno=code,
        )
    if code == errno.E2BIG:
        return errors.Exhausted(
            f"cannot attach to {what}", why="64 programs are there already", errno=code, do="detach some"
        )
    return refused.general(f"cannot attach to {what}", refusal, feature="perf event links", first="5.15")


TRACEPOINT: Final = _place(perf.tracepoint_id, perf.open_tracepoint, lambda target: f"tracepoint {target}")
UPROBE: Final = _place(
    perf.check_uprobe, perf.open_uprobe, lambda target: f"{target.symbol or hex(target.offset)} in {target.path}"
)
COUNTER: Final = _place(
    perf.check_counter, perf.open_counter, lambda target: f"perf event {target}", perf.on_each_processor
)
KPROBE: Final = _place(kprobe.check, kprobe.open_event, lambda target: f"kernel function {target}")
