"""tc: the chain behind the clsact filter sees the frames that come in. Chains themselves: test_tc_chains."""

from __future__ import annotations

from skep import errors
from skep.hooks import tc, tcx
from tests.kernel.type_cases import Case, flowed, near
from tests.kernel.types_rig import Rig


def attachment(rig: Rig) -> tc.TcAttachment:
    """The incoming side of the rig's interface."""
    return tc.TcAttachment(interface=near(rig), direction=tcx.Direction.INGRESS, priority=50)


CASES = {
    "tc": Case(
        program="on_tc", source="tc", hook="tc", attachment=attachment, effect=flowed, twice=errors.AlreadyExists,
    ),
}  # fmt: skip
