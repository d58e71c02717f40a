"""What a control group's path says: the pod and container that a kubelet made it for, or the systemd unit. Pure but for
``of``, which reads a process's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from skep import model
from skep.kernel import kubepods

_UNITS: Final = (".service", ".scope", ".socket", ".mount", ".swap")
_SLICE: Final = ".slice"
_LONGEST: Final = 65536


def named(path: str) -> model.Group:
    """What a path says. ``path`` may be relative to a cgroup namespace's root ("/../../burstable/pod…")."""
    match _parsed(path):
        case kubepods.Container(uid=uid, id=container):
            return model.Group(path=path, pod=uid, container=container)
        case kubepods.Pod(uid=uid):
            return model.Group(path=path, pod=uid)
    parts = path.split("/")
    units = [part for part in parts if part.endswith(_UNITS)] or [part for part in parts if part.endswith(_SLICE)]
    return model.Group(path=path, unit=units[-1] if units else "")


def _parsed(path: str) -> kubepods.Group:
    """A container's innermost part may be its own, and what it calls that says nothing of it: its parent is told."""
    parts = [part for part in path.split("/") if part]
    inside = [part for part in parts if part != ".."]
    # What a namespace's root leaves out of a path are its first parts, the kubelet's among them.
    above: kubepods.Group = kubepods.Above(kubepods=inside != parts)
    for part in inside:
        found = kubepods.below(above, part)
        if isinstance(found, kubepods.Other) and isinstance(above, (kubepods.Pod, kubepods.Container)):
            return above
        above = found
    return above


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
