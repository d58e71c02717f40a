"""The names of kubelet's control groups: whose pod, which container. Pure.

kubelet's part is ``kubepods``, then the class of service (none for guaranteed pods), then the pod; the runtime adds the
container (kubernetes pkg/kubelet/cm, pod_container_manager_linux.go, cgroup_manager_linux.go):

    cgroupfs  /kubepods/burstable/pod1f2e…-…/<container>
    systemd   /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1f2e…_….slice/crio-<container>.scope

All of it may lie below kubelet's ``--cgroup-root``, whose name systemd repeats in front ("kubelet-kubepods.slice"). A
containerd without systemd's driver below a kubelet with it makes "kubepods-pod….slice:cri-containerd:<container>"
wherever it runs itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_SLICE: Final = re.compile(r"(?:.+-)?kubepods(?:-burstable|-besteffort)?-pod([0-9A-Za-z_.]+)\.slice")
_POD: Final = re.compile(r"pod([0-9A-Za-z][0-9A-Za-z_.-]*)")
_CONTAINER: Final = re.compile(
    r"(?:(?:cri-containerd|containerd|crio|docker|cri-dockerd)-)?([0-9a-f]{32,128})(?:\.scope)?"
)
_ELSEWHERE: Final = re.compile(r"(?:.+-)?kubepods[^:]*-pod([0-9A-Za-z_.]+)\.slice:[a-z-]+:([0-9a-f]{32,128})")
_FOREIGN: Final = re.compile(r"(?:[a-z-]+-)?[0-9a-f]{32,128}(?:\.scope|\.service)?|machine-.*\.scope|user@.*\.service")
"""Containers that belong to no pod, and what users run: in theirs they may make groups of any name."""
_CLASSES: Final = ("burstable", "besteffort")


@dataclass(frozen=True, slots=True, kw_only=True)
class Above:
    """Not yet a pod's: may lead to pods. ``kubepods``: pods of the cgroupfs driver may begin here."""

    kubepods: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod's control group; ``uid`` as ``same`` writes it."""

    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container's control group, that of the pod's sandbox among them."""

    uid: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """Neither, with nothing of interest below: a monitor's, a foreign container's."""


Group = Above | Pod | Container | Other


def below(above: Group, name: str) -> Group:
    """What the control group ``name`` is that lies directly in ``above``."""
    match above:
        case Pod(uid=uid):
            found = _CONTAINER.fullmatch(name)
            return Container(uid=uid, id=found[1]) if found else Other()
        case Container() | Other():
            return Other()  # what a container calls its own groups means nothing
        case Above(kubepods=kubepods):
            if elsewhere := _ELSEWHERE.fullmatch(name):
                return Container(uid=same(elsewhere[1]), id=elsewhere[2])
            if slice := _SLICE.fullmatch(name):
                return Pod(uid=same(slice[1]))
            if kubepods and (pod := _POD.fullmatch(name)):
                return Pod(uid=same(pod[1]))
            if _FOREIGN.fullmatch(name):
                return Other()
            return Above(kubepods=name == "kubepods" or (kubepods and name in _CLASSES))


def parse(path: str) -> Group:
    """What a control group is by its path below the mount."""
    found: Group = Above()
    for name in path.split("/"):
        if name:
            found = below(found, name)
    return found


def same(uid: str) -> str:
    """A pod's uid in one spelling: systemd's slices have no hyphens."""
    return uid.replace("_", "-").lower()


def number(id: str) -> str:
    """The container's own number out of "containerd://<number>"; "" for "" and what has none."""
    return id.rpartition("://")[2].lower()
