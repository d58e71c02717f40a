"""How programs of a type are run on request, without being attached: what they are given, and what their answers mean.

The kernel's side is BPF_PROG_TEST_RUN (net/bpf/test_run.c): which inputs a type takes differs, and most types have no
such run at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MOST_BYTES = 0xFFFF
"""Of a packet and of a context each: a context's limit in the kernel (``bpf_prog_test_run_syscall``)."""
MOST_TIMES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """How one type is run.

    ``least``: bytes that the packet must have, 0 for types that take none. ``needed``: whether nothing can be run
    without a context. ``repeats``: whether the kernel runs it many times and measures. ``verdicts``: signed answer ->
    name; an answer without one is told as a number. ``note``: what a user should know of each run, else "".
    """

    least: int = 0
    needed: bool = False
    repeats: bool = True
    verdicts: Mapping[int, str] = field(default_factory=dict)
    note: str = ""

    def verdict(self, code: int) -> str:
        """The name of an answer; "" for one without."""
        return self.verdicts.get(code, "")


_FRAME = 14
"""ETH_HLEN (linux/if_ether.h): every packet begins with an Ethernet header, also for types that do not see it."""

XDP = Runs(least=_FRAME, verdicts={0: "XDP_ABORTED", 1: "XDP_DROP", 2: "XDP_PASS", 3: "XDP_TX", 4: "XDP_REDIRECT"})
"""``enum xdp_action`` (linux/bpf.h). A redirect is decided and not done."""

TC = Runs(
    least=_FRAME,
    verdicts={
        -1: "TC_ACT_UNSPEC", 0: "TC_ACT_OK", 1: "TC_ACT_RECLASSIFY", 2: "TC_ACT_SHOT", 3: "TC_ACT_PIPE",
        4: "TC_ACT_STOLEN", 5: "TC_ACT_QUEUED", 6: "TC_ACT_REPEAT", 7: "TC_ACT_REDIRECT", 8: "TC_ACT_TRAP",
    },
)  # fmt: skip
"""linux/pkt_cls.h; TCX_NEXT is -1 too. Helpers that send, such as bpf_clone_redirect, do send."""

CGROUP_SKB = Runs(least=_FRAME, verdicts={0: "drop", 1: "pass", 2: "drop, congested", 3: "pass, congested"})
"""``__cgroup_bpf_run_filter_skb``: bit 0 lets the packet pass, bit 1 (egress) tells of congestion."""

SOCKET_FILTER = Runs(least=_FRAME, verdicts={0: "drop"})
"""Any other answer is the number of bytes to keep."""

FLOW_DISSECTOR = Runs(least=_FRAME, verdicts={0: "BPF_OK", 2: "BPF_DROP", 129: "BPF_FLOW_DISSECTOR_CONTINUE"})
"""The data that comes back is ``struct bpf_flow_keys``."""

NETFILTER = Runs(least=_FRAME + 20, verdicts={0: "NF_DROP", 1: "NF_ACCEPT"})
"""linux/netfilter.h; a packet of IPv4, unless the context (``struct nf_hook_state``) says otherwise."""

SK_LOOKUP = Runs(needed=True, verdicts={0: "SK_DROP", 1: "SK_PASS"})
"""The context is ``struct bpf_sk_lookup``, with the socket's cookie in place of the socket."""

LWT = Runs(least=_FRAME, verdicts={0: "BPF_OK", 2: "BPF_DROP", 7: "BPF_REDIRECT", 128: "BPF_LWT_REROUTE"})
"""``enum bpf_ret_code`` (linux/bpf.h)."""

RAW_TRACEPOINT = Runs(repeats=False)
"""The context holds the tracepoint's arguments, 8 bytes each."""

SYSCALL = Runs(repeats=False, note="what it did is real: what it wrote to maps, and the system calls it made")
