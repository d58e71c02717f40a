"""Where the processes and network namespaces of a node's pods are, by the control groups that kubelet made for them.

A process is named by its number, which the kernel gives to another one day. So each is held by its directory in procfs
while it is looked at, and believed only if it is in the control group after that.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from skep import errors, model
from skep.kernel import kubepods, process, sys

CGROUPS: Final = "/sys/fs/cgroup"
_HIERARCHIES: Final = ("unified", "systemd", "pids", "memory", "cpu")
"""Of version 1, those to look into first; any that kubelet uses has the pods."""
_FIRST_PROCESSES: Final = 0xEFFFFFFC
"""The number of the host's process namespace (PROC_PID_INIT_INO, linux/proc_ns.h)."""
_DEPTH: Final = 16
"""Directories above a pod's; kubelet makes at most four below its ``--cgroup-root``."""
_MOST_PROCESSES: Final = 4096
"""Looked at in one container; its first is told before."""


class Runtime(Protocol):
    """A container runtime that can be asked; both raise ``SkepError``."""

    def container(self, number: str) -> int:
        """The first process of a container."""

    def sandbox(self, uid: str) -> int:
        """The process that holds a pod's namespaces."""


@dataclass(slots=True)
class _Group:
    """The control groups of a pod's containers by their numbers; several where version 1 has several hierarchies."""

    containers: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class _Process:
    start: int
    inner: bool
    """Not process 1 of its own namespace."""
    pid: int
    netns: int = field(compare=False)
    """0: it may not be looked at."""


class Pods:
    """Finds pods below ``root``, where the host's control groups are mounted.

    ``runtime``: to be asked about pods and containers whose control group is not found.
    """

    def __init__(self, root: str = CGROUPS, runtime: Runtime | None = None) -> None:
        self._root = root
        self._runtime = runtime
        self._tops: tuple[tuple[str, str], ...] = ()

    def find(self, wanted: tuple[model.PodRef, ...]) -> tuple[model.PodSeen, ...]:
        """What there is of each, in their order."""
        groups = self._groups(wanted)
        return tuple(self._pod(pod, _of(groups, pod)) for pod in wanted)

    # ---------------------------------------------------------------- control groups

    def _groups(self, wanted: tuple[model.PodRef, ...]) -> dict[str, _Group]:
        """Pods by uid: where they were the last time, or else everywhere."""
        found: dict[str, _Group] = {}
        for hierarchy, top in self._tops:
            _gather(found, hierarchy, top)
        if all(_complete(found, pod) for pod in wanted):
            return found
        found = {}
        tops: dict[tuple[str, str], None] = {}
        for hierarchy in _hierarchies(self._root):
            tops.update(dict.fromkeys((hierarchy, top) for top in _gather(found, hierarchy, "")))
            if found and all(_complete(found, pod) for pod in wanted):
                break
        self._tops = tuple(tops)
        return found

    # ---------------------------------------------------------------- processes

    def _pod(self, pod: model.PodRef, group: _Group | None) -> model.PodSeen:
        of: dict[str, tuple[_Process | None, str]] = {}
        for number, places in (group.containers if group else {}).items():
            of[number] = _first(places)
        containers = tuple(self._container(each, of) for each in pod.containers)
        known = [found for found, _ in of.values() if found is not None]
        if not known:
            known = [found for each in containers if each.pid and (found := _alone(each.pid, each.start)) is not None]
        told = ""
        if not known and self._runtime is not None:
            sandbox, told = _asked(self._runtime.sandbox, pod.uid)
            known = [sandbox] if sandbox is not None else []
        if not known:
            why = self._nothing(pod, group, of) + (f"; and its runtime: {told}" if told else "")
            return model.PodSeen(uid=pod.uid, containers=containers, missing=why)
        # The sandbox began first. What a container has moved elsewhere by itself is not the pod's namespace.
        eldest = min(known)
        if not eldest.netns:
            why = f"the network namespace of process {eldest.pid} cannot be seen: the daemon needs CAP_SYS_PTRACE"
            return model.PodSeen(uid=pod.uid, containers=containers, missing=why)
        return model.PodSeen(
            uid=pod.uid,
            netns=f"/proc/{eldest.pid}/ns/net",
            inode=model.NetnsInode(eldest.netns),
            containers=containers,
        )

    def _container(self, wanted: model.ContainerRef, of: dict[str, tuple[_Process | None, str]]) -> model.ContainerSeen:
        number = kubepods.number(wanted.id)
        if not number:
            return _missing(wanted, "it has no number: it has not begun")
        found, why = of.get(number, (None, f"it has no control group below {self._root}: it has ended, or not begun"))
        if found is None and self._runtime is not None:
            found, told = _asked(self._runtime.container, number)
            why = f"{why}; and its runtime: {told}"
        if found is None:
            return _missing(wanted, why)
        return model.ContainerSeen(name=wanted.name, id=wanted.id, pid=found.pid, start=found.start)

    def _nothing(self, pod: model.PodRef, group: _Group | None, of: dict[str, tuple[_Process | None, str]]) -> str:
        if group is None:
            return (
                f"no control group of pod {pod.uid} is below {self._root}: it is not on this node, it has ended, or "
                "the host's control groups are mounted elsewhere (cgroup_dir)"
            )
        return next((why for _, why in of.values()), "no container of it has begun")


