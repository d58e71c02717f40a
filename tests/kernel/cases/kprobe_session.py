"""Kprobe.session: each call is counted twice, at its entry and at its return."""

from __future__ import annotations

from skep.hooks import kprobe_multi
from tests.kernel.type_cases import MINE, Case, opened
from tests.kernel.types_rig import Rig


def attachment(rig: Rig) -> kprobe_multi.KprobeMultiAttachment:
    """The function that ``opened`` makes the kernel call five times."""
    return kprobe_multi.KprobeMultiAttachment(functions=("do_sys_openat2",))


CASES = {
    "kprobe_session": Case(
        program="on_session", source="kprobe_session", hook="kprobe_session", values=MINE, detail="1 functions",
        attachment=attachment, effect=opened, busy=10,
    ),
    "kprobe_session-entry": Case(
        program="on_session", source="kprobe_session", hook="kprobe_session", values=MINE | {"refuse": 1},
        attachment=attachment, effect=opened, busy=5,
    ),
}  # fmt: skip
