"""XDP: packets as a network interface receives them, before the stack sees them (Linux 4.8; links 5.9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import model
from skep.hooks import hook, request, runs, valid

BPF_PROG_TYPE_XDP = 6
BPF_XDP = 37
"""``enum bpf_attach_type`` (linux/bpf.h)."""
XDP_FLAGS = {model.XdpMode.DRV: 4, model.XdpMode.SKB: 2, model.XdpMode.HW: 8}
"""``XDP_FLAGS_DRV_MODE`` and siblings (linux/if_link.h)."""
BPF_F_XDP_HAS_FRAGS = 32

VERDICTS: Mapping[str, int] = {
    "aborted": 0,
    "drop": 1,
    "pass": 2,
    "tx": 3,
    "redirect": 4,
    "dispatcher_return": 31,
}
"""``enum xdp_action`` (linux/bpf.h), and 31, which libxdp's and bpfman's dispatchers return for an empty slot."""

DEFAULT_PROCEED_ON = (2, 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class XdpAttachment:
    """One XDP program on one interface's chain.

    ``priority``: 0 to 2**31 - 1, smaller runs earlier. ``proceed_on``: verdict codes after which the next program runs;
    empty means pass and dispatcher_return. ``mode``: demanded mode; None means the configured one with generic XDP
    as fallback.
    """

    interface: model.InterfaceRef
    priority: int
    proceed_on: tuple[int, ...] = ()
    mode: model.XdpMode | None = None

    def __post_init__(self) -> None:
        valid.interface(self.interface)
        valid.priority(self.priority)
        object.__setattr__(self, "proceed_on", proceed_on(self.proceed_on))


def proceed_on(codes: tuple[int, ...]) -> tuple[int, ...]:
    """Verdict codes, sorted and each once; InvalidRequest for a code that no XDP program may return."""
    return valid.verdicts("XDP", VERDICTS, codes)


def parse_proceed_on(text: str) -> tuple[int, ...]:
    """Verdicts by name or code, separated by commas: "pass,drop"."""
    return valid.parse_verdicts("XDP", VERDICTS, text)


def parse_mode(text: str) -> model.XdpMode:
    """ "drv", "skb" or "hw"."""
    return model.XdpMode(valid.choice("the XDP mode", text, tuple(mode.value for mode in model.XdpMode)))


def requests(attachment: XdpAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
    """The wished mode first; generic XDP after it, unless the mode was demanded or nothing may stand in for it."""
    modes = [attachment.mode or placing.mode]
    if attachment.mode is None and placing.fallback and model.XdpMode.SKB not in modes:
        modes.append(model.XdpMode.SKB)
    return tuple(
        request.LinkRequest(
            target=request.InterfaceTarget(interface=attachment.interface),
            attach_type=BPF_XDP,
            flags=XDP_FLAGS[mode],
            label=mode.value,
        )
        for mode in modes
    )


def _build(values: Mapping[str, Any]) -> XdpAttachment:  # Any: see Hook.build
    return XdpAttachment(
        interface=model.InterfaceRef(name=values["interface"], netns=values.get("netns")),
        priority=values["priority"],
        proceed_on=values.get("proceed_on") or (),
        mode=values.get("mode"),
    )


def _interface(attachment: XdpAttachment) -> model.InterfaceRef:
    return attachment.interface


def _summary(attachment: XdpAttachment) -> str:
    place = attachment.interface.name
    if attachment.interface.netns:
        place += f" in {attachment.interface.netns}"
    return f"{place} priority {attachment.priority}"


HOOK = hook.Hook(
    name=model.HookName("xdp"),
    bpfman=0,
    prog_type=BPF_PROG_TYPE_XDP,
    # Old objects write xdp_filter: libbpf < 1.0 took any continuation.
    sections=("xdp", "xdp_"),
    family=(model.HookName("xdp"),),
    attachment=XdpAttachment,
    build=_build,
    requests=requests,
    summary=_summary,
    ordering=hook.Ordering.LINKED,
    verdicts=VERDICTS,
    expected_attach_type=BPF_XDP,
    frags_flag=BPF_F_XDP_HAS_FRAGS,
    interface=_interface,
    config=("NET",),
    runs=runs.XDP,
    first="5.9",
    doc="Runs on every packet that an interface receives, before the network stack; several programs form a chain.",
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
            help="Verdicts after which the next program runs (default: pass,dispatcher_return).",
            example="drop",
        ),
        hook.Option(
            field="netns",
            flags=("-n", "--netns"),
            metavar="NETNS",
            parse=valid.parse_text,
            help="Network namespace of the interface: a path, a name of `ip netns`, or pid:NUMBER.",
            example="/run/netns/x",
        ),
        hook.Option(
            field="mode",
            flags=("--mode",),
            metavar="MODE",
            parse=parse_mode,
            help="Demand drv, skb or hw (default: as configured, with skb as fallback).",
            example="skb",
        ),
    ),
)
