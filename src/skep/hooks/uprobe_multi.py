"""Uprobe.multi: many places of one user-space file by one link (Linux 6.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import errors, model
from skep.hooks import hook, request, valid

BPF_PROG_TYPE_KPROBE = 2
BPF_TRACE_UPROBE_MULTI = 48
BPF_F_UPROBE_MULTI_RETURN = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class UprobeMultiAttachment:
    """One program on many places of a file.

    ``target``, ``pid`` and ``container_pid`` as for a uprobe. ``functions``: names or shell patterns. ``offsets``:
    bytes from the file's start.
    """

    target: str
    functions: tuple[str, ...] = ()
    offsets: tuple[int, ...] = ()
    pid: int | None = None
    container_pid: int | None = None

    def __post_init__(self) -> None:
        valid.text("the target", self.target)
        for name in self.functions:
            valid.text("the function", name)
        for offset in self.offsets:
            valid.natural("the offset", offset, 2**63 - 1)
        valid.pid("pid", self.pid)
        valid.pid("container pid", self.container_pid)
        if not self.functions and not self.offsets:
            raise errors.InvalidRequest("no place in the target is named", do="name functions, or give offsets")


def _target(attachment: UprobeMultiAttachment) -> request.UprobeMultiTarget:
    return request.UprobeMultiTarget(
        path=attachment.target,
        patterns=attachment.functions,
        offsets=attachment.offsets,
        pid=attachment.pid,
        container_pid=attachment.container_pid,
    )


def _requests(attachment: UprobeMultiAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
    returns = placing.section.removeprefix("?").startswith("uretprobe")
    return (
        request.LinkRequest(
            target=placing.found[0] if placing.found else _target(attachment),
            attach_type=BPF_TRACE_UPROBE_MULTI,
            flags=BPF_F_UPROBE_MULTI_RETURN if returns else 0,
            label="uretprobe.multi" if returns else "uprobe.multi",
        ),
    )


def _build(values: Mapping[str, Any]) -> UprobeMultiAttachment:  # Any: see Hook.build
    return UprobeMultiAttachment(
        target=values["target"],
        functions=values.get("functions") or (),
        offsets=values.get("offsets") or (),
        pid=values.get("pid"),
        container_pid=values.get("container_pid"),
    )


def _summary(attachment: UprobeMultiAttachment) -> str:
    text = f"{attachment.target} {','.join((*attachment.functions, *(hex(one) for one in attachment.offsets)))}"
    if attachment.pid is not None:
        text += f" pid {attachment.pid}"
    if attachment.container_pid is not None:
        text += f" container pid {attachment.container_pid}"
    return text


HOOK = hook.Hook(
    name=model.HookName("uprobe_multi"),
    prog_type=BPF_PROG_TYPE_KPROBE,
    sections=("uprobe.multi", "uretprobe.multi"),
    family=(model.HookName("uprobe_multi"),),
    attachment=UprobeMultiAttachment,
    build=_build,
    requests=_requests,
    expands=_target,
    summary=_summary,
    expected_attach_type=BPF_TRACE_UPROBE_MULTI,
    config=("BPF_EVENTS", "UPROBES"),
    first="6.6",
    doc="Runs when a process reaches, or leaves, any of many places of a file.",
    options=(
        hook.Option(
            field="target",
            metavar="TARGET",
            help="Absolute path of a program or library, or a library's name such as libc.",
            parse=valid.parse_text,
            required=True,
            example="libc",
        ),
        hook.Option(
            field="functions",
            flags=("-f", "--functions"),
            metavar="PATTERN,...",
            help="Functions, by name or shell pattern.",
            parse=valid.parse_words,
            example="malloc,free",
        ),
        hook.Option(
            field="offsets",
            flags=("--offsets",),
            metavar="BYTES,...",
            help="Places by their distance from the file's start.",
            parse=valid.parse_ints,
            example="64,0x80",
        ),
        hook.Option(
            field="pid",
            flags=("--pid",),
            metavar="PID",
            help="Only this process (default: all).",
            parse=valid.parse_int,
            example="3",
        ),
        hook.Option(
            field="container_pid",
            flags=("--container-pid",),
            metavar="PID",
            help="Look the target up as this process (a host pid) sees it.",
            parse=valid.parse_int,
            example="4",
        ),
    ),
)
