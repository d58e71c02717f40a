"""Events in the life of a cgroup's TCP connections (Linux 4.13; links 5.7)."""

from __future__ import annotations

from skep.hooks import cgroup

BPF_PROG_TYPE_SOCK_OPS = 13
BPF_CGROUP_SOCK_OPS = 3

HOOK = cgroup.hook_of(
    "sockops",
    prog_type=BPF_PROG_TYPE_SOCK_OPS,
    sections=("sockops",),
    attach_type=BPF_CGROUP_SOCK_OPS,
    first="5.7",
    doc="Runs at events of a cgroup's TCP connections, such as a handshake's end, and may tune them.",
)
