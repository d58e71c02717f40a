"""LSM for a cgroup: security decisions about its processes, which the program may turn into refusals (Linux 6.0)."""

from __future__ import annotations

from skep.hooks import cgroup

BPF_PROG_TYPE_LSM = 29
BPF_LSM_CGROUP = 43

HOOK = cgroup.hook_of(
    "lsm_cgroup",
    prog_type=BPF_PROG_TYPE_LSM,
    sections=("lsm_cgroup",),
    attach_type=BPF_LSM_CGROUP,
    aimed=True,
    config=("CGROUP_BPF", "BPF_LSM", "DEBUG_INFO_BTF"),
    first="6.0",
    doc="Runs at a security hook for a cgroup's processes and may refuse the operation; the hook is chosen at load.",
)
