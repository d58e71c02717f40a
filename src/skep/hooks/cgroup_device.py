"""Devices that a cgroup's processes open or make (Linux 4.15; links 5.7)."""

from __future__ import annotations

from skep.hooks import cgroup

BPF_PROG_TYPE_CGROUP_DEVICE = 15
BPF_CGROUP_DEVICE = 6

HOOK = cgroup.hook_of(
    "cgroup_device",
    prog_type=BPF_PROG_TYPE_CGROUP_DEVICE,
    sections=("cgroup/dev",),
    attach_type=BPF_CGROUP_DEVICE,
    first="5.7",
    doc="Runs when a cgroup's processes open or make a device node, and may refuse it.",
)
