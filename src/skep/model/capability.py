"""What a BPF program can do to a host, in words that a policy and a person understand.

Worked out from a program's code and type (package ``capability``), never from what an image says of itself.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from skep.model.ids import HookName


class Risk(enum.Enum):
    """How far the harm of a capability reaches. WATCH: it learns. ACT: it changes what it is attached to. RULE: it
    reaches beyond that, into other processes or the kernel itself."""

    WATCH = "watch"
    ACT = "act"
    RULE = "rule"


class Capability(enum.Enum):
    """One thing that a program can do. Each value is the name in policies and labels."""

    REPORT = "report"
    TRACE_LOG = "trace-log"
    SEE_PACKETS = "see-packets"
    READ_KERNEL_MEMORY = "read-kernel-memory"
    READ_USER_MEMORY = "read-user-memory"
    READ_KERNEL_ADDRESSES = "read-kernel-addresses"
    DECIDE_PACKETS = "decide-packets"
    REWRITE_PACKETS = "rewrite-packets"
    REDIRECT_PACKETS = "redirect-packets"
    CHANGE_SOCKETS = "change-sockets"
    REFUSE_OPERATIONS = "refuse-operations"
    RUN_LATER = "run-later"
    RUN_OTHER_PROGRAMS = "run-other-programs"
    CALL_KERNEL_FUNCTIONS = "call-kernel-functions"
    OVERRIDE_RETURN_VALUES = "override-return-values"
    SEND_SIGNALS = "send-signals"
    WRITE_USER_MEMORY = "write-user-memory"
    CALL_BPF = "call-bpf"
    REPLACE_KERNEL_FUNCTIONS = "replace-kernel-functions"

    @property
    def sentence(self) -> str:
        """What it means, to be read after "can"."""
        return _MEANING[self][1]

    @property
    def risk(self) -> Risk:
        return _MEANING[self][0]


_MEANING: Mapping[Capability, tuple[Risk, str]] = {
    Capability.REPORT: (Risk.WATCH, "send events to user space"),
    Capability.TRACE_LOG: (Risk.WATCH, "write to the kernel's trace log, which every tracer reads"),
    Capability.SEE_PACKETS: (Risk.WATCH, "read packets"),
    Capability.READ_KERNEL_MEMORY: (Risk.WATCH, "read the kernel's memory"),
    Capability.READ_USER_MEMORY: (Risk.WATCH, "read the memory of processes"),
    Capability.READ_KERNEL_ADDRESSES: (Risk.WATCH, "learn where the kernel's code and data lie"),
    Capability.DECIDE_PACKETS: (Risk.ACT, "drop packets or let them pass"),
    Capability.REWRITE_PACKETS: (Risk.ACT, "rewrite packets"),
    Capability.REDIRECT_PACKETS: (Risk.ACT, "send packets elsewhere, or copies of them"),
    Capability.CHANGE_SOCKETS: (Risk.ACT, "choose or change sockets, their addresses and options"),
    Capability.REFUSE_OPERATIONS: (Risk.ACT, "refuse what processes ask of the kernel"),
    Capability.RUN_LATER: (Risk.ACT, "run by itself, from timers"),
    Capability.RUN_OTHER_PROGRAMS: (Risk.ACT, "go on in another program, by tail call"),
    Capability.CALL_KERNEL_FUNCTIONS: (Risk.ACT, "call functions of the kernel (kfuncs)"),
    Capability.OVERRIDE_RETURN_VALUES: (Risk.RULE, "override what kernel functions return"),
    Capability.SEND_SIGNALS: (Risk.RULE, "send signals to processes"),
    Capability.WRITE_USER_MEMORY: (Risk.RULE, "write to the memory of processes"),
    Capability.CALL_BPF: (Risk.RULE, "make bpf(2) system calls itself"),
    Capability.REPLACE_KERNEL_FUNCTIONS: (Risk.RULE, "stand in for functions of the kernel or of other programs"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramCapabilities:
    """One program of an object. ``type`` is "" where its section does not say it and the caller will.

    ``because``: for each capability, what shows it: helpers ("helper probe_read_kernel"), kernel functions
    ("kfunc bpf_task_acquire"), the type ("type lsm"), stores ("store into the packet").
    """

    program: str
    section: str
    type: HookName
    because: Mapping[Capability, tuple[str, ...]]
