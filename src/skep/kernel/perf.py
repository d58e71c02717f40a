"""Perf events that tracing programs attach to: tracepoints and uprobes."""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import os
from typing import Final

from skep import errors
from skep.hooks import request
from skep.kernel import abi, cpus, refused, sys, uprobe

_TRACEFS: Final = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
_PMU: Final = "/sys/bus/event_source/devices"


def open_tracepoint(target: request.TracepointTarget) -> int:
    """An event for a tracepoint. Opened on one CPU, yet a program attached to it runs for every CPU."""
    attr = attr_of(abi.PERF_TYPE_TRACEPOINT, tracepoint_id(target))
    try:
        return sys.perf_event_open(attr, -1, 0)
    except OSError as refusal:
        raise refused.general(f"cannot open the tracepoint {target.group}/{target.name}", refusal) from refusal


def tracepoint_id(target: request.TracepointTarget) -> int:
    """The number tracefs gives a tracepoint. ``NotFound`` with near misses; ``Unsupported`` without tracefs."""
    root = tracefs()
    label = f"{target.group}/{target.name}"
    for part in (target.group, target.name):
        if not part or "/" in part or part in (".", ".."):
            raise errors.InvalidRequest(f"{label!r} is not a tracepoint", do="write it as group/name")
    try:
        with open(f"{root}/events/{label}/id", encoding="ascii") as file:
            return int(file.read())
    except FileNotFoundError as missing:
        near = _near_tracepoints(root, target)
        raise errors.NotFound(
            f"no tracepoint {label!r}", near=near, do="" if near else f"see {root}/available_events",
            errno=errno.ENOENT,
        ) from missing  # fmt: skip
    except OSError as refusal:
        raise refused.general(f"cannot read the tracepoint {label!r}", refusal) from refusal


def tracefs() -> str:
    """Where tracefs is mounted. ``Unsupported`` when it is not."""
    for path in _TRACEFS:
        if os.path.isdir(f"{path}/events"):
            return path
    raise errors.Unsupported(
        "tracepoints cannot be looked up",
        feature="tracefs",
        first="4.1",
        why="it is not mounted",
        do=f"mount -t tracefs tracefs {_TRACEFS[0]}",
    )


def events() -> tuple[str, ...]:
    """The names of tracepoints without their groups; none where tracefs is not mounted."""
    try:
        with open(f"{tracefs()}/available_events", encoding="ascii", errors="replace") as file:
            return tuple(dict.fromkeys(line.rstrip().partition(":")[2] for line in file))
    except (OSError, errors.Unsupported):
        return ()


def open_uprobe(target: request.UprobeTarget) -> int:
    """An event of the uprobe PMU (Linux 4.17)."""
    place = uprobe.resolve(target)
    with sys.held(place.fd):
        path = ctypes.create_string_buffer(os.fsencode(place.path))
        config = retprobe_bit("uprobe") if target.retprobe else 0
        attr = attr_of(pmu_type("uprobe"), config, config1=ctypes.addressof(path), config2=place.offset)
        process, cpu = (-1, 0) if target.pid is None else (target.pid, -1)
        try:
            return sys.perf_event_open(attr, process, cpu)
        except OSError as refusal:
            what = f"cannot probe {target.symbol or hex(target.offset)} in {target.path}"
            if refusal.errno == errno.ESRCH and target.pid is not None:
                raise errors.NotFound(
                    what, why=f"no process {target.pid}", errno=errno.ESRCH, do="see `ps -e`"
                ) from refusal
            if refusal.errno in (errno.EINVAL, errno.EIO):
                raise errors.Rejected(
                    what,
                    why=f"{refused.explain(refusal.errno)}: the kernel takes no probe at this instruction or file",
                    do="give the offset of the first byte of an instruction",
                    errno=refusal.errno,
                ) from refusal
            raise refused.general(what, refusal) from refusal


def open_site(path: str, offset: int, semaphore: int, pid: int | None) -> int:
    """An event of the uprobe PMU at an offset, whose semaphore (0: none) the kernel keeps counted up (Linux 4.20)."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    config = semaphore << _reference_shift() if semaphore else 0
    attr = attr_of(pmu_type("uprobe"), config, config1=ctypes.addressof(name), config2=offset)
    process, cpu = (-1, 0) if pid is None else (pid, -1)
    return sys.perf_event_open(attr, process, cpu)


def _reference_shift() -> int:
    """Where in ``config`` the semaphore's offset begins. ``Unsupported``: the kernel takes none."""
    try:
        with open(f"{_PMU}/uprobe/format/ref_ctr_offset", encoding="ascii") as file:
            return int(file.read().partition(":")[2].partition("-")[0])
    except OSError as missing:
        raise errors.Unsupported(
            "the probe has a semaphore",
            feature="uprobe reference counters",
            first="4.20",
            why=f"{_PMU}/uprobe/format/ref_ctr_offset is missing",
            do="probe it by its offset",
            errno=missing.errno or 0,
        ) from missing


