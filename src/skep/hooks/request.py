"""What a hook asks of the kernel: a target, an attach type, flags and options. One shape for nearly every hook."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from skep import model


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceTarget:
    """A network interface, possibly in another network namespace."""

    interface: model.InterfaceRef

    def __str__(self) -> str:
        netns = self.interface.netns
        return f"{self.interface.name} in {netns}" if netns else self.interface.name


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterTarget:
    """One direction ("ingress", "egress") of an interface, for a traffic-control filter, which no link stands for.

    ``priority``: tc's "pref", 1 to 65535, which nobody else's filter has. ``beside``: where our filter of the other
    direction would be noted; the two share a queueing discipline.
    """

    interface: model.InterfaceRef
    direction: str
    priority: int
    beside: model.LinkPin | None = None

    def __str__(self) -> str:
        netns = self.interface.netns
        place = f"{self.interface.name} {self.direction}"
        return f"{place} in {netns}" if netns else place


@dataclass(frozen=True, slots=True, kw_only=True)
class TracepointTarget:
    """A kernel tracepoint, opened as a perf event (tracefs ``events/<group>/<name>/id``)."""

    group: str
    name: str

    def __str__(self) -> str:
        return f"{self.group}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UprobeTarget:
    """A place in a user-space file, opened as an event of the uprobe PMU.

    ``path`` is absolute or a library's bare name; ``symbol`` "" means ``offset`` counts from the file's start (bytes),
    else from the symbol. ``pid`` None means every process; ``container_pid`` names the process (host pid) in whose
    mount namespace ``path`` is resolved.
    """

    path: str
    symbol: str
    offset: int
    retprobe: bool
    pid: int | None = None
    container_pid: int | None = None

    def __str__(self) -> str:
        place = f"{self.symbol}+{self.offset:#x}" if self.symbol else f"{self.offset:#x}"
        return f"{self.path} {place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KprobeTarget:
    """A kernel function, opened as an event of the kprobe PMU. ``offset``: bytes from its start, 0 for its return."""

    symbol: str
    offset: int
    retprobe: bool

    def __str__(self) -> str:
        return f"{self.symbol}+{self.offset:#x}" if self.offset else self.symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTracepointTarget:
    """A kernel tracepoint by its bare name, without tracefs."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PerfEventTarget:
    """A clock or counter (``type``, ``config``: linux/perf_event.h), each ``period`` counts or so often a second.

    ``pid`` None: every process on ``cpu``; ``cpu`` None: wherever the process runs. Neither: stands for one target for
    each processor (``kernel.door.Kernel.places``), since the kernel opens such an event on one processor only.
    """

    name: str
    type: int
    config: int
    period: int | None
    frequency: int | None
    pid: int | None
    cpu: int | None

    def __str__(self) -> str:
        return self.name if self.cpu is None else f"{self.name} on cpu {self.cpu}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KprobeMultiTarget:
    """Every kernel function that one of the shell patterns matches; ``matched`` is how many, once it was looked."""

    patterns: tuple[str, ...]
    matched: int | None = None

    def __str__(self) -> str:
        text = ",".join(self.patterns)
        return text if self.matched is None else f"{text}: {self.matched} kernel function{'s' * (self.matched != 1)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UprobeMultiTarget:
    """Places of one file: functions by name or shell pattern, and offsets from its start (bytes). See UprobeTarget.

    ``matched``: how many places that makes, once it was looked.
    """

    path: str
    patterns: tuple[str, ...]
    offsets: tuple[int, ...]
    pid: int | None = None
    container_pid: int | None = None
    matched: int | None = None

    def __str__(self) -> str:
        text = f"{self.path} {','.join((*self.patterns, *(hex(one) for one in self.offsets)))}"
        return text if self.matched is None else f"{text}: {self.matched} place{'s' * (self.matched != 1)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsdtTarget:
    """The sites of a USDT probe in a file. ``path``, ``pid``, ``container_pid``: see UprobeTarget.

    ``site``: the one at this offset (bytes from the file's start), None: all of them. ``specs``: the pin of the map
    by which the program reads arguments, None for a program that reads none; ``owner`` and ``cookie`` go into it.
    """

    path: str
    provider: str
    name: str
    pid: int | None = None
    container_pid: int | None = None
    site: int | None = None
    specs: model.MapPin | None = None
    owner: model.LinkId = model.LinkId(0)
    cookie: int = 0

    def __str__(self) -> str:
        text = f"{self.path} {self.provider}:{self.name}"
        return text if self.site is None else f"{text} at {self.site:#x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IteratorTarget:
    """The kind of object that an iterator was loaded for ("task"), and which of them it goes through.

    ``map``: an id or a pin's path. ``order``: ``enum bpf_cgroup_iter_order``, 0 where the kind has none. ``pid``: a
    process, ``tid``: a thread; None: all.
    """

    name: str
    map: str | None = None
    cgroup: str | None = None
    order: int = 0
    pid: int | None = None
    tid: int | None = None

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupTarget:
    """A control group (version 2) by its directory."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class NetnsTarget:
    """A network namespace by path; None: the daemon's own."""

    path: str | None

    def __str__(self) -> str:
        return self.path or "the network namespace of skep"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetfilterTarget:
    """A hook of the packet filter in a network namespace (linux/netfilter.h). ``name`` is for people."""

    name: str
    family: int
    hook: int
    priority: int
    netns: str | None

    def __str__(self) -> str:
        text = f"{self.name} priority {self.priority}"
        return f"{text} in {self.netns}" if self.netns else text


