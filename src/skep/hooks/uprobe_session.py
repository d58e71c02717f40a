"""Uprobe.session: the entry and the return of many functions of one file, by one program and one link (Linux 6.13)."""

from __future__ import annotations

import dataclasses

from skep import model
from skep.hooks import hook, request, uprobe_multi

BPF_TRACE_UPROBE_SESSION = 57


def _requests(attachment: uprobe_multi.UprobeMultiAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
    made = uprobe_multi.HOOK.requests(attachment, placing)
    assert not isinstance(made, request.Several)
    return tuple(
        dataclasses.replace(one, attach_type=BPF_TRACE_UPROBE_SESSION, flags=0, label="uprobe.session") for one in made
    )


HOOK = dataclasses.replace(
    uprobe_multi.HOOK,
    name=model.HookName("uprobe_session"),
    sections=("uprobe.session",),
    family=(model.HookName("uprobe_session"),),
    requests=_requests,
    expected_attach_type=BPF_TRACE_UPROBE_SESSION,
    first="6.13",
    doc="Runs when a process reaches any of many functions of a file and, if it answered 0, when it leaves that call.",
)
