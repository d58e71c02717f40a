"""Netkit: packets that either end of a netkit pair sends, as containers have (Linux 6.7, CONFIG_NETKIT)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import model
from skep.hooks import hook, request, runs, valid

BPF_PROG_TYPE_SCHED_CLS = 3


class Side(enum.StrEnum):
    """Whose packets: those that the primary device sends, or those that its peer sends."""

    PRIMARY = "primary"
    PEER = "peer"


ATTACH_TYPES = {Side.PRIMARY: 54, Side.PEER: 55}
"""``BPF_NETKIT_PRIMARY``, ``BPF_NETKIT_PEER`` (linux/bpf.h)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetkitAttachment:
    """One program on one side of a pair. ``interface`` is the primary device, for both sides: who has the peer alone (a
    container) cannot take the program away. ``priority``: 0 to 2**31 - 1, smaller runs earlier."""

    interface: model.InterfaceRef
    side: Side
    priority: int

    def __post_init__(self) -> None:
        valid.interface(self.interface)
        valid.priority(self.priority)
        # A caller's plain text becomes the enum, so that values compare with `is` from here on.
        object.__setattr__(self, "side", parse_side(self.side))

    @property
    def attach_type(self) -> int:
        """``enum bpf_attach_type`` of the side."""
        return ATTACH_TYPES[self.side]

    @property
    def where(self) -> str:
        """Which of the interface's lists, for people."""
        return self.side.value


def parse_side(text: str) -> Side:
    """ "primary" or "peer"."""
    return Side(valid.choice("the side", text, tuple(side.value for side in Side)))


def _requests(attachment: NetkitAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
    """One candidate, beside the neighbour that the planner chose."""
    return (
        request.LinkRequest(
            target=request.InterfaceTarget(interface=attachment.interface),
            attach_type=attachment.attach_type,
            options=placing.anchor,
            label="netkit",
        ),
    )


def _build(values: Mapping[str, Any]) -> NetkitAttachment:  # Any: see Hook.build
    return NetkitAttachment(
        interface=model.InterfaceRef(name=values["interface"], netns=values.get("netns")),
        side=values["side"],
        priority=values["priority"],
    )


def _interface(attachment: NetkitAttachment) -> model.InterfaceRef:
    return attachment.interface


def _summary(attachment: NetkitAttachment) -> str:
    place = attachment.interface.name
    if attachment.interface.netns:
        place += f" in {attachment.interface.netns}"
    return f"{place} {attachment.side} priority {attachment.priority}"


HOOK = hook.Hook(
    name=model.HookName("netkit"),
    prog_type=BPF_PROG_TYPE_SCHED_CLS,
    sections=("netkit",),
    runs=runs.TC,
    family=(model.HookName("netkit"),),
    attachment=NetkitAttachment,
    build=_build,
    requests=_requests,
    summary=_summary,
    ordering=hook.Ordering.ANCHORED,
    interface=_interface,
    config=("NETKIT",),
    first="6.7",
    doc="Runs on every packet that one side of a netkit pair sends; the kernel keeps the order.",
    options=(
        hook.Option(
            field="interface",
            metavar="IFACE",
            help="The pair's primary device, for both sides.",
            parse=valid.parse_text,
            required=True,
            example="nk0",
        ),
        hook.Option(
            field="side",
            metavar="SIDE",
            help="primary or peer: whose packets.",
            parse=parse_side,
            required=True,
            example="peer",
        ),
        hook.Option(
            field="priority",
            flags=("-p", "--priority"),
            metavar="PRIORITY",
            parse=valid.parse_int,
            help="Place in the order, 0 to 2147483647; smaller runs earlier.",
            required=True,
            example="50",
        ),
        hook.Option(
            field="netns",
            flags=("-n", "--netns"),
            metavar="NETNS",
            parse=valid.parse_text,
            help="Network namespace of the primary device: a path, a name of `ip netns`, or pid:NUMBER.",
            example="/run/netns/x",
        ),
    ),
)
