"""Perf events: a clock or a counter of the kernel or the processor, each time it has advanced so far (Linux 4.9).

The kernel opens an event for one process, or for everything on one processor. A link of every processor is therefore
one kernel link for each that is online when it is made; it does not follow processors that come later, or come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import errors, model
from skep.hooks import hook, request, valid

BPF_PROG_TYPE_PERF_EVENT = 7
BPF_PERF_EVENT = 41
PERF_TYPE_HARDWARE = 0
PERF_TYPE_SOFTWARE = 1

EVENTS: Mapping[str, tuple[int, int]] = {
    "cpu-clock": (PERF_TYPE_SOFTWARE, 0),
    "task-clock": (PERF_TYPE_SOFTWARE, 1),
    "page-faults": (PERF_TYPE_SOFTWARE, 2),
    "context-switches": (PERF_TYPE_SOFTWARE, 3),
    "cpu-migrations": (PERF_TYPE_SOFTWARE, 4),
    "minor-faults": (PERF_TYPE_SOFTWARE, 5),
    "major-faults": (PERF_TYPE_SOFTWARE, 6),
    "alignment-faults": (PERF_TYPE_SOFTWARE, 7),
    "emulation-faults": (PERF_TYPE_SOFTWARE, 8),
    "cpu-cycles": (PERF_TYPE_HARDWARE, 0),
    "instructions": (PERF_TYPE_HARDWARE, 1),
    "cache-references": (PERF_TYPE_HARDWARE, 2),
    "cache-misses": (PERF_TYPE_HARDWARE, 3),
    "branch-instructions": (PERF_TYPE_HARDWARE, 4),
    "branch-misses": (PERF_TYPE_HARDWARE, 5),
}
"""Name -> ``enum perf_type_id``, ``enum perf_sw_ids`` or ``enum perf_hw_id`` (linux/perf_event.h)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PerfEventAttachment:
    """One program on one event of one process, of one processor, or of every processor (neither ``pid`` nor ``cpu``).

    ``period``: runs after so many counts (nanoseconds for clocks). ``frequency``: runs about so many times a second.
    Both hold for each processor by itself.
    """

    event: str
    period: int | None = None
    frequency: int | None = None
    pid: int | None = None
    cpu: int | None = None

    def __post_init__(self) -> None:
        valid.choice("the event", self.event, tuple(EVENTS))
        valid.pid("pid", self.pid)
        if (self.period is None) == (self.frequency is None):
            raise errors.InvalidRequest(
                "a perf event has a period or a frequency",
                why="one of them, and not both, says when the program runs",
                do="give one of them",
            )
        for what, value in (("the period", self.period), ("the frequency", self.frequency)):
            if value is not None and valid.natural(what, value, 2**63 - 1) == 0:
                raise errors.InvalidRequest(f"{what} is 0", why="the program would never run", do="give 1 or more")
        if self.cpu is not None:
            valid.natural("the processor", self.cpu, 2**16 - 1)


def _target(attachment: PerfEventAttachment) -> request.PerfEventTarget:
    kind, config = EVENTS[attachment.event]
    return request.PerfEventTarget(
        name=attachment.event,
        type=kind,
        config=config,
        period=attachment.period,
        frequency=attachment.frequency,
        pid=attachment.pid,
        cpu=attachment.cpu,
    )


def _everywhere(attachment: PerfEventAttachment) -> request.PerfEventTarget | None:
    return _target(attachment) if attachment.pid is None and attachment.cpu is None else None


def _requests(attachment: PerfEventAttachment, placing: hook.Placing) -> request.Requests:
    if _everywhere(attachment) is None:
        return (_request(_target(attachment)),)
    return request.Several(
        spots=tuple(
            request.Spot(label=f"cpu {one.cpu}", candidates=(_request(one),))
            for one in placing.found
            if isinstance(one, request.PerfEventTarget)
        )
    )


def _request(target: request.PerfEventTarget) -> request.LinkRequest:
    return request.LinkRequest(target=target, attach_type=BPF_PERF_EVENT, label="perf event")


def parse_cpu(text: str) -> int | None:
    """A processor's number, or "all"."""
    return None if text == "all" else valid.parse_int(text)


def _build(values: Mapping[str, Any]) -> PerfEventAttachment:  # Any: see Hook.build
    period, frequency = values.get("period"), values.get("frequency")
    if period is None and frequency is None:
        frequency = 99  # beside the beat of anything that happens a hundred times a second
    return PerfEventAttachment(
        event=values["event"], period=period, frequency=frequency, pid=values.get("pid"), cpu=values.get("cpu")
    )


def _summary(attachment: PerfEventAttachment) -> str:
    text = attachment.event
    text += f" every {attachment.period}" if attachment.period else f" {attachment.frequency} Hz"
    if attachment.pid is not None:
        text += f" pid {attachment.pid}"
    if attachment.cpu is not None:
        text += f" cpu {attachment.cpu}"
    return f"{text} every cpu" if _everywhere(attachment) else text


HOOK = hook.Hook(
    name=model.HookName("perf_event"),
    prog_type=BPF_PROG_TYPE_PERF_EVENT,
    sections=("perf_event",),
    family=(model.HookName("perf_event"),),
    attachment=PerfEventAttachment,
    build=_build,
    requests=_requests,
    expands=_everywhere,
    follows=True,
    summary=_summary,
    expected_attach_type=0,
    config=("BPF_EVENTS",),
    first="5.15",
    doc="Runs when a clock or counter of a process, a processor or every processor has advanced by a period.",
    options=(
        hook.Option(
            field="event",
            metavar="EVENT",
            help="Event, such as cpu-clock, page-faults or cpu-cycles.",
            parse=valid.parse_text,
            required=True,
            example="cpu-clock",
        ),
        hook.Option(
            field="period",
            flags=("--period",),
            metavar="COUNT",
            help="Run each time the event has counted so far; nanoseconds for clocks.",
            parse=valid.parse_int,
            example="1000000",
        ),
        hook.Option(
            field="frequency",
            flags=("--frequency",),
            metavar="HERTZ",
            help="Run about so many times a second, instead of a period (default: 99).",
            parse=valid.parse_int,
        ),
        hook.Option(
            field="pid",
            flags=("--pid",),
            metavar="PID",
            help="The process, on whatever processor it runs.",
            parse=valid.parse_int,
            example="1",
        ),
        hook.Option(
            field="cpu",
            flags=("--cpu",),
            metavar="CPU",
            help="The processor, or all (default); with --pid: that process while it runs there.",
            parse=parse_cpu,
            example="0",
        ),
    ),
)
