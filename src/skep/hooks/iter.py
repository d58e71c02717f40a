"""Iterators: the program runs for every object of a kind (every task, every map) when its link is read (Linux 5.8)."""

from __future__ import annotations

from skep.hooks import aimed, request

BPF_TRACE_ITER = 28


HOOK = aimed.hook_of(
    "iter",
    sections=("iter",),
    attach_type=BPF_TRACE_ITER,
    first="5.8",
    doc="Runs for every object of one kind, such as tasks, when its pinned link is read; the kind is chosen at load.",
    target=request.IteratorTarget,
)
