"""Maps: every map in the kernel, with our pins of it and the managed programs that use it."""

from __future__ import annotations

from collections import defaultdict

from skep import errors, model
from skep.inventory import seen as looking
from skep.kernel import door


def listed(kernel: door.Kernel, seen: looking.Seen, only: model.MapId | None = None) -> tuple[model.MapView, ...]:
    """Every map, by ascending id; or only one."""
    maps = [one for one in kernel.maps() if only in (None, one.id)]
    users: defaultdict[model.MapId, set[model.ProgramId]] = defaultdict(set)
    pins: defaultdict[model.MapId, list[model.MapPin]] = defaultdict(list)
    at: dict[model.MapPin, model.MapId | None] = {}
    for record in seen.records.programs.values():
        state = seen.status(record)
        if state.kernel is None or (only is not None and only not in state.kernel.map_ids):
            continue
        for id in state.kernel.map_ids:
            users[id].add(record.id)
        for ref in record.maps:
            if ref.pin not in at:
                found = kernel.map(ref.pin)
                at[ref.pin] = None if found is None else found.id
                if found is not None:
                    pins[found.id].append(ref.pin)
    return tuple(
        model.MapView(
            kernel=one, pins=tuple(sorted(pins.get(one.id, ()))), programs=tuple(sorted(users.get(one.id, ())))
        )
        for one in maps
    )


def one(kernel: door.Kernel, seen: looking.Seen, id: model.MapId) -> model.MapView:
    """One map. NotFound."""
    for view in listed(kernel, seen, only=id):
        return view
    raise errors.NotFound(f"no map {id}", why="the kernel has none with this id", do="see 'skep map list'")
