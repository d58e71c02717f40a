"""Uprobes: the entry of a function, or any instruction, of a user-space file (Linux 4.17; links 5.15)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import errors, model
from skep.hooks import hook, request, valid

BPF_PROG_TYPE_KPROBE = 2
"""Uprobes are kprobe programs to the kernel."""
BPF_PERF_EVENT = 41


@dataclass(frozen=True, slots=True, kw_only=True)
class UprobeAttachment:
    """One program on one place of a file.

    ``target``: an absolute path or a library's bare name ("libc"). ``fn_name``: a symbol, or None for an offset from
    the file's start. ``offset``: bytes from the symbol. ``pid``: only this process. ``container_pid``: host pid of a
    process in whose mount namespace the target is looked up.
    """

    target: str
    fn_name: str | None = None
    offset: int = 0
    pid: int | None = None
    container_pid: int | None = None

    def __post_init__(self) -> None:
        valid.text("the target", self.target)
        valid.natural("the offset", self.offset, 2**64 - 1)
        valid.pid("pid", self.pid)
        valid.pid("container pid", self.container_pid)
        if not self.fn_name and not self.offset:
            raise errors.InvalidRequest(
                "a uprobe needs a place in its target", do="name a function, or give an offset other than 0"
            )


def requests(
    attachment: UprobeAttachment, placing: hook.Placing, *, retprobe: bool = False
) -> tuple[request.LinkRequest, ...]:
    """One candidate: a perf event's link."""
    return (
        request.LinkRequest(
            target=request.UprobeTarget(
                path=attachment.target,
                symbol=attachment.fn_name or "",
                offset=attachment.offset,
                retprobe=retprobe,
                pid=attachment.pid,
                container_pid=attachment.container_pid,
            ),
            attach_type=BPF_PERF_EVENT,
            label="uretprobe" if retprobe else "uprobe",
        ),
    )


def build(values: Mapping[str, Any]) -> UprobeAttachment:  # Any: see Hook.build
    """Parsed options -> attachment; uretprobe shares it."""
    return UprobeAttachment(
        target=values["target"],
        fn_name=values.get("fn_name"),
        offset=values.get("offset") or 0,
        pid=values.get("pid"),
        container_pid=values.get("container_pid"),
    )


def summary(attachment: UprobeAttachment) -> str:
    """ "/usr/bin/x main+0x4 pid 12"."""
    place = attachment.fn_name or ""
    if attachment.offset:
        place += f"+{attachment.offset:#x}" if place else f"{attachment.offset:#x}"
    text = f"{attachment.target} {place}"
    if attachment.pid is not None:
        text += f" pid {attachment.pid}"
    if attachment.container_pid is not None:
        text += f" container pid {attachment.container_pid}"
    return text


OPTIONS = (
    hook.Option(
        field="target",
        metavar="TARGET",
        parse=valid.parse_text,
        required=True,
        help="Absolute path of a program or library, or a library's name such as libc.",
        example="libc",
    ),
    hook.Option(
        field="fn_name",
        flags=("-f", "--fn-name"),
        metavar="FUNCTION",
        parse=valid.parse_text,
        help="Function to probe.",
        example="malloc",
    ),
    hook.Option(
        field="offset",
        flags=("--offset",),
        metavar="BYTES",
        parse=valid.parse_int,
        help="Bytes from the function, or from the file's start without one.",
        example="16",
    ),
    hook.Option(
        field="pid",
        flags=("--pid",),
        metavar="PID",
        parse=valid.parse_int,
        help="Only this process (default: all).",
        example="3",
    ),
    hook.Option(
        field="container_pid",
        flags=("--container-pid",),
        metavar="PID",
        parse=valid.parse_int,
        help="Look the target up as this process (a host pid) sees it.",
        example="4",
    ),
)

FAMILY = (model.HookName("uprobe"), model.HookName("uretprobe"))
"""bpfman's API has no value for uretprobe: callers say uprobe and the section decides."""

HOOK = hook.Hook(
    name=model.HookName("uprobe"),
    bpfman=4,
    prog_type=BPF_PROG_TYPE_KPROBE,
    sections=("uprobe",),
    family=FAMILY,
    attachment=UprobeAttachment,
    build=build,
    requests=requests,
    summary=summary,
    config=("BPF_EVENTS", "UPROBE_EVENTS"),
    first="5.15",
    doc="Runs when a process reaches a function or an instruction of a file.",
    options=OPTIONS,
)