@dataclass(frozen=True, slots=True, kw_only=True)
class MapTarget:
    """A map of sockets by the path of its pin, which need not be one of ours."""

    pin: str

    def __str__(self) -> str:
        return self.pin


class SocketOption(enum.Enum):
    """What a program is to a socket: SO_ATTACH_BPF and SO_ATTACH_REUSEPORT_EBPF (asm-generic/socket.h)."""

    FILTER = "filter"
    REUSEPORT = "reuseport"


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketTarget:
    """A socket of a process; ``name`` as somebody named it, ``socket`` None until it has been looked for."""

    name: str
    socket: model.SocketRef | None
    option: SocketOption

    def __str__(self) -> str:
        return f"socket {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StructOpsMember:
    """A member of a kernel struct: its bytes, or the program that stands there."""

    name: str
    data: bytes = b""
    program: model.ProgramPin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StructOpsTarget:
    """A struct_ops map, which is filled with ``members`` and given to the kernel.

    ``linked``: by a link (Linux 6.4); else it is registered as soon as it is written, until its element is deleted.
    """

    name: str
    type: str = ""
    map: model.MapPin = model.MapPin("")
    linked: bool = False
    members: tuple[StructOpsMember, ...] = ()

    def __str__(self) -> str:
        return f"{self.type} {self.name}" if self.type else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldMapTarget:
    """The same where the kernel has no links for maps (before Linux 6.10): the map holds the program, for as long as
    the map lives, and a note stands for the link."""

    pin: str

    def __str__(self) -> str:
        return self.pin


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedTarget:
    """What the program was loaded for; the kernel knows it. ``name`` is for people."""

    name: str

    def __str__(self) -> str:
        return self.name


Target = (
    InterfaceTarget
    | FilterTarget
    | TracepointTarget
    | UprobeTarget
    | KprobeTarget
    | RawTracepointTarget
    | PerfEventTarget
    | KprobeMultiTarget
    | UprobeMultiTarget
    | UsdtTarget
    | IteratorTarget
    | CgroupTarget
    | NetnsTarget
    | NetfilterTarget
    | MapTarget
    | HeldMapTarget
    | StructOpsTarget
    | SocketTarget
    | LoadedTarget
)
"""Every kind of place; ``str`` tells a place to people. ``kernel.targets`` has one entry for each."""


class Place(enum.Enum):
    """Which side of an anchor; without an anchor, which end of the list."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """Where in an ordered hook (TCX; Linux 6.6) the new link goes: beside one of our links, or at an end."""

    place: Place
    link: model.LinkPin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """The value that ``bpf_get_attach_cookie`` returns (Linux 5.15)."""

    value: int


Options = Anchor | Cookie | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRequest:
    """One BPF_LINK_CREATE. ``attach_type`` is ``enum bpf_attach_type``, ``flags`` the command's own.

    ``label`` names the candidate to people ("drv", "skb").
    """

    target: Target
    attach_type: int
    flags: int = 0
    options: Options = None
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One of several places of a link: ``candidates`` for its kernel link, best first.

    ``label`` tells it from the link's others ("cpu 3"); it is stored, and told when its kernel link is gone.
    """

    label: str
    candidates: tuple[LinkRequest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Several:
    """What a hook answers whose link needs a kernel link at each of several places: all are made, or none."""

    spots: tuple[Spot, ...]


Requests = tuple[LinkRequest, ...] | Several
"""What an attachment asks of the kernel: candidates for one kernel link, best first, or several kernel links."""
