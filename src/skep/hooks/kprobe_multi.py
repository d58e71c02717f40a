"""Kprobe.multi: many kernel functions by one link, chosen by pattern (Linux 5.18)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import model
from skep.hooks import hook, request, valid

BPF_PROG_TYPE_KPROBE = 2
BPF_TRACE_KPROBE_MULTI = 42
BPF_F_KPROBE_MULTI_RETURN = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KprobeMultiAttachment:
    """One program on every kernel function that one of the shell patterns matches ("vfs_*")."""

    functions: tuple[str, ...]

    def __post_init__(self) -> None:
        valid.some("a function or a pattern", self.functions)


def _target(attachment: KprobeMultiAttachment) -> request.KprobeMultiTarget:
    return request.KprobeMultiTarget(patterns=attachment.functions)


def _requests(attachment: KprobeMultiAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
    returns = placing.section.removeprefix("?").startswith("kretprobe")
    return (
        request.LinkRequest(
            target=placing.found[0] if placing.found else _target(attachment),
            attach_type=BPF_TRACE_KPROBE_MULTI,
            flags=BPF_F_KPROBE_MULTI_RETURN if returns else 0,
            label="kretprobe.multi" if returns else "kprobe.multi",
        ),
    )


def _build(values: Mapping[str, Any]) -> KprobeMultiAttachment:  # Any: see Hook.build
    return KprobeMultiAttachment(functions=values["functions"])


def _summary(attachment: KprobeMultiAttachment) -> str:
    return ",".join(attachment.functions)


HOOK = hook.Hook(
    name=model.HookName("kprobe_multi"),
    prog_type=BPF_PROG_TYPE_KPROBE,
    sections=("kprobe.multi", "kretprobe.multi"),
    family=(model.HookName("kprobe_multi"),),
    attachment=KprobeMultiAttachment,
    build=_build,
    requests=_requests,
    expands=_target,
    summary=_summary,
    expected_attach_type=BPF_TRACE_KPROBE_MULTI,
    config=("BPF_EVENTS", "FPROBE"),
    first="5.18",
    doc="Runs when the kernel reaches, or leaves, any of many functions.",
    options=(
        hook.Option(
            field="functions",
            metavar="PATTERN,...",
            help="Kernel functions, by name or shell pattern.",
            parse=valid.parse_words,
            required=True,
            example="vfs_read,vfs_w*",
        ),
    ),
)
