"""Maps: every map in the kernel, with our pins of it and the managed programs that use it."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from skep import errors, model
from skep.hooks import struct_ops
from skep.inventory import seen as looking
from skep.kernel import door

_STRUCT_OPS: Final = 26  # BPF_MAP_TYPE_STRUCT_OPS, linux/bpf.h


def listed(kernel: door.Kernel, seen: looking.Seen) -> tuple[model.MapView, ...]:
    """Every map, by ascending id; memory and frozen are told of those that we have pinned."""
    return _views(kernel, seen, kernel.maps())


def one(kernel: door.Kernel, seen: looking.Seen, id: model.MapId) -> model.MapView:
    """One map. NotFound."""
    found = kernel.map_by_id(id)
    if found is None:
        raise errors.NotFound(f"no map {id}", why="the kernel has none with this id", do="see 'skep map list'")
    (view,) = _views(kernel, seen, (found,))
    return view


def _views(kernel: door.Kernel, seen: looking.Seen, maps: tuple[model.KernelMap, ...]) -> tuple[model.MapView, ...]:
    wanted = {one.id for one in maps}
    tables = any(one.type == _STRUCT_OPS for one in maps)
    users: defaultdict[model.MapId, set[model.ProgramId]] = defaultdict(set)
    pins: defaultdict[model.MapId, list[model.MapPin]] = defaultdict(list)
    at: dict[model.MapPin, model.KernelMap | None] = {}
    known: dict[model.MapId, model.KernelMap] = {}
    for record in seen.records.programs.values():
        state = seen.status(record)
        # A program does not use the struct_ops map that it stands in: the map uses the program.
        stands = tables and record.hook == struct_ops.HOOK.name
        if state.kernel is None or (wanted.isdisjoint(state.kernel.map_ids) and not stands):
            continue
        for id in state.kernel.map_ids:
            users[id].add(record.id)
        for ref in record.maps:
            if ref.pin not in at:
                at[ref.pin] = found = kernel.map(ref.pin)
                if found is not None:
                    known[found.id] = found
                    pins[found.id].append(ref.pin)
            there = at[ref.pin]
            if stands and there is not None and there.type == _STRUCT_OPS:
                users[there.id].add(record.id)
    return tuple(
        model.MapView(
            kernel=known.get(one.id, one),
            pins=tuple(sorted(pins.get(one.id, ()))),
            programs=tuple(sorted(users.get(one.id, ()))),
        )
        for one in maps
    )
