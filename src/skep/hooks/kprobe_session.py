"""Kprobe.session: the entry and the return of many kernel functions, by one program and one link (Linux 6.10)."""

from __future__ import annotations

import dataclasses

from skep import model
from skep.hooks import hook, kprobe_multi, request

BPF_TRACE_KPROBE_SESSION = 56


def _requests(attachment: kprobe_multi.KprobeMultiAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
    made = kprobe_multi.HOOK.requests(attachment, placing)
    assert not isinstance(made, request.Several)
    return tuple(
        dataclasses.replace(one, attach_type=BPF_TRACE_KPROBE_SESSION, flags=0, label="kprobe.session") for one in made
    )


HOOK = dataclasses.replace(
    kprobe_multi.HOOK,
    name=model.HookName("kprobe_session"),
    sections=("kprobe.session",),
    family=(model.HookName("kprobe_session"),),
    requests=_requests,
    expected_attach_type=BPF_TRACE_KPROBE_SESSION,
    first="6.10",
    doc="Runs when the kernel reaches any of many functions and, if it answered 0, when it leaves that call.",
)
