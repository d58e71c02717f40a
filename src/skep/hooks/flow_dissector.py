"""Flow dissector: how a network namespace reads packets' headers to tell flows apart (Linux 4.20; links 5.8)."""

from __future__ import annotations

from skep.hooks import netns, runs

BPF_PROG_TYPE_FLOW_DISSECTOR = 22
BPF_FLOW_DISSECTOR = 17

HOOK = netns.hook_of(
    "flow_dissector",
    prog_type=BPF_PROG_TYPE_FLOW_DISSECTOR,
    sections=("flow_dissector",),
    attach_type=BPF_FLOW_DISSECTOR,
    runs=runs.FLOW_DISSECTOR,
    first="5.8",
    doc="Runs in place of the kernel's own reading of packet headers; one for each network namespace.",
)
