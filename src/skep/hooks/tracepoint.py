"""Tracepoints: the kernel's own marked places, named by group and name (Linux 4.7; links 5.15)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import errors, model
from skep.hooks import hook, request

BPF_PROG_TYPE_TRACEPOINT = 5
BPF_PERF_EVENT = 41
"""``enum bpf_attach_type`` (linux/bpf.h): a link on a perf event."""

_WORD = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class TracepointAttachment:
    """One program on one tracepoint: ``sched/sched_switch`` is group ``sched``, name ``sched_switch``."""

    group: str
    name: str

    def __post_init__(self) -> None:
        # The two become part of a path below tracefs, so nothing but word characters may pass.
        if not _WORD.fullmatch(self.group) or not _WORD.fullmatch(self.name):
            raise _bad(f"{self.group}/{self.name}")


def parse_tracepoint(text: str) -> tuple[str, str]:
    """ "group/name" -> (group, name)."""
    group, slash, name = text.partition("/")
    if not slash or not _WORD.fullmatch(group) or not _WORD.fullmatch(name):
        raise _bad(text)
    return group, name


def requests(attachment: TracepointAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
    """One candidate: a perf event's link."""
    return (
        request.LinkRequest(
            target=request.TracepointTarget(group=attachment.group, name=attachment.name),
            attach_type=BPF_PERF_EVENT,
            label="tracepoint",
        ),
    )


def _bad(text: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(
        f"{text!r} is not a tracepoint's name",
        why="it is written GROUP/NAME, as in sched/sched_switch",
        do="see the directories below /sys/kernel/tracing/events",
    )


def _build(values: Mapping[str, Any]) -> TracepointAttachment:  # Any: see Hook.build
    group, name = values["tracepoint"]
    return TracepointAttachment(group=group, name=name)


def _summary(attachment: TracepointAttachment) -> str:
    return f"{attachment.group}/{attachment.name}"


HOOK = hook.Hook(
    name=model.HookName("tracepoint"),
    bpfman=2,
    prog_type=BPF_PROG_TYPE_TRACEPOINT,
    sections=("tracepoint", "tp"),
    family=(model.HookName("tracepoint"),),
    attachment=TracepointAttachment,
    build=_build,
    requests=requests,
    summary=_summary,
    config=("BPF_EVENTS",),
    first="5.15",
    doc="Runs whenever the kernel passes one of its marked places, such as a context switch.",
    options=(
        hook.Option(
            field="tracepoint",
            metavar="GROUP/NAME",
            help="Tracepoint to attach to.",
            parse=parse_tracepoint,
            required=True,
            example="sched/sched_switch",
        ),
    ),
)
