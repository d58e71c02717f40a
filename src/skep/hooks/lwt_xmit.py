"""Lwt_xmit: programs of lightweight tunnels, on a route's transmission (Linux 4.10)."""

from __future__ import annotations

from skep.hooks import runs, unattached

BPF_PROG_TYPE_LWT_XMIT = 12

HOOK = unattached.hook_of(
    "lwt_xmit",
    prog_type=BPF_PROG_TYPE_LWT_XMIT,
    runs=runs.LWT,
    why="they belong to a route's tunnel: attach one with 'ip route add … encap bpf'",
    config=("LWTUNNEL_BPF",),
    first="4.10",
    doc="Runs on packets of a route with a lightweight tunnel as they are sent, and may redirect them.",
)
