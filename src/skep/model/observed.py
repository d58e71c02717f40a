"""What was seen in the kernel at one moment. Only ``kernel/`` (and its fake) makes these."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from skep.model import ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """Tells one life of the kernel from another.

    ``boot_id`` is ``/proc/sys/kernel/random/boot_id``; ``release`` is ``uname -r``.
    """

    boot_id: str
    release: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelProgram:
    """``struct bpf_prog_info`` (linux/bpf.h), the fields skep uses. Times in ns, sizes in bytes."""

    id: ids.ProgramId
    type: int
    """``enum bpf_prog_type``; names in ``model.program_types``."""
    name: str
    """At most 15 characters: the kernel truncates."""
    tag: str
    """16 hexadecimal digits."""
    loaded_at_ns: int
    """CLOCK_BOOTTIME at load."""
    uid: int = 0
    gpl_compatible: bool = False
    map_ids: tuple[ids.MapId, ...] = ()
    btf_id: int = 0
    xlated_bytes: int = 0
    jited_bytes: int = 0
    memlock_bytes: int = 0
    verified_insns: int = 0
    run_count: int = 0
    run_time_ns: int = 0
    recursion_misses: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelMap:
    """``struct bpf_map_info`` (linux/bpf.h). Sizes in bytes."""

    id: ids.MapId
    type: int
    """``enum bpf_map_type``."""
    name: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    btf_id: int = 0
    map_extra: int = 0
    memlock_bytes: int = 0
    frozen: bool = False
    key_type_id: int = 0
    """In the map's BTF; 0: unknown."""
    value_type_id: int = 0
    kernel_value_type_id: int = 0
    """Type of the values in the kernel's own BTF: of a struct_ops map; else 0."""

    def difference(self, other: KernelMap, named: Callable[[int], str] = str) -> tuple[str, ...]:
        """Why ``other`` cannot stand in for this map, as "value size 4 against 8" clauses; empty when it can.

        ``named``: a type for people.
        """
        pairs = (
            ("type", named(self.type), named(other.type)),
            ("key size", self.key_size, other.key_size),
            ("value size", self.value_size, other.value_size),
            ("max entries", self.max_entries, other.max_entries),
            ("flags", hex(self.flags), hex(other.flags)),
        )
        return tuple(f"{what} {mine} against {theirs}" for what, mine, theirs in pairs if mine != theirs)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapView:
    """A map in the kernel: its pins below ours, and the managed programs that use it, ascending."""

    kernel: KernelMap
    pins: tuple[ids.MapPin, ...] = ()
    programs: tuple[ids.ProgramId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelLink:
    """``struct bpf_link_info`` (linux/bpf.h)."""

    id: ids.KernelLinkId
    type: int
    """``enum bpf_link_type``."""
    program_id: ids.ProgramId
    attach_type: int = 0
    ifindex: ids.IfIndex = ids.IfIndex(0)
    """0 for a link without interface and for a *defunct* one (device deleted or link force-detached)."""
    detail: str = ""
    """Function, tracepoint or path and offset for perf links, what it is attached to for some others; else ""."""
    defunct: bool = False
    """Whether what it was attached to is gone (cgroup, network namespace, map, module); for interfaces see
    ``ifindex``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A struct_ops map that is registered without a link, and the programs in it."""

    map: ids.MapId
    name: str
    """At most 15 characters: the kernel truncates."""
    programs: tuple[ids.ProgramId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HookEntry:
    """One program on an ordered hook, as BPF_PROG_QUERY tells; ``link_id`` 0 for an attachment without link."""

    program_id: ids.ProgramId
    link_id: ids.KernelLinkId


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One traffic-control filter on an interface's clsact or ingress qdisc (``struct tcmsg``, linux/rtnetlink.h).

    ``priority`` (tc's "pref", 1 to 65535) decides which filter is asked first. ``name``, ``program_id`` and ``tag``
    only for BPF filters.
    """

    interface: str
    ifindex: ids.IfIndex
    direction: str
    """ "ingress" or "egress"."""
    priority: int
    handle: int
    kind: str
    """ "bpf", "flower", "u32", …"""
    name: str = ""
    program_id: ids.ProgramId = ids.ProgramId(0)
    tag: str = ""

    def __str__(self) -> str:
        own = f" {self.name or 'without a name'}, program {self.program_id}" if self.program_id else ""
        return f"{self.kind} filter{own} at priority {self.priority}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface found by name inside one network namespace."""

    name: str
    ifindex: ids.IfIndex
    netns: ids.NetnsInode
    mtu: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """Whether this kernel can, from a probe that tried. ``errno`` 0 when it can."""

    name: str
    available: bool
    errno: int = 0
    first: str = ""
    """First Linux release that has it, "6.6"."""
    note: str = ""
    group: str = ""
    """What kind of thing it is: a value of ``FeatureGroup``."""
    config: tuple[str, ...] = ()
    """Build options that it needs besides CONFIG_BPF_SYSCALL, without their prefix."""
    needs: str = ""
    """What would make it work here, "" where it does."""
    lasting: str = ""
    """What an attachment ends with by itself, "" for one that a pin holds."""


class FeatureGroup(enum.StrEnum):
    """Under which heading a feature is told: what is attached, what links can, what maps and types there are."""

    TYPE = "program type"
    LINK = "link"
    KERNEL = "kernel"


class XdpMode(enum.StrEnum):
    """How an XDP program is attached: in the driver, in the generic path, or on the card."""

    DRV = "drv"
    SKB = "skb"
    HW = "hw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A socket as its process knows it."""

    pid: int
    fd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalAddress:
    """A socket by where it is bound; ``protocol`` is "tcp" or "udp", ``address`` an IPv4 or IPv6 address as text."""

    protocol: str
    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketRef:
    """A socket that was found. ``cookie`` is never given to another in this boot, ``inode`` may be; ``pid`` and ``fd``
    are one place where a process has it."""

    pid: int
    fd: int
    inode: int
    cookie: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """A socket with what decides whether a program may be attached. ``owner``: uid of its process, None for one that
    only root may look into (another uid among its ids, or not dumpable)."""

    ref: SocketRef
    owner: int | None
    filtered: bool = False
    """Whether it has a filter, ours or another's."""
    shares: bool = False
    """Whether SO_REUSEPORT is set."""
    protocol: str = ""
    """ "tcp", "udp", or the number of another family and type ("family 17 type 3")."""
