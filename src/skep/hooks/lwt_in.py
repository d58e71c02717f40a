"""Lwt_in: programs of lightweight tunnels, on a route's input (Linux 4.10)."""

from __future__ import annotations

from skep.hooks import runs, unattached

BPF_PROG_TYPE_LWT_IN = 10

HOOK = unattached.hook_of(
    "lwt_in",
    prog_type=BPF_PROG_TYPE_LWT_IN,
    runs=runs.LWT,
    why="they belong to a route's tunnel: attach one with 'ip route add … encap bpf'",
    config=("LWTUNNEL_BPF",),
    first="4.10",
    doc="Runs on packets that come in by a route with a lightweight tunnel.",
)
