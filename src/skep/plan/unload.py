"""Remove a program: its links, its pins, and its maps when nobody else uses them."""

from __future__ import annotations

import dataclasses

from skep import model, steps
from skep.plan import depart, find, sets
from skep.plan.world import Fresh, World


def plan(operation: model.Unload, world: World, fresh: Fresh) -> steps.Plan:
    """Unload ``operation.program``. NotFound; else see ``depart.depart``.

    A set of maps outlives its owner while a borrower uses it; a LIBBPF_PIN_BY_NAME pin goes with its last set.
    """
    record = find.program(world, fresh, operation.program)
    departure = depart.depart(find.links_of(world, record.key), world, fresh)
    gone = _gone_sets(record, world)
    last = (
        steps.RemoveAlias(path=fresh.pins.alias_program(record.id)),
        steps.RemoveAlias(path=fresh.pins.alias_maps(record.id)),
        steps.Unpin(pin=record.pin),
        *sets.unpin_shared(record.maps, record.key, world, fresh.pins),
        *(steps.RemoveDirectory(path=path) for key in gone for path in (fresh.pins.set(key), fresh.pins.private(key))),
    )
    # A stale record's aliases may by now be those of a new program with a reused id.
    if _id_is_reused(record, world):
        last = last[2:]

    def commit(results: steps.Results) -> steps.StoreChange:
        return dataclasses.replace(departure.change(results), drop_programs=(record.key,))

    def finish(results: steps.Results) -> tuple[steps.Finish, ...]:
        return (*departure.finish(fresh), *last)

    return steps.Plan(steps=departure.todo, commit=commit, finish=finish, warnings=departure.warnings)


def _gone_sets(record: model.ProgramRecord, world: World) -> tuple[model.SetKey, ...]:
    """The sets that nobody uses without ``record``."""
    used = (record.set,) if record.owner is None else (record.set, record.owner)
    return tuple(key for key in used if all(one.key == record.key for one in find.users(world, key)))


def _id_is_reused(record: model.ProgramRecord, world: World) -> bool:
    return any(one.id == record.id and one.key != record.key for one in world.programs.values())
