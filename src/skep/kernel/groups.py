"""What a control group's path says: the pod and container that a kubelet made it for, or the systemd unit. Pure but for
``of``, which reads a process's.

The kubelet has two drivers, whose names mean the same (pkg/kubelet/cm/cgroup_manager_linux.go):

    /kubepods/burstable/pod6a1d…-…/9f86d0…                                         cgroupfs
    /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod6a1d…_….slice/cri-containerd-9f86d0….scope  systemd

A static pod's UID is 32 hexadecimal digits without hyphens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from skep import model

_POD: Final = re.compile(
    r"(?:kubepods(?:-besteffort|-burstable)?-)?pod"
    r"([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?"
)
_CONTAINER: Final = re.compile(r"(?:cri-containerd-|crio-|docker-)?([0-9a-f]{64})(?:\.scope)?")
_UNITS: Final = (".service", ".scope", ".socket", ".mount", ".swap")
_SLICE: Final = ".slice"
_LONGEST: Final = 65536


def named(path: str) -> model.Group:
    """What a path says. ``path`` may be relative to a cgroup namespace's root ("/../../kubepods/…")."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for at, part in enumerate(parts):
        if (pod := _POD.fullmatch(part)) is not None:
            inside = _CONTAINER.fullmatch(parts[at + 1]) if at + 1 < len(parts) else None
            return model.Group(path=path, pod=pod[1].replace("_", "-"), container=inside[1] if inside else "")
    units = [part for part in parts if part.endswith(_UNITS)] or [part for part in parts if part.endswith(_SLICE)]
    return model.Group(path=path, unit=units[-1] if units else "")


def chosen(lines: Iterable[str]) -> model.Group:
    """A process's group out of the lines of /proc/PID/cgroup (cgroups(7)): version 2's, but where both versions are
    used the one whose name says most."""
    found = model.Group()
    for line in lines:
        fields = line.rstrip("\n").split(":", 2)
        if len(fields) < 3:
            continue
        hierarchy, controllers, path = fields
        one = named(path)
        if one.pod:
            return one
        better = bool(one.unit) and (not found.unit or controllers == "name=systemd" or hierarchy == "0")
        if better or (found.path == "/" and not found.unit):
            found = one
    return found


def of(pid: int) -> model.Group:
    """The group of a process; the root's for one that is gone."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            return chosen(file.read(_LONGEST).splitlines())
    except OSError:
        return model.Group()
