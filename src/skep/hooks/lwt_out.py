"""Lwt_out: programs of lightweight tunnels, on a route's output (Linux 4.10)."""

from __future__ import annotations

from skep.hooks import runs, unattached

BPF_PROG_TYPE_LWT_OUT = 11

HOOK = unattached.hook_of(
    "lwt_out",
    prog_type=BPF_PROG_TYPE_LWT_OUT,
    runs=runs.LWT,
    why="they belong to a route's tunnel: attach one with 'ip route add … encap bpf'",
    config=("LWTUNNEL_BPF",),
    first="4.10",
    doc="Runs on packets that leave by a route with a lightweight tunnel.",
)
