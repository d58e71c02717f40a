"""Fentry: the entry of a kernel function, with its arguments by type (Linux 5.5)."""

from __future__ import annotations

from skep.hooks import aimed

BPF_TRACE_FENTRY = 24

HOOK = aimed.hook_of(
    "fentry",
    bpfman=5,
    sections=("fentry",),
    attach_type=BPF_TRACE_FENTRY,
    config=("DEBUG_INFO_BTF", "FUNCTION_TRACER", "DYNAMIC_FTRACE_WITH_DIRECT_CALLS"),
    first="5.5",
    doc="Runs when the kernel enters a function, with its arguments; the function is chosen at load.",
)
