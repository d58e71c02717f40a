"""Uprobe.session: each call is counted twice, at its entry and at its return."""

from __future__ import annotations

import os

from skep.hooks import uprobe_multi
from tests.kernel.type_cases import MINE, Case
from tests.kernel.types_rig import Rig

CALLS = 5


def called(rig: Rig) -> int:
    """Runs of the program while this process calls a function; none, one for each call, or two."""
    before = rig.hits()
    for _ in range(CALLS):
        os.getppid()
    return (rig.hits() - before) // CALLS


def attachment(rig: Rig) -> uprobe_multi.UprobeMultiAttachment:
    """The function that ``called`` calls."""
    return uprobe_multi.UprobeMultiAttachment(target="libc", functions=("getppid",))


CASES = {
    "uprobe_session": Case(
        program="on_session", source="uprobe_session", hook="uprobe_session", values=MINE, detail="1 places",
        attachment=attachment, effect=called, busy=2,
    ),
    "uprobe_session-entry": Case(
        program="on_session", source="uprobe_session", hook="uprobe_session", values=MINE | {"refuse": 1},
        attachment=attachment, effect=called, busy=1,
    ),
}  # fmt: skip
