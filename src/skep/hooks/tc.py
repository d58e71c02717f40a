"""tc: packets that enter or leave an interface at the traffic-control layer, behind one filter of ours (Linux 4.5).

The older way to the same place as TCX, for kernels before 6.6 and for programs that are written for a chain: an order
by priority, and a proceed-on set for each program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from skep import errors, model
from skep.hooks import hook, request, runs, tcx, valid

VERDICTS: Mapping[str, int] = {
    "unspec": -1,
    "ok": 0,
    "reclassify": 1,
    "shot": 2,
    "pipe": 3,
    "stolen": 4,
    "queued": 5,
    "repeat": 6,
    "redirect": 7,
    "trap": 8,
    "dispatcher_return": 30,
}
"""``TC_ACT_*`` (linux/pkt_cls.h), and 30, which bpfman's tc dispatcher returns for an empty slot."""

DEFAULT_PROCEED_ON = (3, 30)
MAX_FILTER_NAME = 255
"""``CLS_BPF_NAME_LEN`` (net/sched/cls_bpf.c) less its NUL."""
FILTER_PRIORITY = 50
LAST_FILTER_PRIORITY = 0xBFFF
"""Ours; the kernel itself gives 0xC000 and less to filters without one (``tcf_auto_prio``, net/sched/cls_api.c)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TcAttachment:
    """One program in the chain of one direction of an interface.

    ``priority``: 0 to 2**31 - 1, smaller runs earlier. ``proceed_on``: verdict codes after which the next program runs;
    empty means pipe and dispatcher_return.
    """

    interface: model.InterfaceRef
    direction: tcx.Direction
    priority: int
    proceed_on: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        valid.interface(self.interface)
        valid.priority(self.priority)
        # A caller's plain text becomes the enum, so that values compare with `is` from here on.
        object.__setattr__(self, "direction", tcx.parse_direction(self.direction))
        object.__setattr__(self, "proceed_on", proceed_on(self.proceed_on))


def proceed_on(codes: tuple[int, ...]) -> tuple[int, ...]:
    """Verdict codes, sorted and each once; InvalidRequest for a code that no tc program may return."""
    return valid.verdicts("tc", VERDICTS, codes)


def parse_proceed_on(text: str) -> tuple[int, ...]:
    """Verdicts by name or code, separated by commas: "pipe,ok"."""
    return valid.parse_verdicts("tc", VERDICTS, text)


def requests(attachment: TcAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
    """One filter of this direction of the interface."""
    priority = free_priority(placing.taken)
    target = request.FilterTarget(
        interface=attachment.interface,
        direction=attachment.direction.value,
        priority=priority,
        beside=placing.beside,
    )
    return (request.LinkRequest(target=target, attach_type=0, label=f"filter with priority {priority}"),)


def filter_name(directory: model.PinDir) -> str:
    """What our filter is called: the directory of its chain's pins, so that whoever finds it knows whose it is."""
    return directory[-MAX_FILTER_NAME:]


def neighbours(others: Iterable[model.Filter], own: int) -> tuple[str, ...]:
    """What to know about other people's filters in the same direction; ``own`` is our filter's priority."""
    told = []
    for one in sorted(others, key=lambda other: other.priority):
        if one.priority < own:
            told.append(f"a foreign {one} is asked before the chain: what it decides never comes here")
        else:
            told.append(f"a foreign {one} is asked only about packets that the chain ends with unspec")
    return tuple(told)


def free_priority(taken: frozenset[int]) -> int:
    """The filter's own priority: bpfman's 50, or the next that nobody has. Exhausted: there is none."""
    for priority in range(FILTER_PRIORITY, LAST_FILTER_PRIORITY + 1):
        if priority not in taken:
            return priority
    raise errors.Exhausted(
        "no priority is left for a filter",
        why=f"those from {FILTER_PRIORITY} to {LAST_FILTER_PRIORITY} are taken",
        do="remove some: see 'tc filter show'",
    )


def _build(values: Mapping[str, Any]) -> TcAttachment:  # Any: see Hook.build
    return TcAttachment(
        interface=model.InterfaceRef(name=values["interface"], netns=values.get("netns")),
        direction=values["direction"],
        priority=values["priority"],
        proceed_on=values.get("proceed_on") or (),
    )


def _interface(attachment: TcAttachment) -> model.InterfaceRef:
    return attachment.interface


def _summary(attachment: TcAttachment) -> str:
    place = attachment.interface.name
    if attachment.interface.netns:
        place += f" in {attachment.interface.netns}"
    return f"{place} {attachment.direction} priority {attachment.priority}"


HOOK = hook.Hook(
    name=model.HookName("tc"),
    bpfman=1,
    prog_type=tcx.BPF_PROG_TYPE_SCHED_CLS,
    sections=("tc", "classifier", "classifier_", "action"),
    family=tcx.FAMILY,
    chosen=True,
    attachment=TcAttachment,
    build=_build,
    requests=requests,
    summary=_summary,
    ordering=hook.Ordering.LINKED,
    verdicts=VERDICTS,
    interface=_interface,
    config=("NET_CLS_BPF",),
    runs=runs.TC,
    first="4.5",
    doc="Runs on every packet that enters or leaves an interface, after the driver; several programs form a chain.",
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
            parse=tcx.parse_direction,
            required=True,
            example="ingress",
        ),
        hook.Option(
            field="priority",
            flags=("-p", "--priority"),
            metavar="PRIORITY",
            parse=valid.parse_int,
            help="Place in the chain, 0 to 2147483647; smaller runs earlier.",
            required=True,
            example="50",
        ),
        hook.Option(
            field="proceed_on",
            flags=("--proceed-on",),
            metavar="VERDICT,...",
            parse=parse_proceed_on,
            help="Verdicts after which the next program runs (default: pipe,dispatcher_return).",
            example="ok",
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
