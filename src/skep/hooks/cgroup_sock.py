"""Sockets that a cgroup's processes make, bind and release (Linux 4.10; links 5.7)."""

from __future__ import annotations

from skep.hooks import cgroup

BPF_PROG_TYPE_CGROUP_SOCK = 9

HOOK = cgroup.hook_of(
    "cgroup_sock",
    prog_type=BPF_PROG_TYPE_CGROUP_SOCK,
    points={
        "cgroup/sock_create": 2,
        "cgroup/sock": 2,
        "cgroup/post_bind4": 12,
        "cgroup/post_bind6": 13,
        "cgroup/sock_release": 34,
    },
    first="5.7",
    doc="Runs when a cgroup's processes make, bind or release a socket, and may refuse the first two.",
)
