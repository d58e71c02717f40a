"""Load programs out of one object, pinned with their maps, which they share as one set."""

from __future__ import annotations

from skep import errors, model, steps
from skep.plan import find, objects
from skep.plan.world import Fresh, World


def plan(operation: model.Load, world: World, fresh: Fresh) -> steps.Plan:
    """Load ``operation.programs``, all or none. Exhausted (16 MiB), BadObject, NotFound (no such program or map owner),
    Conflict (type mismatch), Unsupported (type), InvalidRequest (variables, map owner)."""
    opened = objects.read(operation.object)
    wanted = objects.wanted(opened, operation.programs)
    patches = objects.patches(opened, operation.global_data)
    owner = None if operation.map_owner is None else _owner(operation.map_owner, world, fresh)
    loads, refs = _maps(opened, owner, world, fresh)
    programs = tuple(
        one.load(fresh.pins.program(key, 1)) for key, one in zip(fresh.programs, wanted, strict=True)
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
        return steps.StoreChange(
            objects={opened.digest: operation.object}, programs=tuple(records), members=members
        )

    def finish(results: steps.Results) -> tuple[steps.Finish, ...]:
        maps = fresh.pins.set(fresh.set if owner is None else owner)
        return tuple(
            alias
            for program in programs
            for alias in aliases(results.programs[program.pin].kernel.id, program.pin, maps, fresh)
        )

    made = (*_directories(refs, fresh), step)
    return steps.Plan(steps=made, commit=commit, finish=finish)


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


def _maps(
    opened: objects.Opened, owner: model.SetKey | None, world: World, fresh: Fresh
) -> tuple[tuple[steps.MapLoad, ...], tuple[model.MapRef, ...]]:
    """Where each map of the object comes from and goes to: the owner's set, the host's shared maps, or a new map."""
    owned = {} if owner is None else {ref.name: ref for ref in set_maps(owner, world, fresh)}
    loads = []
    refs = []
    for one in objects.declared(opened):
        lent = owned.get(one.name)
        own = fresh.pins.map(fresh.set, one.name)
        shared = fresh.pins.shared(one.name)
        if lent is not None:
            loads.append(steps.MapLoad(name=one.name, pins=(lent.pin,), reuse=lent.pin))
            refs.append(lent)
        elif one.pinned_by_name:
            # Which of the two it is must be known now: undoing the load unpins what the load made, and only that.
            reuse = shared if shared in world.shared else None
            loads.append(steps.MapLoad(name=one.name, pins=(own, shared), reuse=reuse))
            refs.append(model.MapRef(name=one.name, pin=own, shared=True))
        else:
            loads.append(steps.MapLoad(name=one.name, pins=(own,)))
            refs.append(model.MapRef(name=one.name, pin=own))
    for number, section in enumerate(objects.sections(opened)):
        pin = fresh.pins.internal(fresh.set, number, section.name)
        loads.append(steps.MapLoad(name=section.name, pins=(pin,)))
        refs.append(model.MapRef(name=section.name, pin=pin, internal=True))
    return tuple(loads), tuple(refs)


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


def set_maps(key: model.SetKey, world: World, fresh: Fresh) -> tuple[model.MapRef, ...]:
    """A set's maps but for data sections, as all programs that use the set know them."""
    found: dict[str, model.MapRef] = {}
    for record in find.users(world, key):
        for ref in record.maps:
            if not ref.internal and ref.pin.startswith(f"{fresh.pins.set(key)}/"):
                found.setdefault(ref.name, ref)
    return tuple(found.values())
