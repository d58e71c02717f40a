"""Kretprobes: the return of a kernel function (Linux 4.17; links 5.15). Asked for as a kprobe is."""

from __future__ import annotations

from skep import model
from skep.hooks import hook, kprobe, request


def requests(attachment: kprobe.KprobeAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
    """One candidate: a perf event's link on the return."""
    return kprobe.requests(attachment, placing, retprobe=True)


HOOK = hook.Hook(
    name=model.HookName("kretprobe"),
    bpfman=3,
    prog_type=kprobe.BPF_PROG_TYPE_KPROBE,
    sections=("kretprobe",),
    family=kprobe.FAMILY,
    attachment=kprobe.KprobeAttachment,
    build=kprobe.build,
    requests=requests,
    summary=kprobe.summary,
    config=("BPF_EVENTS", "KPROBE_EVENTS"),
    first="5.15",
    doc="Runs when a kernel function returns.",
    options=(kprobe.FUNCTION,),
)
