"""Raw tracepoints: the kernel's marked places with their arguments as they are, without tracefs (Linux 4.17)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import model
from skep.hooks import hook, request, runs, valid

BPF_PROG_TYPE_RAW_TRACEPOINT = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTracepointAttachment:
    """One program on one tracepoint, named without its group: ``sys_enter``, ``sched_switch``."""

    name: str

    def __post_init__(self) -> None:
        valid.kernel_name("the tracepoint", self.name)


def _requests(attachment: RawTracepointAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
    return (
        request.LinkRequest(
            target=request.RawTracepointTarget(name=attachment.name), attach_type=0, label="raw tracepoint"
        ),
    )


def _build(values: Mapping[str, Any]) -> RawTracepointAttachment:  # Any: see Hook.build
    return RawTracepointAttachment(name=values["name"])


def _summary(attachment: RawTracepointAttachment) -> str:
    return attachment.name


HOOK = hook.Hook(
    name=model.HookName("raw_tracepoint"),
    prog_type=BPF_PROG_TYPE_RAW_TRACEPOINT,
    sections=("raw_tp", "raw_tracepoint"),
    family=(model.HookName("raw_tracepoint"), model.HookName("raw_tp")),
    attachment=RawTracepointAttachment,
    build=_build,
    requests=_requests,
    summary=_summary,
    config=("BPF_EVENTS",),
    runs=runs.RAW_TRACEPOINT,
    first="4.17",
    doc="Runs at one of the kernel's marked places, with the arguments as the kernel has them.",
    options=(
        hook.Option(
            field="name",
            metavar="NAME",
            help="Tracepoint to attach to, without its group.",
            parse=valid.parse_text,
            required=True,
            example="sched_switch",
        ),
    ),
)
