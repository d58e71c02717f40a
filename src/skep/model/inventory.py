"""Everything that runs in this kernel, managed or not, and who put it there."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from skep.model import alert, ids, observed


class ObjectKind(enum.StrEnum):
    """The kinds of kernel objects that have an id and can be held by a descriptor or a pin."""

    PROGRAM = "program"
    LINK = "link"
    MAP = "map"


ObjectRef = tuple[ObjectKind, int]
"""A kind and the kernel's id of one of that kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A control group by its path below the root of its hierarchy, and what its name tells.

    ``unit``: the systemd unit. ``pod``: the UID of a Kubernetes pod, ``container``: the runtime's id of its container.
    Each is "" for none.
    """

    path: str = "/"
    unit: str = ""
    pod: str = ""
    container: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that holds something. ``comm``: at most 15 characters; ``exe``: "" for one that could not be read."""

    pid: int
    comm: str
    exe: str = ""
    uid: int = 0
    group: Group = Group()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlinked:
    """A program that is attached without a link: over netlink, to a cgroup or to a perf event.

    ``group``: the cgroup that it is attached to. ``pid``: the process whose perf event it is on, 0 for none.
    ``alone``: attached to its cgroup without BPF_F_ALLOW_MULTI, so that one below takes its place or may not be at all.
    """

    program: ids.ProgramId
    place: str
    group: Group | None = None
    pid: int = 0
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What the kernel, /proc and the BPF file systems show of all programs, links and maps, of (nearly) one moment.

    ``places``: where links are, in words. ``held``: pids by what they have a descriptor of. ``inside``: maps by the
    programs and maps that are in them, told at least of what nobody holds or pins. ``unread``: processes that could not
    be looked into. ``cut``: what was too much to be looked at whole, in words.
    """

    programs: tuple[observed.KernelProgram, ...] = ()
    links: tuple[observed.KernelLink, ...] = ()
    maps: tuple[observed.KernelMap, ...] = ()
    places: Mapping[ids.KernelLinkId, str] = field(default_factory=dict)
    unlinked: tuple[Unlinked, ...] = ()
    held: Mapping[ObjectRef, tuple[int, ...]] = field(default_factory=dict)
    pins: Mapping[ObjectRef, tuple[str, ...]] = field(default_factory=dict)
    inside: Mapping[ObjectRef, tuple[ids.MapId, ...]] = field(default_factory=dict)
    processes: Mapping[int, Process] = field(default_factory=dict)
    unread: int = 0
    cut: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    """Owned by skep, on behalf of an application.

    ``application``: its name, "" for a program that was loaded without one; several in a chain are joined by ", ".
    ``key``: the application file or object ("BpfApplication/default/counter"), "" for what was loaded by hand.
    ``part``: the chain that it is a part of ("xdp eth0"), "" for none.
    """

    application: str = ""
    key: str = ""
    part: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """Owned by somebody else: whoever keeps it in the kernel.

    ``pids``: processes, ascending. ``pins``: paths in BPF file systems. ``groups``: cgroups that it is attached to
    without a link, which end with it. ``through``: what those hold of it, when it is not the object itself ("link 12",
    "program 7"). All are empty for what nobody is seen to hold, such as an XDP program that was attached by `ip`.
    """

    pids: tuple[int, ...] = ()
    pins: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    through: str = ""


Owner = Managed | Foreign


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedProgram:
    """A program and the places where it is attached.

    ``name``: whole where skep knows it, else the kernel's 15 characters. ``since``: when it was loaded, in
    seconds since the epoch (UTC). ``sanctioned``: whether it is meant to be there; what is managed always is.
    """

    kernel: observed.KernelProgram
    name: str
    places: tuple[str, ...] = ()
    since: float = 0.0
    owner: Owner
    sanctioned: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedLink:
    """A link in the kernel and where it is attached."""

    kernel: observed.KernelLink
    place: str
    owner: Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedMap:
    """A map and the programs that use it, ascending."""

    kernel: observed.KernelMap
    programs: tuple[ids.ProgramId, ...] = ()
    owner: Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All programs, links and maps of this kernel with their owners.

    ``fingerprint`` changes when an object comes or goes. ``processes``: those that owners name, by ascending pid.
    ``unread`` and ``cut``: see ``Survey``. ``alerts``: what is wrong, the worst first.
    """

    fingerprint: str
    release: str
    programs: tuple[OwnedProgram, ...] = ()
    links: tuple[OwnedLink, ...] = ()
    maps: tuple[OwnedMap, ...] = ()
    processes: tuple[Process, ...] = ()
    unread: int = 0
    cut: tuple[str, ...] = ()
    alerts: tuple[alert.Alert, ...] = ()

    def process(self, pid: int) -> Process | None:
        """The process with a pid, None when it ended while it was looked at."""
        return next((one for one in self.processes if one.pid == pid), None)

    @property
    def memory(self) -> int:
        """Bytes that programs and maps are charged for."""
        programs = sum(one.kernel.memlock_bytes for one in self.programs)
        return programs + sum(one.kernel.memlock_bytes for one in self.maps)
