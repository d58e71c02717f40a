"""Load programs out of one object, pinned with their maps, which they share as one set."""

from __future__ import annotations

from skep import errors, hooks, model, steps
from skep.plan import objects, sets, tables
from skep.plan.world import Fresh, World


def plan(operation: model.Load, world: World, fresh: Fresh) -> steps.Plan:
    """Load ``operation.programs``, all or none. Exhausted (16 MiB), BadObject, NotFound (no such program or map owner),
    Conflict (type mismatch), Unsupported (type), InvalidRequest (variables, map owner)."""
    opened = objects.read(operation.object)
    wanted = objects.wanted(opened, operation.programs)
    tables.check_whole(opened, wanted)
    for one in wanted:
        _check_aim(one, world, fresh)
    patches = objects.patches(opened, operation.global_data)
    owner = None if operation.map_owner is None else _owner(operation.map_owner, world, fresh)
    lent = {} if owner is None else sets.maps_of(owner, world, fresh.pins)
    loads, refs = sets.assign(opened, lent, {}, fresh.set, "", world, fresh.pins)
    programs = tuple(
        one.load(fresh.pins.program(key, 1), world.features) for key, one in zip(fresh.programs, wanted, strict=True)
    )
    step = steps.LoadObject(
        load=steps.ObjectLoad(object=operation.object, programs=programs, maps=loads, patches=patches)
    )

    def commit(results: steps.Results) -> steps.StoreChange:
        records = []
        members = {}
        for key, one, program in zip(fresh.programs, wanted, programs, strict=True):
            made = results.programs[program.pin]
            members[key] = made.member
            records.append(
                model.ProgramRecord(
                    key=key,
                    generation=1,
                    id=made.kernel.id,
                    tag=made.kernel.tag,
                    loaded_at_ns=made.kernel.loaded_at_ns,
                    boot_id=fresh.boot.boot_id,
                    name=one.name,
                    hook=one.hook.name,
                    section=one.section,
                    prog_type=one.hook.prog_type,
                    object=opened.digest,
                    source=operation.source,
                    pin=program.pin,
                    set=fresh.set,
                    maps=refs,
                    owner=owner,
                    owner_id=operation.map_owner,
                    attach_func=one.attach_func,
                    license=opened.license,
                    gpl_compatible=made.kernel.gpl_compatible,
                    metadata=operation.metadata,
                    global_data=operation.global_data,
                    loaded_by=fresh.caller,
                    created_at=fresh.now,
                )
            )
        return steps.StoreChange(objects={opened.digest: operation.object}, programs=tuple(records), members=members)

    def finish(results: steps.Results) -> tuple[steps.Finish, ...]:
        maps = fresh.pins.set(fresh.set if owner is None else owner)
        return tuple(
            alias
            for program in programs
            for alias in aliases(results.programs[program.pin].kernel.id, program.pin, maps, fresh)
        )

    made = (*_directories(refs, fresh), step)
    return steps.Plan(steps=made, commit=commit, finish=finish)


def _check_aim(wanted: objects.Wanted, world: World, fresh: Fresh) -> None:
    """Raise Conflict for a function of a program that runs as a copy inside a chain: replacing it would change nothing,
    or only until the chain's next change."""
    target = wanted.load(model.ProgramPin(""), world.features).attach_program
    if target is None:
        return
    why = ""
    for record in world.programs.values():
        ordering = hooks.by_name(record.hook).ordering
        if record.id == target and record.boot_id == fresh.boot.boot_id and ordering is hooks.Ordering.LINKED:
            why = f"{record.hook} programs of skep run as copies inside a chain"
    for chain in world.chains.values():
        if chain.program_id == target and chain.boot_id == fresh.boot.boot_id:
            why = f"it is the present revision of the chain {chain.key}, which the next change replaces"
    if why:
        raise errors.Conflict(
            f"{wanted.name!r} cannot replace a function of program {target}",
            why=why,
            do="replace the whole program with 'skep program replace', or attach another beside it",
        )


def aliases(
    id: model.ProgramId, pin: model.ProgramPin, maps: model.PinDir, fresh: Fresh
) -> tuple[steps.Alias, steps.Alias]:
    """bpfman's names for a program's pin and its maps' directory."""
    return (
        steps.Alias(path=fresh.pins.alias_program(id), target=pin),
        steps.Alias(path=fresh.pins.alias_maps(id), target=maps),
    )


def _directories(refs: tuple[model.MapRef, ...], fresh: Fresh) -> tuple[steps.Step, ...]:
    own = [ref for ref in refs if ref.pin.startswith((f"{fresh.pins.set(fresh.set)}/", fresh.pins.private(fresh.set)))]
    made: list[steps.Step] = [steps.MakeDirectory(path=fresh.pins.set(fresh.set))]
    if any(ref.internal for ref in own):
        made.append(steps.MakeDirectory(path=fresh.pins.private(fresh.set)))
    return tuple(made)


def _owner(id: model.ProgramId, world: World, fresh: Fresh) -> model.SetKey:
    """The set that program ``id`` owns. Its program may be gone while a borrower keeps the set.

    NotFound; InvalidRequest for a program that borrows its maps itself.
    """
    living = [record for record in world.programs.values() if record.boot_id == fresh.boot.boot_id]
    for record in living:
        if record.id == id:
            if record.owner is not None:
                raise errors.InvalidRequest(
                    f"program {id} ({record.name}) owns no maps",
                    why=f"it uses those of program {record.owner_id}",
                    do=f"name {record.owner_id} as the map owner",
                )
            return record.set
    for record in living:
        if record.owner_id == id and record.owner is not None:
            return record.owner
    raise errors.NotFound(f"no map owner {id}", why="no managed program has that id", do="see 'skep program list'")
