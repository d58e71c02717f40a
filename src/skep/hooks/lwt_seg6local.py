"""Lwt_seg6local: programs of lightweight tunnels, run by a segment-routing action (Linux 4.18)."""

from __future__ import annotations

from skep.hooks import unattached

BPF_PROG_TYPE_LWT_SEG6LOCAL = 19

HOOK = unattached.hook_of(
    "lwt_seg6local",
    prog_type=BPF_PROG_TYPE_LWT_SEG6LOCAL,
    why="they belong to a segment-routing action: attach one with 'ip route add … encap seg6local action End.BPF'",
    config=("IPV6_SEG6_BPF",),
    first="4.18",
    doc="Runs on packets that a segment-routing action hands to it.",
)
