"""A link: one program at one attach point, as asked (attachment), stored (Record) and seen (Status)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from skep.model import ids, observed


class LinkState(enum.StrEnum):
    """A link's condition: all of its kernel links are there, some are, or none (device gone, pin removed)."""

    ATTACHED = "attached"
    PARTIAL = "partial"
    DEFUNCT = "defunct"


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceRef:
    """An interface by name, in the daemon's network namespace or in ``netns``.

    As a caller gives it, the name may be any words that ``kernel.door.Kernel.interfaces_of`` takes and ``netns`` what
    ``namespace_of`` takes. As it is stored: the interface's own name, and a path or "pid:123@INODE".
    """

    name: str
    netns: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRecord:
    """A link as the store has it.

    ``attachment`` is the hook's frozen dataclass (``hooks/<hook>.py``); ``pins`` are its kernel links' pins, empty for
    a member of a linked chain, whose kernel link belongs to the chain. A link of several kernel links names the
    ``places`` of all of them, in the order of ``pins`` and ``kernel_ids``; other links name none.
    """

    id: ids.LinkId
    program: ids.ProgramKey
    hook: ids.HookName
    attachment: object
    pins: tuple[ids.LinkPin, ...] = ()
    kernel_ids: tuple[ids.KernelLinkId, ...] = ()
    places: tuple[str, ...] = ()
    netns: ids.NetnsInode = ids.NetnsInode(0)
    ifindex: ids.IfIndex = ids.IfIndex(0)
    chain: ChainKey | None = None
    priority: int | None = None
    """Copied out of the attachment for hooks with an order, so that ordering needs no knowledge of the hook."""
    mode: observed.XdpMode | None = None
    fallback: str = ""
    """Why a candidate before the one in use was not taken ("drv: EOPNOTSUPP"), "" when the first was."""
    process_start: int = 0
    """When the process that the link is for began, in clock ticks since boot: a later one may have its number. 0:
    unknown, or the link is for no process."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    boot_id: str
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What a link has lost that its kernel link does not tell: PARTIAL when it may still run, else DEFUNCT; why."""

    state: LinkState
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """What is seen of a link now. ``counts`` only for members of a linked chain.

    ``missing``: the places of a partial link at which its program does not run.
    """

    state: LinkState
    kernel: tuple[observed.KernelLink, ...] = ()
    position: int | None = None
    counts: Counts | None = None
    pin_present: bool = True
    reason: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link: record, status and the kernel id of its program."""

    record: LinkRecord
    status: LinkStatus
    program_id: ids.ProgramId
    program_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFilter:
    """Which links to list; ``metadata`` and ``application`` match the *program's* metadata, as bpfman does."""

    program_id: ids.ProgramId | None = None
    hooks: tuple[ids.HookName, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What one member of a chain did since it was attached, over all revisions. Numbers of packets.

    ``stopped`` maps a verdict's code to the packets whose way through the chain this member ended with it.
    """

    runs: int = 0
    proceeded: int = 0
    stopped: Mapping[int, int] = field(default_factory=dict)

    def __add__(self, other: Counts) -> Counts:
        stopped = dict(self.stopped)
        for code, packets in other.stopped.items():
            stopped[code] = stopped.get(code, 0) + packets
        return Counts(runs=self.runs + other.runs, proceeded=self.proceeded + other.proceeded, stopped=stopped)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ChainKey:
    """The place of one linked chain: hook and direction ("xdp", "tc-ingress"), network namespace, interface."""

    type: str
    netns: ids.NetnsInode
    ifindex: ids.IfIndex

    def __str__(self) -> str:
        return f"{self.type}-{self.netns}-{self.ifindex}"


class MemberForm(enum.StrEnum):
    """How the linker took a member in: inlined with its own subprograms, its body alone inlined, or called."""

    FLAT = "flat"
    INLINE = "inline"
    CALL = "call"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainMember:
    """One position of a chain. ``proceed_on`` is the mask of verdicts that let the chain go on: bit n for XDP's code n,
    or tc's code n - 1."""

    link: ids.LinkId
    program: ids.ProgramKey
    name: str
    priority: int
    proceed_on: int
    form: MemberForm = MemberForm.INLINE


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainRecord:
    """The revision of a chain that is in the kernel, as the store has it."""

    key: ChainKey
    revision: int
    interface: str
    netns_path: str | None
    members: tuple[ChainMember, ...]
    link_pin: ids.LinkPin
    program_pin: ids.ProgramPin
    counts_pin: ids.MapPin
    program_id: ids.ProgramId
    link_id: ids.KernelLinkId
    """0 for a tc chain, which has a filter and no link."""
    mode: observed.XdpMode | None
    boot_id: str
    filter_priority: int = 0
    filter_handle: int = 0
    """Of a tc chain's filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainStatus:
    """A chain as it is now: its record, its members' counts in order, packets seen, and what to know about it."""

    record: ChainRecord
    counts: tuple[Counts, ...]
    packets: int
    """Packets that entered the present revision."""
    state: LinkState
    warnings: tuple[str, ...] = ()
