"""Sk_lookup: which socket of a network namespace gets a new connection or datagram (Linux 5.9)."""

from __future__ import annotations

from skep.hooks import netns, runs

BPF_PROG_TYPE_SK_LOOKUP = 30
BPF_SK_LOOKUP = 36

HOOK = netns.hook_of(
    "sk_lookup",
    prog_type=BPF_PROG_TYPE_SK_LOOKUP,
    sections=("sk_lookup",),
    attach_type=BPF_SK_LOOKUP,
    runs=runs.SK_LOOKUP,
    first="5.9",
    doc="Runs when the kernel looks for the socket of an incoming connection or datagram, and may choose or refuse it.",
)