def check_uprobe(target: request.UprobeTarget) -> None:
    """Resolve a uprobe's target and look for its process, without making an event."""
    os.close(uprobe.resolve(target).fd)
    check_process(target.pid)


def check_process(pid: int | None) -> None:
    """``NotFound`` when there is no such process."""
    if pid is not None and not os.path.exists(f"/proc/{pid}"):
        raise errors.NotFound(f"no process {pid}", errno=errno.ESRCH, do="see `ps -e`")


def pmu_type(name: str) -> int:
    """The number of a dynamic PMU ("uprobe", "kprobe"). ``Unsupported`` when the kernel has none."""
    try:
        with open(f"{_PMU}/{name}/type", encoding="ascii") as file:
            return int(file.read())
    except OSError as missing:
        raise errors.Unsupported(
            f"{name}s cannot be attached",
            feature=f"perf PMU {name!r}",
            first="4.17",
            why=f"{_PMU}/{name} is missing: the kernel was built without it",
            errno=missing.errno or 0,
            do="enable it in the kernel",
        ) from missing


def retprobe_bit(name: str) -> int:
    """The bit of ``config`` that asks a PMU for returns."""
    with open(f"{_PMU}/{name}/format/retprobe", encoding="ascii") as file:
        return 1 << int(file.read().partition(":")[2])


def open_counter(target: request.PerfEventTarget) -> int:
    """An event for a clock or counter of a process or a processor."""
    frequent = target.frequency is not None
    every = target.frequency if target.frequency is not None else target.period
    attr = attr_of(target.type, target.config, every=every or 0, flags=abi.PERF_ATTR_FREQ if frequent else 0)
    try:
        return sys.perf_event_open(
            attr, -1 if target.pid is None else target.pid, -1 if target.cpu is None else target.cpu
        )
    except OSError as refusal:
        what = f"cannot count {target}"
        if refusal.errno == errno.ESRCH:
            raise errors.NotFound(what, why=f"no process {target.pid}", do="see `ps`", errno=errno.ESRCH) from refusal
        if refusal.errno in (errno.ENODEV, errno.EINVAL) and not _online(target.cpu):
            raise errors.NotFound(
                what, why=f"no processor {target.cpu} is online", do="see `lscpu`", errno=refusal.errno
            ) from refusal
        if refusal.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV):
            raise errors.Unsupported(
                what,
                feature=f"perf event {target.name}",
                first="4.9",
                why=f"{refused.explain(refusal.errno)}: this machine has no such counter",
                do="take a software event, such as cpu-clock",
                errno=refusal.errno,
            ) from refusal
        raise refused.general(what, refusal) from refusal


def on_each_processor(target: request.PerfEventTarget) -> tuple[request.PerfEventTarget, ...]:
    """The events that make up one of everything: one for each processor that is online."""
    if target.pid is not None or target.cpu is not None:
        return (target,)
    return tuple(dataclasses.replace(target, cpu=cpu) for cpu in cpus.online())


def check_counter(target: request.PerfEventTarget) -> None:
    """Open the event and close it again."""
    os.close(open_counter(target))


def _online(cpu: int | None) -> bool:
    return cpu is None or cpu in cpus.online()


def attr_of(type_: int, config: int, *, config1: int = 0, config2: int = 0, every: int = 0, flags: int = 0) -> bytes:
    """``struct perf_event_attr`` of an event that is on from the start."""
    return abi.PERF_ATTR.pack(type_, abi.PERF_ATTR.size, config, every, 0, 0, flags, 0, 0, config1, config2)


def _near_tracepoints(root: str, target: request.TracepointTarget) -> tuple[str, ...]:
    """Events of the same group first; with a wrong group, groups like it, or the event in another group."""
    try:
        groups = sorted(entry.name for entry in os.scandir(f"{root}/events") if entry.is_dir())
        if target.group in groups:
            known = [entry.name for entry in os.scandir(f"{root}/events/{target.group}") if entry.is_dir()]
            return tuple(f"{target.group}/{name}" for name in errors.near_misses(target.name, known))
        same = tuple(
            f"{group}/{target.name}" for group in groups if os.path.isdir(f"{root}/events/{group}/{target.name}")
        )
        return same[:3] or tuple(f"{group}/…" for group in errors.near_misses(target.group, groups))
    except OSError:
        return ()
