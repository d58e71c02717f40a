"""What a program can do by its type alone, whatever its code says: a verdict drops a packet without any helper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from skep.model.capability import Capability as C

_PACKETS: Final = frozenset({C.SEE_PACKETS, C.DECIDE_PACKETS})
_MEMORY: Final = frozenset({C.READ_KERNEL_MEMORY})
"""The verifier lets these follow typed pointers through the kernel's memory (BTF), without a helper."""
_NONE: Final[frozenset[C]] = frozenset()
_SOCKETS: Final = frozenset({C.CHANGE_SOCKETS})
_REFUSE: Final = frozenset({C.REFUSE_OPERATIONS})

BY_TYPE: Final[Mapping[str, frozenset[C]]] = {
    "xdp": _PACKETS | {C.REDIRECT_PACKETS},  # XDP_TX needs no helper
    "tc": _PACKETS,
    "tcx": _PACKETS,
    "netkit": _PACKETS,
    "tracepoint": _NONE,
    "uprobe": _NONE,
    "uretprobe": _NONE,
    "uprobe_multi": _NONE,
    "uprobe_session": _NONE,
    "usdt": _NONE,
    "kprobe": _NONE,
    "kretprobe": _NONE,
    "kprobe_multi": _NONE,
    "kprobe_session": _NONE,
    "fentry": _MEMORY,
    "fexit": _MEMORY,
    "fmod_ret": _MEMORY | {C.OVERRIDE_RETURN_VALUES, C.REFUSE_OPERATIONS},
    "lsm": _MEMORY | _REFUSE,
    "lsm_cgroup": _MEMORY | _REFUSE,
    "raw_tracepoint": _MEMORY,
    "tp_btf": _MEMORY,
    "perf_event": _NONE,
    "iter": _MEMORY | {C.REPORT},
    "cgroup_skb": _PACKETS,
    "cgroup_sock": _SOCKETS | _REFUSE,
    "cgroup_sock_addr": _SOCKETS | _REFUSE,
    "cgroup_sockopt": _SOCKETS | _REFUSE,
    "cgroup_sysctl": _REFUSE,
    "cgroup_device": _REFUSE,
    "sockops": _SOCKETS,
    "netfilter": _PACKETS | _MEMORY,
    "sk_lookup": _SOCKETS | {C.DECIDE_PACKETS},
    "sk_reuseport": _SOCKETS | _PACKETS,
    "socket_filter": _PACKETS,
    "flow_dissector": frozenset({C.SEE_PACKETS}),
    "sk_msg": _PACKETS,
    "sk_skb": _PACKETS,
    "lwt_in": _PACKETS,
    "lwt_out": _PACKETS,
    "lwt_xmit": _PACKETS | {C.REDIRECT_PACKETS},
    "lwt_seg6local": _PACKETS | {C.REWRITE_PACKETS},
    "lirc_mode2": _NONE,
    "syscall": frozenset({C.CALL_BPF}),
    "struct_ops": _MEMORY | {C.REPLACE_KERNEL_FUNCTIONS},
    "freplace": frozenset({C.REPLACE_KERNEL_FUNCTIONS}),
}
"""Type -> what it can do; a test asks for a row of every type in ``hooks.HOOKS``."""

UNKNOWN: Final = frozenset({C.REPLACE_KERNEL_FUNCTIONS}) | _MEMORY | _PACKETS | _SOCKETS | _REFUSE
"""For a type that this table lacks: the worst."""
