"""Socket options that a cgroup's processes read and set (Linux 5.3; links 5.7)."""

from __future__ import annotations

from skep.hooks import cgroup

BPF_PROG_TYPE_CGROUP_SOCKOPT = 25

HOOK = cgroup.hook_of(
    "cgroup_sockopt",
    prog_type=BPF_PROG_TYPE_CGROUP_SOCKOPT,
    points={"cgroup/getsockopt": 21, "cgroup/setsockopt": 22},
    first="5.7",
    doc="Runs when a cgroup's processes read or set a socket's options, and may refuse or change them.",
)
