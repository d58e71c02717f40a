"""Addresses that a cgroup's processes bind, connect and send to, or ask for (Linux 4.17; links 5.7)."""

from __future__ import annotations

from skep.hooks import cgroup

BPF_PROG_TYPE_CGROUP_SOCK_ADDR = 18

HOOK = cgroup.hook_of(
    "cgroup_sock_addr",
    prog_type=BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
    points={
        "cgroup/bind4": 8,
        "cgroup/bind6": 9,
        "cgroup/connect4": 10,
        "cgroup/connect6": 11,
        "cgroup/sendmsg4": 14,
        "cgroup/sendmsg6": 15,
        "cgroup/recvmsg4": 19,
        "cgroup/recvmsg6": 20,
        "cgroup/getpeername4": 29,
        "cgroup/getpeername6": 30,
        "cgroup/getsockname4": 31,
        "cgroup/getsockname6": 32,
    },
    first="5.7",
    doc="Runs when a cgroup's processes bind, connect or send to an address; may refuse it or change it.",
)
