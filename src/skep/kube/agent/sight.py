"""What the agent keeps of nodes and pods: a few words of each object. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skep import model
from skep.kube import naming

PROGRAM = f"{naming.DRIVER}/program"
"""Attribute of a volume of the CSI driver: the application whose maps it holds."""

MIRRORED = "kubernetes.io/config.hash"
"""Annotation of static pods; kubelet's pkg/kubelet/types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container that runs. ``id``: "containerd://" and its number."""

    name: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod of this node that is not over. ``named``: all its containers; ``running``: those that run now.

    ``volumes``: by name, the application whose maps a volume of the CSI driver holds. ``mirrored``: of a static pod,
    the UID by which its kubelet knows it and names its control groups; "" otherwise.
    """

    uid: str
    namespace: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    host_network: bool = False
    named: tuple[str, ...] = ()
    running: tuple[Container, ...] = ()
    volumes: Mapping[str, str] = field(default_factory=dict)
    mirrored: str = ""

    @property
    def local(self) -> str:
        """The UID by which this node knows it."""
        return self.mirrored or self.uid

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """This node. ``addresses``: its internal ones."""

    name: str
    uid: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The node as the daemon sees it. ``found``: pods by UID."""

    host: model.HostSeen
    found: Mapping[str, model.PodSeen] = field(default_factory=dict)

    def namespace(self, inode: model.NetnsInode) -> model.NamespaceSeen | None:
        """The network namespace with a number, if it is the daemon's own or has a name."""
        return next((each for each in self.host.namespaces if each.inode == inode), None)


def pod(document: Mapping[str, Any]) -> Pod | None:  # Any: JSON
    """What is kept of a pod; None for one whose containers have ended for good."""
    about, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return None
    states = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    volumes = {}
    for volume in spec.get("volumes") or ():
        source = volume.get("csi") or {}
        if source.get("driver") == naming.DRIVER:
            volumes[volume["name"]] = (source.get("volumeAttributes") or {}).get(PROGRAM, "")
    return Pod(
        uid=about["uid"],
        namespace=about["namespace"],
        name=about["name"],
        labels=dict(about.get("labels") or {}),
        host_network=bool(spec.get("hostNetwork")),
        named=tuple(each["name"] for each in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))),
        running=tuple(
            Container(name=each["name"], id=each["containerID"])
            for each in states
            if "running" in (each.get("state") or {}) and each.get("containerID")
        ),
        volumes=volumes,
        mirrored=(about.get("annotations") or {}).get(MIRRORED, ""),
    )


def node(document: Mapping[str, Any]) -> Node:  # Any: JSON
    """What is kept of a Node."""
    about = document["metadata"]
    addresses = (document.get("status") or {}).get("addresses") or ()
    return Node(
        name=about["name"],
        uid=about.get("uid", ""),
        labels=dict(about.get("labels") or {}),
        addresses=tuple(each["address"] for each in addresses if each.get("type") == "InternalIP"),
    )
