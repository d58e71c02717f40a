"""LSM: security decisions of the kernel, which the program may turn into refusals (Linux 5.7)."""

from __future__ import annotations

from skep.hooks import aimed

BPF_PROG_TYPE_LSM = 29
BPF_LSM_MAC = 27

HOOK = aimed.hook_of(
    "lsm",
    bpfman=8,
    prog_type=BPF_PROG_TYPE_LSM,
    sections=("lsm",),
    attach_type=BPF_LSM_MAC,
    config=("DEBUG_INFO_BTF", "BPF_LSM"),
    first="5.7",
    doc="Runs at a security hook of the kernel and may refuse the operation; the hook is chosen at load.",
)
