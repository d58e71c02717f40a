"""Fmod_ret: before a kernel function that allows error injection; what it returns replaces the call (Linux 5.7)."""

from __future__ import annotations

from skep.hooks import aimed

BPF_MODIFY_RETURN = 26

HOOK = aimed.hook_of(
    "fmod_ret",
    sections=("fmod_ret",),
    attach_type=BPF_MODIFY_RETURN,
    config=("DEBUG_INFO_BTF", "FUNCTION_TRACER", "DYNAMIC_FTRACE_WITH_DIRECT_CALLS"),
    first="5.7",
    doc="Runs before a kernel function and may answer in its place; the function is chosen at load.",
)
