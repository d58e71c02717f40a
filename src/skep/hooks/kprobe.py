"""Kprobes: the entry of a kernel function, or any instruction of it (Linux 4.17; links 5.15)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import errors, model
from skep.hooks import hook, request, valid

BPF_PROG_TYPE_KPROBE = 2
BPF_PERF_EVENT = 41


@dataclass(frozen=True, slots=True, kw_only=True)
class KprobeAttachment:
    """One program on one kernel function. ``offset``: bytes from the function's start; a return has none."""

    fn_name: str
    offset: int = 0

    def __post_init__(self) -> None:
        valid.kernel_name("the function", self.fn_name)
        valid.natural("the offset", self.offset, 2**32 - 1)


def requests(
    attachment: KprobeAttachment, placing: hook.Placing, *, retprobe: bool = False
) -> tuple[request.LinkRequest, ...]:
    """One candidate: a perf event's link. InvalidRequest for a return with an offset."""
    if retprobe and attachment.offset:
        raise errors.InvalidRequest(
            "a kretprobe has no offset", why="it runs when the function returns", do="leave the offset out"
        )
    return (
        request.LinkRequest(
            target=request.KprobeTarget(symbol=attachment.fn_name, offset=attachment.offset, retprobe=retprobe),
            attach_type=BPF_PERF_EVENT,
            label="kretprobe" if retprobe else "kprobe",
        ),
    )


def build(values: Mapping[str, Any]) -> KprobeAttachment:  # Any: see Hook.build
    """Parsed options -> attachment; kretprobe shares it."""
    return KprobeAttachment(fn_name=values["fn_name"], offset=values.get("offset") or 0)


def summary(attachment: KprobeAttachment) -> str:
    """ "do_sys_openat2+0x4"."""
    return f"{attachment.fn_name}+{attachment.offset:#x}" if attachment.offset else attachment.fn_name


FUNCTION = hook.Option(field="fn_name", metavar="FUNCTION", parse=valid.parse_text, required=True,
                       help="Kernel function to probe.", example="do_sys_openat2")  # fmt: skip

FAMILY = (model.HookName("kprobe"), model.HookName("kretprobe"))
"""bpfman's API has no value for kretprobe: callers say kprobe and the section decides."""

HOOK = hook.Hook(
    name=model.HookName("kprobe"),
    bpfman=3,
    prog_type=BPF_PROG_TYPE_KPROBE,
    sections=("kprobe",),
    family=FAMILY,
    attachment=KprobeAttachment,
    build=build,
    requests=requests,
    summary=summary,
    config=("BPF_EVENTS", "KPROBE_EVENTS"),
    first="5.15",
    doc="Runs when the kernel reaches a function or an instruction of its own.",
    options=(
        FUNCTION,
        hook.Option(field="offset", flags=("--offset",), metavar="BYTES", parse=valid.parse_int,
                    help="Bytes from the function's start.", example="4"),
    ),
)  # fmt: skip
