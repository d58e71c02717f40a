"""Packets of a cgroup's sockets, which the program may drop (Linux 4.10; links 5.7)."""

from __future__ import annotations

from skep.hooks import cgroup, runs

BPF_PROG_TYPE_CGROUP_SKB = 8

HOOK = cgroup.hook_of(
    "cgroup_skb",
    prog_type=BPF_PROG_TYPE_CGROUP_SKB,
    points={"cgroup_skb/ingress": 0, "cgroup_skb/egress": 1},
    runs=runs.CGROUP_SKB,
    first="5.7",
    doc="Runs on every packet that a cgroup's sockets receive or send, and may drop it.",
)
