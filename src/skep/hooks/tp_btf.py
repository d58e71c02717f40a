"""BTF tracepoints: the kernel's marked places with their arguments by type (Linux 5.5)."""

from __future__ import annotations

from skep.hooks import aimed

BPF_TRACE_RAW_TP = 23

HOOK = aimed.hook_of(
    "tp_btf",
    sections=("tp_btf",),
    attach_type=BPF_TRACE_RAW_TP,
    config=("DEBUG_INFO_BTF", "BPF_EVENTS"),
    first="5.5",
    doc="Runs at one of the kernel's marked places, with typed arguments; the place is chosen at load.",
)