def _asked(question: Callable[[str], int], name: str) -> tuple[_Process | None, str]:
    """The process that a runtime names, or why there is none. It counts as the host does."""
    if os.stat("/proc/self/ns/pid").st_ino != _FIRST_PROCESSES:
        return None, "its process ids mean others here: the daemon needs the host's (hostPID)"
    try:
        found = _alone(question(name), 0)
    except errors.SkepError as failed:
        return None, str(failed)
    return found, "" if found else "the process that it names has ended"


def _missing(wanted: model.ContainerRef, why: str) -> model.ContainerSeen:
    return model.ContainerSeen(name=wanted.name, id=wanted.id, missing=why)


def _of(groups: dict[str, _Group], pod: model.PodRef) -> _Group | None:
    """A pod's groups: by uid, or by its containers: a static pod's are called by another uid than the API's."""
    found = groups.get(kubepods.same(pod.uid))
    if found is not None:
        return found
    numbers = {kubepods.number(each.id) for each in pod.containers} - {""}
    return next((group for group in groups.values() if numbers & group.containers.keys()), None)


def _complete(groups: dict[str, _Group], pod: model.PodRef) -> bool:
    found = _of(groups, pod)
    return found is not None and all(kubepods.number(each.id) in found.containers for each in pod.containers if each.id)


def _hierarchies(root: str) -> Iterator[str]:
    """The tree of version 2, or those of version 1 below ``root``."""
    if os.path.exists(f"{root}/cgroup.procs"):
        yield root
        return
    with contextlib.suppress(OSError):
        names = {entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)}
        for name in (*(one for one in _HIERARCHIES if one in names), *sorted(names - set(_HIERARCHIES))):
            yield f"{root}/{name}"


def _gather(into: dict[str, _Group], hierarchy: str, top: str) -> list[str]:
    """Add the pods below ``top`` of a hierarchy, "" for all of it; the directories at its top that have some.

    A directory that belongs to another user than the hierarchy itself has been handed to him: what he calls his groups
    is his business.
    """
    tops: dict[str, None] = {}
    waiting: list[tuple[str, kubepods.Group, int]] = [(top, kubepods.parse(top), 0)]
    try:
        owner = os.stat(hierarchy).st_uid
    except OSError:
        return []
    while waiting:
        above, group, depth = waiting.pop()
        for entry in _directories(f"{hierarchy}/{above}", owner):
            path, found = f"{above}/{entry}".lstrip("/"), kubepods.below(group, entry)
            match found:
                case kubepods.Above():
                    if depth < _DEPTH:
                        waiting.append((path, found, depth + 1))
                case kubepods.Pod(uid=uid):
                    into.setdefault(uid, _Group())
                    tops[path.partition("/")[0]] = None
                    waiting.append((path, found, depth + 1))
                case kubepods.Container(uid=uid, id=number):
                    tops[path.partition("/")[0]] = None
                    into.setdefault(uid, _Group()).containers.setdefault(number, []).append(f"{hierarchy}/{path}")
                case kubepods.Other():
                    pass
    return list(tops)


def _directories(place: str, owner: int) -> Iterator[str]:
    with contextlib.suppress(OSError), os.scandir(place) as entries:  # gone meanwhile
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == owner:
                    yield entry.name


def _first(places: list[str]) -> tuple[_Process | None, str]:
    """The process with which a container began, or why there is none."""
    hidden = False
    for place in places:
        pids = _members(place)
        hidden = hidden or 0 in pids
        found = [seen for pid in sorted(pids - {0})[:_MOST_PROCESSES] if (seen := _alone(pid, 0)) is not None]
        # Whoever is still here now was here while it was looked at: each was held by its directory.
        still = _members(place) if found else set()
        found = [one for one in found if one.pid in still and process.start(one.pid) == one.start]
        if found:
            return min(found), ""
    if hidden:
        return None, "its processes are not in sight: the daemon needs the host's process ids (hostPID)"
    if not all(os.path.exists(f"{place}/cgroup.events") for place in places):  # version 1 leaves them out
        return (
            None,
            "none of its processes is in sight: it has none, or the daemon needs the host's process ids (hostPID)",
        )
    return None, "no process is left in it"


def _members(place: str) -> set[int]:
    """The processes of a control group and of those in it; 0 stands for each that is not in our pid namespace."""
    found: set[int] = set()
    for directory, _, _ in os.walk(place):
        with contextlib.suppress(OSError), open(f"{directory}/cgroup.procs", encoding="ascii") as file:
            found.update(int(line) for line in file)
    return found


def _alone(pid: int, start: int) -> _Process | None:
    """A process by its number, None when there is none or it did not begin at ``start`` (0: whenever)."""
    try:
        with sys.held(os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as place:
            began = process.start(pid)
            if not began or start not in (0, began):
                return None
            with open(
                os.open("status", os.O_RDONLY | os.O_CLOEXEC, dir_fd=place), encoding="utf-8", errors="replace"
            ) as file:
                numbers = next((line.split() for line in file if line.startswith("NSpid:")), [])
            try:
                netns = os.stat("ns/net", dir_fd=place).st_ino
            except PermissionError:
                netns = 0
    except OSError:
        return None
    return _Process(start=began, inner=numbers[-1:] != ["1"], pid=pid, netns=netns)
