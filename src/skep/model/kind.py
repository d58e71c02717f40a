"""Names of the kernel's numbered types, spelt as bpfman's JSON spells them (cilium/ebpf's names in lower case)."""

from __future__ import annotations

PROGRAM = (
    "unspecifiedprogram",
    "socketfilter",
    "kprobe",
    "schedcls",
    "schedact",
    "tracepoint",
    "xdp",
    "perfevent",
    "cgroupskb",
    "cgroupsock",
    "lwtin",
    "lwtout",
    "lwtxmit",
    "sockops",
    "skskb",
    "cgroupdevice",
    "skmsg",
    "rawtracepoint",
    "cgroupsockaddr",
    "lwtseg6local",
    "lircmode2",
    "skreuseport",
    "flowdissector",
    "cgroupsysctl",
    "rawtracepointwritable",
    "cgroupsockopt",
    "tracing",
    "structops",
    "extension",
    "lsm",
    "sklookup",
    "syscall",
    "netfilter",
)
"""``enum bpf_prog_type`` (linux/bpf.h), by number."""

MAP = (
    "unspecifiedmap",
    "hash",
    "array",
    "programarray",
    "perfeventarray",
    "percpuhash",
    "percpuarray",
    "stacktrace",
    "cgrouparray",
    "lruhash",
    "lrucpuhash",
    "lpmtrie",
    "arrayofmaps",
    "hashofmaps",
    "devmap",
    "sockmap",
    "cpumap",
    "xskmap",
    "sockhash",
    "cgroupstorage",
    "reuseportsockarray",
    "percpucgroupstorage",
    "queue",
    "stack",
    "skstorage",
    "devmaphash",
    "structopsmap",
    "ringbuf",
    "inodestorage",
    "taskstorage",
    "bloomfilter",
    "userringbuf",
    "cgrplocalstorage",
    "arena",
)
"""``enum bpf_map_type`` (linux/bpf.h), by number."""

LINK = (
    "unspec",
    "raw_tracepoint",
    "tracing",
    "cgroup",
    "iter",
    "netns",
    "xdp",
    "perf_event",
    "kprobe_multi",
    "struct_ops",
    "netfilter",
    "tcx",
    "uprobe_multi",
    "netkit",
    "sockmap",
)
"""``enum bpf_link_type`` (linux/bpf.h), by number."""

ATTACH_TYPE_SHOWN = frozenset({"tracing", "cgroup", "netns", "tcx", "netkit"})
"""Links whose attach type bpfman prints, as a decimal number; "" for others."""


def program(number: int) -> str:
    """The name of a program type; "unknown(99)" for one newer than this table."""
    return PROGRAM[number] if 0 <= number < len(PROGRAM) else f"unknown({number})"


def map(number: int) -> str:
    """The name of a map type."""
    return MAP[number] if 0 <= number < len(MAP) else f"unknown({number})"


def link(number: int) -> str:
    """The name of a link type."""
    return LINK[number] if 0 <= number < len(LINK) else f"unknown({number})"
