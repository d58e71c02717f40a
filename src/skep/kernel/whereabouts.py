"""Where links are attached, in words: "cgroup connect4 /user.slice", "fentry vfs_read".

What ``bpf_link_info`` tells of each type; the names of interfaces, namespaces, cgroups and maps come from those who
looked for them.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Final

from skep import errors, model
from skep.bytecode import kernel_types
from skep.kernel import abi, cgroup_tree, observe, sys

_EVENTS: Final = {1: "uprobe", 2: "uretprobe", 3: "kprobe", 4: "kretprobe", 5: "tracepoint", 6: "perf event"}
"""enum bpf_perf_event_type, linux/bpf.h."""
_TRACING: Final = {23: "tp_btf", 24: "fentry", 25: "fexit", 26: "fmod_ret", 27: "lsm", 43: "lsm_cgroup", 56: "fsession"}
_NETNS: Final = {17: "flow_dissector", 36: "sk_lookup"}
_FAMILIES: Final = {2: "ipv4", 10: "ipv6"}
_CHAINS: Final = ("prerouting", "input", "forward", "output", "postrouting")
_ROOM: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What others know by name: interfaces' links, network namespaces by inode, cgroups by number, maps by id."""

    links: Mapping[model.KernelLinkId, str]
    namespaces: Mapping[int, str]
    groups: Mapping[int, str]
    maps: Mapping[int, str]


def group(fd: int) -> int:
    """The number of the cgroup that a cgroup link is attached to, 0 when it is gone."""
    words = _words(fd)
    return words[0] | words[1] << 32


def told(fd: int, link: model.KernelLink, names: Names) -> str:
    """Where the link behind ``fd`` is attached; "" when its type does not tell."""
    if link.id in names.links:
        return names.links[link.id]
    words = _words(fd)
    match link.type:
        case abi.LINK_TYPE_XDP | abi.LINK_TYPE_TCX | abi.LINK_TYPE_NETKIT:
            return f"interface {link.ifindex}" if link.ifindex else "a deleted interface"
        case abi.LINK_TYPE_RAW_TRACEPOINT:
            return f"raw_tracepoint {_text(fd, abi.LINK_INFO_NAME)}"
        case abi.LINK_TYPE_ITER:
            return f"iter {_text(fd, abi.LINK_INFO_NAME)}"
        case abi.LINK_TYPE_TRACING:
            return _tracing(*words[:3])
        case abi.LINK_TYPE_CGROUP:
            number = words[0] | words[1] << 32
            place = names.groups.get(number, f"number {number}" if number else "that was removed")
            return f"cgroup {cgroup_tree.HOOKS.get(words[2], words[2])} {place}"
        case abi.LINK_TYPE_NETNS:
            return f"{_NETNS.get(words[1], 'netns')} {_namespace(words[0], names)}"
        case abi.LINK_TYPE_NETFILTER:
            family, chain = _FAMILIES.get(words[0], words[0]), words[1]
            priority = ctypes.c_int32(words[2]).value
            return f"netfilter {family} {_CHAINS[chain] if chain < len(_CHAINS) else chain} priority {priority}"
        case abi.LINK_TYPE_KPROBE_MULTI:
            return f"kprobe_multi {link.detail}".strip()
        case abi.LINK_TYPE_UPROBE_MULTI:
            return " ".join(filter(None, ("uprobe_multi", _text(fd, abi.LINK_INFO_UPROBE), link.detail)))
        case abi.LINK_TYPE_PERF_EVENT:
            return f"{_EVENTS.get(words[0], 'perf event')} {link.detail}".strip()
        case abi.LINK_TYPE_STRUCT_OPS:
            return f"struct_ops {_map(words[0], names)}"
        case abi.LINK_TYPE_SOCKMAP:
            return f"sockmap {_map(words[0], names)}"
        case _:
            return link.detail


def _tracing(attach_type: int, object_id: int, type_id: int) -> str:
    if not attach_type:  # an extension: it replaces a function of another program
        return f"freplace program {object_id}"
    name = _function(type_id) if object_id == _kernel() else ""
    return f"{_TRACING.get(attach_type, 'tracing')} {name or f'type {type_id} of BTF {object_id}'}"


@functools.cache
def _kernel() -> int:
    """The BTF id of the kernel's own types: the first that there is (``btf_parse_vmlinux`` is called at boot)."""
    try:
        return next(observe.ids(abi.BTF_GET_NEXT_ID), 0)
    except OSError:
        return 0


@functools.lru_cache(4096)
def _function(type_id: int) -> str:
    """The name of a type of the kernel. Costs a tenth of a second, once for each."""
    try:
        types, found = kernel_types.part(observe.kernel_types(), type_id)
    except errors.SkepError:
        return ""
    one = types.type(found)
    return one.name.removeprefix("btf_trace_").removeprefix("bpf_lsm_") if one else ""


def _namespace(inode: int, names: Names) -> str:
    if not inode:
        return "of a network namespace that is gone"
    return names.namespaces.get(inode, f"netns {inode}") or "of skep's network namespace"


def _map(id_: int, names: Names) -> str:
    return names.maps.get(id_) or (f"map {id_}" if id_ else "a map that is gone")


def _words(fd: int) -> tuple[int, ...]:
    buffer = ctypes.create_string_buffer(abi.LINK_INFO_SIZE)
    sys.info(fd, buffer)
    return tuple(abi.LINK_INFO.unpack_from(buffer)[3:])


def _text(fd: int, layout: Struct) -> str:
    """A name that the kernel writes to where the info points."""
    room = ctypes.create_string_buffer(_ROOM)
    at = ctypes.addressof(room)
    named = layout is abi.LINK_INFO_NAME
    head = abi.LINK_INFO_NAME.pack(at, _ROOM) if named else abi.LINK_INFO_UPROBE.pack(at, 0, 0, 0, _ROOM)
    buffer = ctypes.create_string_buffer(bytes(abi.LINK_INFO_UNION_AT) + head, abi.LINK_INFO_SIZE)
    try:
        sys.info(fd, buffer)
    except OSError:
        return ""  # before 5.8, 5.10 or 6.8
    return room.value.decode(errors="replace")
