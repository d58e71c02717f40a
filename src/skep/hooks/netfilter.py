"""Netfilter: packets at the hooks that nftables and iptables use (Linux 6.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import errors, model
from skep.hooks import hook, request, runs, valid
from skep.hooks.netns import NETNS

BPF_PROG_TYPE_NETFILTER = 32
BPF_NETFILTER = 45
FAMILIES: Mapping[str, int] = {"ipv4": 2, "ipv6": 10}
"""``NFPROTO_IPV4`` and ``NFPROTO_IPV6`` (linux/netfilter.h); the kernel takes no others."""
HOOKS: Mapping[str, int] = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
"""``enum nf_inet_hooks`` (linux/netfilter.h)."""
BPF_F_NETFILTER_IP_DEFRAG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NetfilterAttachment:
    """One program on one hook of a network namespace.

    ``priority``: among all that uses the hook, conntrack (-200) and filters (0) included; smaller runs earlier, and two
    BPF programs may not have the same. ``defragment``: see whole packets only. ``netns``: a path, a name or
    "pid:123", None for the daemon's own namespace.
    """

    family: str
    hook: str
    priority: int
    defragment: bool = False
    netns: str | None = None

    def __post_init__(self) -> None:
        valid.choice("the family", self.family, tuple(FAMILIES))
        valid.choice("the hook", self.hook, tuple(HOOKS))
        if not -(2**31) < self.priority < 2**31 - 1:
            raise errors.InvalidRequest(
                f"priority {self.priority} is out of range",
                why="the kernel keeps the least and the greatest 32-bit number for itself",
                do="choose one between them, such as 0",
            )
        if self.defragment and self.priority <= -400:
            raise errors.InvalidRequest(
                "packets are not whole yet at this priority",
                why="they are defragmented at -400",
                do="choose a greater priority or leave defragmenting out",
            )
        valid.netns(self.netns)


def _requests(attachment: NetfilterAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
    return (
        request.LinkRequest(
            target=request.NetfilterTarget(
                name=f"{attachment.family} {attachment.hook}",
                family=FAMILIES[attachment.family],
                hook=HOOKS[attachment.hook],
                priority=attachment.priority,
                netns=attachment.netns,
            ),
            attach_type=BPF_NETFILTER,
            flags=BPF_F_NETFILTER_IP_DEFRAG if attachment.defragment else 0,
            label="netfilter",
        ),
    )


def _build(values: Mapping[str, Any]) -> NetfilterAttachment:  # Any: see Hook.build
    return NetfilterAttachment(
        family=values["family"],
        hook=values["hook"],
        priority=values["priority"],
        defragment=values.get("defragment") or False,
        netns=values.get("netns"),
    )


def _summary(attachment: NetfilterAttachment) -> str:
    text = f"{attachment.family} {attachment.hook} priority {attachment.priority}"
    return f"{text} in {attachment.netns}" if attachment.netns else text


HOOK = hook.Hook(
    name=model.HookName("netfilter"),
    prog_type=BPF_PROG_TYPE_NETFILTER,
    sections=("netfilter",),
    family=(model.HookName("netfilter"),),
    attachment=NetfilterAttachment,
    build=_build,
    requests=_requests,
    summary=_summary,
    expected_attach_type=BPF_NETFILTER,
    config=("NETFILTER_BPF_LINK",),
    runs=runs.NETFILTER,
    first="6.4",
    doc="Runs on packets at a hook of the kernel's packet filter, and may drop them.",
    options=(
        hook.Option(
            field="family",
            metavar="FAMILY",
            help="ipv4 or ipv6.",
            parse=valid.parse_text,
            required=True,
            example="ipv4",
        ),
        hook.Option(
            field="hook",
            metavar="HOOK",
            help="prerouting, input, forward, output or postrouting.",
            parse=valid.parse_text,
            required=True,
            example="input",
        ),
        hook.Option(
            field="priority",
            flags=("-p", "--priority"),
            metavar="PRIORITY",
            help="Place among all that uses the hook, such as -128; smaller runs earlier.",
            parse=valid.parse_int,
            required=True,
            example="-128",
        ),
        hook.Option(
            field="defragment",
            flags=("--defragment",),
            metavar="YES|NO",
            help="See whole packets instead of fragments (Linux 6.6).",
            parse=valid.parse_bool,
            example="yes",
        ),
        NETNS,
    ),
)
