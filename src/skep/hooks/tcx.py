"""TCX: packets that enter or leave an interface at the traffic-control layer, in the kernel's order (Linux 6.6)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import model
from skep.hooks import hook, request, runs, valid

BPF_PROG_TYPE_SCHED_CLS = 3
FAMILY = (model.HookName("tcx"), model.HookName("tc"))
"""The same code runs at both places, and its own verdicts mean the same there."""


class Direction(enum.StrEnum):
    """Which way packets go."""

    INGRESS = "ingress"
    EGRESS = "egress"


ATTACH_TYPES = {Direction.INGRESS: 46, Direction.EGRESS: 47}
"""``BPF_TCX_INGRESS``, ``BPF_TCX_EGRESS`` (linux/bpf.h)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TcxAttachment:
    """One program on one direction of an interface. ``priority``: 0 to 2**31 - 1, smaller runs earlier."""

    interface: model.InterfaceRef
    direction: Direction
    priority: int

    def __post_init__(self) -> None:
        valid.interface(self.interface)
        valid.priority(self.priority)
        # A caller's plain text becomes the enum, so that values compare with `is` from here on.
        object.__setattr__(self, "direction", parse_direction(self.direction))

    @property
    def attach_type(self) -> int:
        """``enum bpf_attach_type`` of the direction."""
        return ATTACH_TYPES[self.direction]

    @property
    def where(self) -> str:
        """Which of the interface's lists, for people."""
        return self.direction.value


def parse_direction(text: str) -> Direction:
    """ "ingress" or "egress"."""
    return Direction(valid.choice("the direction", text, tuple(direction.value for direction in Direction)))


def requests(attachment: TcxAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
    """One candidate, beside the neighbour that the planner chose."""
    return (
        request.LinkRequest(
            target=request.InterfaceTarget(interface=attachment.interface),
            attach_type=attachment.attach_type,
            options=placing.anchor,
            label="tcx",
        ),
    )


def _build(values: Mapping[str, Any]) -> TcxAttachment:  # Any: see Hook.build
    return TcxAttachment(
        interface=model.InterfaceRef(name=values["interface"], netns=values.get("netns")),
        direction=values["direction"],
        priority=values["priority"],
    )


def _interface(attachment: TcxAttachment) -> model.InterfaceRef:
    return attachment.interface


def _summary(attachment: TcxAttachment) -> str:
    place = attachment.interface.name
    if attachment.interface.netns:
        place += f" in {attachment.interface.netns}"
    return f"{place} {attachment.direction} priority {attachment.priority}"


HOOK = hook.Hook(
    name=model.HookName("tcx"),
    bpfman=7,
    prog_type=BPF_PROG_TYPE_SCHED_CLS,
    sections=("tcx",),
    family=FAMILY,
    chosen=True,
    attachment=TcxAttachment,
    build=_build,
    requests=requests,
    summary=_summary,
    ordering=hook.Ordering.ANCHORED,
    interface=_interface,
    config=("NET_XGRESS",),
    runs=runs.TC,
    first="6.6",
    doc="Runs on every packet that enters or leaves an interface, after the driver; the kernel keeps the order.",
    options=(
        hook.Option(
            field="interface",
            metavar="IFACE",
            help="Interface: its name, ifindex:NUMBER, or a quoted pattern for all that match now.",
            parse=valid.parse_text,
            required=True,
            example="eth0",
        ),
        hook.Option(
            field="direction",
            metavar="DIRECTION",
            help="ingress or egress.",
            parse=parse_direction,
            required=True,
            example="ingress",
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
            help="Network namespace of the interface: a path, a name of `ip netns`, or pid:NUMBER.",
            example="/run/netns/x",
        ),
    ),
)
