"""What the kernel says of programs, maps and links, in bpfman's shapes."""

from __future__ import annotations

from dataclasses import dataclass

from skep import model
from skep.cli import when
from skep.model import kind

ABSENT_LINK_FIELDS = (
    "target_obj_id",
    "target_btf_id",
    "cgroup_id",
    "netns_ino",
    "netfilter_pf",
    "netfilter_hooknum",
    "netfilter_priority",
    "netfilter_flags",
    "kprobe_multi_count",
    "kprobe_multi_flags",
    "kprobe_multi_missed",
    "kprobe_address",
    "kprobe_missed",
)
"""Fields of links of other types, which bpfman prints as 0 on every link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the documents need to know about this machine: when it booted, and whether it counts runs.

    ``booted_at``: seconds since the epoch at CLOCK_BOOTTIME 0. ``statistics``: ``kernel.bpf_stats_enabled``.
    """

    booted_at: float
    statistics: bool


def program(seen: model.KernelProgram, host: Host) -> dict[str, object]:
    """``bpf_prog_info``."""
    return {
        "id": seen.id,
        "name": seen.name,
        "program_type": kind.program(seen.type),
        "tag": seen.tag,
        "loaded_at": when.stamp(host.booted_at + seen.loaded_at_ns / 1e9, whole=True),
        "uid": seen.uid,
        "has_uid": True,
        "btf_id": seen.btf_id,
        "has_btf_id": seen.btf_id != 0,
        "map_ids": list(seen.map_ids),
        "has_map_ids": True,
        "jited_size": seen.jited_bytes,
        "xlated_size": seen.xlated_bytes,
        "verified_insns": seen.verified_insns,
        "memlock": seen.memlock_bytes,
        "has_memlock": seen.memlock_bytes != 0,
        "restricted": seen.xlated_bytes == 0,
        "gpl_compatible": seen.gpl_compatible,
    }


def statistics(seen: model.KernelProgram, host: Host) -> dict[str, object] | None:
    """Run counters (times in nanoseconds); None while the kernel does not count."""
    if not (host.statistics or seen.run_count or seen.recursion_misses):
        return None
    return {
        "runtime": seen.run_time_ns,
        "run_count": seen.run_count,
        "recursion_misses": seen.recursion_misses,
    }


def map(view: model.MapView, pin: str = "") -> dict[str, object]:
    """``bpf_map_info`` with the pin that reaches it: ``pin`` if given, else the first that is known."""
    seen = view.kernel
    path = pin or next(iter(view.pins), "")
    return {
        "id": seen.id,
        "name": seen.name,
        "map_type": kind.map(seen.type),
        "key_size": seen.key_size,
        "value_size": seen.value_size,
        "max_entries": seen.max_entries,
        "flags": seen.flags,
        "btf_id": seen.btf_id,
        "has_btf_id": seen.btf_id != 0,
        "map_extra": seen.map_extra,
        "has_map_extra": seen.map_extra != 0,
        "memlock": seen.memlock_bytes,
        "has_memlock": seen.memlock_bytes != 0,
        # A list does not look into maps that are not ours; then nobody knows.
        "frozen": seen.frozen if seen.memlock_bytes else None,
        "pin_path": path,
        "present": path != "",
        "pins": list(view.pins),
        "programs": list(view.programs),
    }


def link(seen: model.KernelLink) -> dict[str, object]:
    """``bpf_link_info``."""
    name = kind.link(seen.type)
    return {
        "id": seen.id,
        "program_id": seen.program_id,
        "link_type": name,
        "attach_type": str(seen.attach_type) if name in kind.ATTACH_TYPE_SHOWN else "",
        "ifindex": seen.ifindex,
        **dict.fromkeys(ABSENT_LINK_FIELDS, 0),
        "detail": seen.detail,
    }
