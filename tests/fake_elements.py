"""What the fake kernel's maps hold: hashes, arrays, per-CPU values, queues, maps of maps, and events to be taken."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from typing import Any

from skep import errors, model
from skep.kernel import door
from skep.values import kinds

CPUS = 2
HASH, ARRAY, PERCPU_HASH, ARRAY_OF_MAPS, QUEUE, STACK, RINGBUF = 1, 2, 5, 12, 22, 23, 27


class Elements:
    """Part of ``FakeKernel``, whose ``_maps`` are ``fake_kernel.Map`` with ``held`` and ``queue``."""

    _maps: dict[model.MapId, Any]  # Any: fake_kernel imports this module
    btfs: dict[int, bytes]
    foreign_pins: dict[str, model.MapId]
    events: dict[model.MapId, list[door.Raw]]
    readers = 0
    """Readers that are open."""

    def _start_elements(self) -> None:
        self.btfs, self.foreign_pins, self.events = {}, {}, {}

    def map_at(self, caller: model.Caller, path: str) -> model.MapId:
        if path not in self.foreign_pins:
            raise errors.NotFound(f"no map at {path}")
        if caller.uid:
            raise errors.Denied(f"cannot open the map at {path}")
        return self.foreign_pins[path]

    def btf(self, id: int) -> bytes:
        return self.btfs.get(id, b"")

    def possible_cpus(self) -> int:
        return CPUS

    def elements(self, map: model.MapId, after: bytes, limit: int) -> tuple[door.Elements, bytes]:
        held = self._held(map)
        keys = list(held)
        start = keys.index(after[1:]) + 1 if after else 0
        chosen = keys[start : start + limit]
        more = start + limit < len(keys)
        return tuple((key, held[key]) for key in chosen), b"k" + chosen[-1] if more else b""

    def element(self, map: model.MapId, key: bytes, value: bytes = b"") -> tuple[bytes, ...] | None:
        one = self._maps[map]
        if one.info.type in (QUEUE, STACK):
            return (one.queue[self._next_of(one)],) if one.queue else None
        return self._held(map).get(key)

    @contextlib.contextmanager
    def records(self, map: model.MapId) -> Iterator[door.Reader]:
        if self._maps[map].info.type != RINGBUF:
            raise errors.InvalidRequest(f"map {map} holds no events")
        self.readers += 1
        try:
            yield _Reader(self.events.setdefault(map, []))
        finally:
            self.readers -= 1

    def update_element(self, map: model.MapId, key: bytes, values: tuple[bytes, ...], flags: int) -> None:
        one, held = self._maps[map], self._held(map)
        if one.info.frozen:
            raise errors.Denied(f"map {map} cannot be written")
        if one.info.type in (QUEUE, STACK):
            if len(one.queue) >= one.info.max_entries:
                raise errors.Exhausted(f"map {map} is full")
            one.queue.append(values[0])
            return
        if flags == model.MapMode.NEW and key in held:
            raise errors.AlreadyExists(f"the key is in map {map} already")
        if flags == model.MapMode.EXISTING and key not in held:
            raise errors.NotFound(f"no such key in map {map}")
        if key not in held and len(held) >= one.info.max_entries:
            raise errors.Exhausted(f"map {map} is full")
        if one.info.type == ARRAY_OF_MAPS and struct.unpack("=I", values[0])[0] not in self._maps:
            raise errors.NotFound("no map")
        one.held[key] = values

    def delete_element(self, map: model.MapId, key: bytes) -> bytes | None:
        one = self._maps[map]
        if one.info.type in (QUEUE, STACK):
            if not one.queue:
                raise errors.NotFound(f"map {map} is empty")
            popped: bytes = one.queue.pop(self._next_of(one))
            return popped
        if key not in one.held:
            raise errors.NotFound(f"no such key in map {map}")
        del one.held[key]
        return None

    def _next_of(self, one: Any) -> int:
        return 0 if one.info.type == QUEUE else -1

    def _held(self, map: model.MapId) -> dict[bytes, tuple[bytes, ...]]:
        one = self._maps[map]
        kind = kinds.kind(one.info.type)
        if kind.indexed and kind.refers is kinds.Refers.NOTHING:
            copies = CPUS if kind.shape is kinds.Shape.PER_CPU else 1
            for index in range(one.info.max_entries):
                one.held.setdefault(struct.pack("=I", index), (bytes(one.info.value_size),) * copies)
        held: dict[bytes, tuple[bytes, ...]] = one.held
        return held


class _Reader:
    def __init__(self, waiting: list[door.Raw]) -> None:
        self._waiting = waiting

    def read(self, timeout: float, most: int) -> tuple[door.Raw, ...]:
        taken = tuple(self._waiting[:most])
        del self._waiting[:most]
        return taken
