"""Fexit: the return of a kernel function, with its arguments and its result by type (Linux 5.5)."""

from __future__ import annotations

from skep.hooks import aimed

BPF_TRACE_FEXIT = 25

HOOK = aimed.hook_of(
    "fexit",
    bpfman=6,
    sections=("fexit",),
    attach_type=BPF_TRACE_FEXIT,
    config=("DEBUG_INFO_BTF", "FUNCTION_TRACER", "DYNAMIC_FTRACE_WITH_DIRECT_CALLS"),
    first="5.5",
    doc="Runs when the kernel leaves a function, with its result; the function is chosen at load.",
)
