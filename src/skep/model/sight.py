"""What the daemon sees of its host for those who cannot: network namespaces and interfaces, processes of pods."""

from __future__ import annotations

from dataclasses import dataclass

from skep.model import ids


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceSeen:
    """An interface. ``mac``: "02:…", "" without one; ``addresses``: "192.0.2.1/24", sorted; ``up``: set to be up."""

    name: str
    ifindex: ids.IfIndex
    mac: str = ""
    addresses: tuple[str, ...] = ()
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceSeen:
    """A network namespace. ``path``: None for the daemon's own, as in attachments.

    ``interfaces``: by index. ``primary``: those of its default routes, the best first: IPv4's, then by metric.
    """

    path: str | None
    inode: ids.NetnsInode
    interfaces: tuple[InterfaceSeen, ...]
    primary: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSeen:
    """The daemon's network namespace, then those with a name (``ip netns``) by path; each namespace once."""

    namespaces: tuple[NamespaceSeen, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRef:
    """A container as a Pod's status has it. ``id``: "containerd://" and its number, "" while it has none."""

    name: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRef:
    """A pod of this node by ``metadata.uid``, with the containers that are wanted."""

    uid: str
    containers: tuple[ContainerRef, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSeen:
    """A container's first process as the daemon numbers it; ``start``: clock ticks since boot, which tell it from a
    later one with its number. ``missing``: why there is none; then both are 0."""

    name: str
    id: str
    pid: int = 0
    start: int = 0
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSeen:
    """A pod's network namespace and its containers, as they were asked for. ``missing``: why there is no namespace.

    ``netns``: a path that the daemon can open now, through a process of the pod; given to an attachment, the namespace
    stays known by its number when that process is gone. A pod with ``hostNetwork`` has its node's.
    """

    uid: str
    netns: str | None = None
    inode: ids.NetnsInode = ids.NetnsInode(0)
    containers: tuple[ContainerSeen, ...] = ()
    missing: str = ""
