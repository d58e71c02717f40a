"""Kernel settings below /proc/sys that a cgroup's processes read and write (Linux 5.2; links 5.7)."""

from __future__ import annotations

from skep.hooks import cgroup

BPF_PROG_TYPE_CGROUP_SYSCTL = 23
BPF_CGROUP_SYSCTL = 18

HOOK = cgroup.hook_of(
    "cgroup_sysctl",
    prog_type=BPF_PROG_TYPE_CGROUP_SYSCTL,
    sections=("cgroup/sysctl",),
    attach_type=BPF_CGROUP_SYSCTL,
    first="5.7",
    doc="Runs when a cgroup's processes read or write a setting below /proc/sys, and may refuse it.",
)
