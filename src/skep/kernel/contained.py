"""Programs and maps that only a map keeps: tail-called programs in an array, inner maps in a map of maps.

Whole families of programs are kept so, and nothing else leads to them. Only looked for when there are objects that
nobody is seen to hold; bounded, and told when not all was looked at.
"""

from __future__ import annotations

import ctypes
import struct
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from skep import model
from skep.kernel import abi, sys

MOST: Final = 50_000
"""Elements that are looked at."""
_HOLDS: Final = {
    abi.MAP_TYPE_PROG_ARRAY: model.ObjectKind.PROGRAM,
    abi.MAP_TYPE_ARRAY_OF_MAPS: model.ObjectKind.MAP,
    abi.MAP_TYPE_HASH_OF_MAPS: model.ObjectKind.MAP,
}
"""Map type -> what its elements are, whose ids user space is told (Linux 4.13)."""


@dataclass(slots=True, kw_only=True)
class Found:
    """Maps by what is in them."""

    inside: defaultdict[model.ObjectRef, set[model.MapId]] = field(default_factory=lambda: defaultdict(set))
    cut: bool = False


def walk(maps: Iterable[model.KernelMap], wanted: Collection[model.ObjectRef]) -> Found:
    """Look for ``wanted`` in maps."""
    found = Found()
    left = MOST
    kinds = {kind for kind, _ in wanted}
    for one in maps:
        kind = _HOLDS.get(one.type)
        if kind not in kinds or kind is None:
            continue
        try:
            with sys.held(sys.fd_by_id(abi.MAP_GET_FD_BY_ID, one.id)) as fd:
                for id_ in _values(fd, one, left):
                    left -= 1
                    if id_ and (kind, id_) in wanted:
                        found.inside[kind, id_].add(one.id)
        except OSError:
            continue  # gone meanwhile
        if left <= 0:
            found.cut = True
            break
    return found


def _values(fd: int, one: model.KernelMap, most: int) -> Iterator[int]:
    """The id at each of the first ``most`` keys, 0 for an empty element."""
    value = ctypes.create_string_buffer(4)
    for count, key in enumerate(_keys(fd, one)):
        if count == most:
            return
        try:
            sys.map_lookup(fd, key, value)
            yield struct.unpack("=I", value.raw)[0]
        except OSError:
            yield 0


def _keys(fd: int, one: model.KernelMap) -> Iterator[bytes]:
    if one.type != abi.MAP_TYPE_HASH_OF_MAPS:
        yield from (struct.pack("=I", index) for index in range(one.max_entries))
        return
    key: bytes | None = None
    following = ctypes.create_string_buffer(one.key_size)
    for _ in range(one.max_entries):
        try:
            sys.map_next_key(fd, key, following)
        except OSError:
            return
        key = following.raw
        yield key
