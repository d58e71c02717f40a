"""Syscall: programs that make BPF system calls when they are run, once for each request (Linux 5.14)."""

from __future__ import annotations

from skep.hooks import runs, unattached

BPF_PROG_TYPE_SYSCALL = 31

HOOK = unattached.hook_of(
    "syscall",
    prog_type=BPF_PROG_TYPE_SYSCALL,
    runs=runs.SYSCALL,
    why="the kernel has no place for them: they run when somebody asks",
    always_sleepable=True,
    first="5.14",
    doc="Runs once when somebody asks, and may make BPF system calls; what it does is real.",
)
