"""Sk_msg: what the sockets of a map send (Linux 4.17; links 6.10)."""

from __future__ import annotations

from skep.hooks import sockmap

BPF_PROG_TYPE_SK_MSG = 16
BPF_SK_MSG_VERDICT = 7

HOOK = sockmap.hook_of(
    "sk_msg",
    prog_type=BPF_PROG_TYPE_SK_MSG,
    attach_type=BPF_SK_MSG_VERDICT,
    doc="Runs on what the sockets of a map send, and may drop it or hand it to another socket.",
)
