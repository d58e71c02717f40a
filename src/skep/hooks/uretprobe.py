"""Uretprobes: the return of a function of a user-space file (Linux 4.17; links 5.15). Asked for as a uprobe is."""

from __future__ import annotations

from skep import model
from skep.hooks import hook, request, uprobe


def requests(attachment: uprobe.UprobeAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
    """One candidate: a perf event's link on the return."""
    return uprobe.requests(attachment, placing, retprobe=True)


HOOK = hook.Hook(
    name=model.HookName("uretprobe"),
    bpfman=4,
    prog_type=uprobe.BPF_PROG_TYPE_KPROBE,
    sections=("uretprobe",),
    family=uprobe.FAMILY,
    attachment=uprobe.UprobeAttachment,
    build=uprobe.build,
    requests=requests,
    summary=uprobe.summary,
    config=("BPF_EVENTS", "UPROBE_EVENTS"),
    first="5.15",
    doc="Runs when a function of a file returns.",
    options=uprobe.OPTIONS,
)
