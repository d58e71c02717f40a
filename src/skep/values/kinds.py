"""What can be done with a map of each type from user space, as one table (``enum bpf_map_type``, linux/bpf.h)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final


class Shape(enum.Enum):
    """How elements are reached."""

    KEYED = "keyed"
    PER_CPU = "per-CPU"
    """Keyed, with one value for each possible CPU."""
    KEYLESS = "keyless"
    """A queue or a stack: push, peek and pop."""
    BLOOM = "bloom filter"
    """Values are added and tested for; there is nothing to list."""
    RECORDS = "records"
    """A stream of events."""
    OPAQUE = "opaque"
    """User space cannot read it by key."""


class Refers(enum.Enum):
    """What the 4 bytes of a value name: read as an id, written as a descriptor."""

    NOTHING = "nothing"
    MAP = "map"
    PROGRAM = "program"


@dataclass(frozen=True, slots=True)
class Kind:
    """One map type. ``name``: the kernel's, in lower case."""

    name: str
    shape: Shape = Shape.KEYED
    refers: Refers = Refers.NOTHING
    updatable: bool = True
    deletable: bool = True
    indexed: bool = False
    """The key is a number from 0 to max_entries - 1, whatever BTF says."""


def _array(name: str, shape: Shape = Shape.KEYED) -> Kind:
    return Kind(name, shape, deletable=False, indexed=True)


_KINDS: Final = {
    1: Kind("hash"),
    2: _array("array"),
    3: Kind("prog_array", refers=Refers.PROGRAM, indexed=True),
    4: Kind("perf_event_array", Shape.RECORDS),
    5: Kind("percpu_hash", Shape.PER_CPU),
    6: _array("percpu_array", Shape.PER_CPU),
    7: Kind("stack_trace", updatable=False),
    8: Kind("cgroup_array", Shape.OPAQUE),
    9: Kind("lru_hash"),
    10: Kind("lru_percpu_hash", Shape.PER_CPU),
    11: Kind("lpm_trie"),
    12: Kind("array_of_maps", refers=Refers.MAP, indexed=True),
    13: Kind("hash_of_maps", refers=Refers.MAP),
    14: Kind("devmap", indexed=True),
    15: Kind("sockmap", updatable=False, indexed=True),
    16: Kind("cpumap", indexed=True),
    17: Kind("xskmap", Shape.OPAQUE),
    18: Kind("sockhash", updatable=False),
    19: Kind("cgroup_storage", deletable=False),
    20: Kind("reuseport_sockarray", updatable=False, indexed=True),
    21: Kind("percpu_cgroup_storage", Shape.PER_CPU, deletable=False),
    22: Kind("queue", Shape.KEYLESS),
    23: Kind("stack", Shape.KEYLESS),
    24: Kind("sk_storage", Shape.OPAQUE),
    25: Kind("devmap_hash"),
    26: Kind("struct_ops", updatable=False, deletable=False, indexed=True),
    27: Kind("ringbuf", Shape.RECORDS),
    28: Kind("inode_storage", Shape.OPAQUE),
    29: Kind("task_storage", Shape.OPAQUE),
    30: Kind("bloom_filter", Shape.BLOOM, deletable=False),
    31: Kind("user_ringbuf", Shape.OPAQUE),
    32: Kind("cgrp_storage", Shape.OPAQUE),
    33: Kind("arena", Shape.OPAQUE),
}


def kind(type_: int) -> Kind:
    """What is known of a map type; one newer than the table is opaque."""
    return _KINDS.get(type_) or Kind(f"type {type_}", Shape.OPAQUE, updatable=False, deletable=False)
