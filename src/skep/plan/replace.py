"""Put a new object in a program's place: its maps, links and identity stay, its code changes.

The new version is loaded beside the old one, on the same maps; then each hook is moved by one atomic swap, or, where
the kernel cannot swap (perf links), by attaching the new before detaching the old. Until the commit everything can go
back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from skep import errors, hooks, model, steps
from skep.bytecode import variables
from skep.hooks import struct_ops
from skep.plan import chains, find, load, objects, places, sets
from skep.plan.world import Fresh, World

_MOVE: Final = "load the new object beside it, then 'skep link update LINK --to-program NEW' moves the registration"


def plan(operation: model.ReplaceProgram, world: World, fresh: Fresh) -> steps.Plan:
    """Replace ``operation.program``. What ``load.plan`` raises; Conflict also for another program type, and, when it is
    applied, MapsDiffer (with the difference)."""
    record = find.live_program(world, fresh, operation.program)
    opened = objects.read(operation.object)
    hook = hooks.by_name(record.hook)
    (wanted,) = objects.wanted(
        opened, (model.ProgramSpec(name=operation.name or record.name, attach_func=record.attach_func),)
    )
    # An object says "classifier" for tc as for tcx: among such a family it is the caller who chose.
    if wanted.hook.name != record.hook and not (wanted.hook.chosen and wanted.hook.accepts(record.hook)):
        raise errors.Conflict(
            f"program {record.id} ({record.name}) cannot be replaced by {wanted.name!r}",
            why=f"that is of type {wanted.hook.name}, not {hook.name}",
            do="unload it and load the other",
        )
    if hook.attach_type(wanted.section) != hook.attach_type(record.section):
        raise errors.Conflict(
            f"program {record.id} ({record.name}) cannot be replaced by {wanted.name!r}",
            why=f"that is for {wanted.section}, not {record.section}",
            do="unload it and load the other",
        )
    if hook.name == struct_ops.HOOK.name:
        raise errors.Conflict(
            f"program {record.id} ({record.name}) cannot be replaced alone",
            why="it stands in a struct_ops, whose programs are loaded together",
            do=_MOVE,
        )
    data = _data(operation, opened, record, world)
    lent = sets.maps_of(record.set, world, fresh.pins)
    if record.owner is not None:
        lent = {**lent, **sets.maps_of(record.owner, world, fresh.pins)}
    loads, refs = sets.assign(
        opened, lent, data.kept, record.set, f"{record.key}_{record.generation + 1}_", world, fresh.pins
    )
    program = wanted.load(fresh.pins.program(record.key, record.generation + 1), world.features)
    loading = steps.LoadObject(
        load=steps.ObjectLoad(
            object=operation.object,
            programs=(program,),
            maps=loads,
            patches=objects.patches(opened, data.values),
        )
    )
    moves = _moves(record, program, refs, world, fresh)
    gone = tuple(ref for ref in record.maps if ref.pin not in {one.pin for one in refs})

    def commit(results: steps.Results) -> steps.StoreChange:
        made = results.programs[program.pin]
        updated = dataclasses.replace(
            record,
            generation=record.generation + 1,
            id=made.kernel.id,
            tag=made.kernel.tag,
            loaded_at_ns=made.kernel.loaded_at_ns,
            boot_id=fresh.boot.boot_id,
            name=wanted.name,
            section=wanted.section,
            object=opened.digest,
            source=operation.source,
            pin=program.pin,
            maps=refs,
            license=opened.license,
            gpl_compatible=made.kernel.gpl_compatible,
            global_data=data.told,
            updated_at=fresh.now,
        )
        borrowers = tuple(
            dataclasses.replace(one, owner_id=updated.id)
            for one in find.users(world, record.set)
            if one.owner == record.set and one.owner_id == record.id
        )
        return steps.StoreChange(
            objects={opened.digest: operation.object},
            programs=(updated, *borrowers),
            members={record.key: made.member},
            links=moves.links(results),
            chains=tuple(revision.record(results) for revision in moves.revisions),
            add_counts={link: one for revision in moves.revisions for link, one in revision.retired(results).items()},
        )

    def finish(results: steps.Results) -> tuple[steps.Finish, ...]:
        id = results.programs[program.pin].kernel.id
        maps = fresh.pins.set(record.set if record.owner is None else record.owner)
        return (
            *load.aliases(id, program.pin, maps, fresh),
            *moves.last,
            *(action for revision in moves.revisions for action in revision.finish(fresh.pins)),
            steps.RemoveAlias(path=fresh.pins.alias_program(record.id)),
            steps.RemoveAlias(path=fresh.pins.alias_maps(record.id)),
            steps.Unpin(pin=record.pin),
            *sets.unpin(gone, record.key, world, fresh.pins),
        )

    directory = (
        ()
        if _has_private(record.set, world) or not objects.sections(opened)
        else (steps.MakeDirectory(path=fresh.pins.private(record.set)),)
    )
    return steps.Plan(
        steps=(*directory, loading, *moves.todo),
        commit=commit,
        finish=finish,
        warnings=(*data.warnings, *moves.warnings),
    )


# ---------------------------------------------------------------- global variables


@dataclass(frozen=True, slots=True, kw_only=True)
class _Data:
    """What becomes of the data sections: ``kept`` ones keep contents and pins, ``values`` are set in new ones.

    ``told`` is what the record says was set.
    """

    kept: Mapping[str, model.MapRef]
    values: Mapping[str, bytes]
    told: Mapping[str, bytes]
    warnings: tuple[str, ...]


def _data(operation: model.ReplaceProgram, opened: objects.Opened, record: model.ProgramRecord, world: World) -> _Data:
    """Writable sections are kept when their variables lie where they lay; constants are always new.

    Equal size alone is not enough: the new code would read one variable's bytes as another's.
    """
    known = {one.name: one for one in variables.variables(opened.elf)}
    asked = operation.global_data
    values: dict[str, bytes] = dict(asked or {})
    warnings: list[str] = []
    if asked is None:
        for name, data in record.global_data.items():
            if name in known and known[name].size == len(data):
                values[name] = data
            else:
                warnings.append(f"{name}: its value is dropped: no variable of {len(data)} bytes has that name now")
    old = world.objects.get(record.object)
    layout = {} if old is None else _layout(objects.read(old))
    refs = {ref.name: ref for ref in record.maps if ref.internal}
    kept: dict[str, model.MapRef] = {}
    for section in objects.sections(opened):
        if section.read_only or section.name not in refs:
            continue
        set_anew = [name for name in asked or {} if name in known and known[name].section == section.name]
        if set_anew:
            warnings.append(f"{section.name}: its contents are replaced, since {', '.join(set_anew)} is set anew")
        elif layout.get(section.name) == _layout(opened)[section.name]:
            kept[section.name] = refs[section.name]
        else:
            warnings.append(f"{section.name}: its contents start anew, since its variables changed")
    in_new = {name: data for name, data in values.items() if name not in known or known[name].section not in kept}
    return _Data(kept=kept, values=in_new, told=values, warnings=tuple(warnings))


def _layout(opened: objects.Opened) -> dict[str, object]:
    """Each data section's size and the places of its variables."""
    places: dict[str, list[tuple[int, str, int]]] = {}
    for one in variables.variables(opened.elf):
        places.setdefault(one.section, []).append((one.offset, one.name, one.size))
    return {one.name: (one.size, sorted(places.get(one.name, []))) for one in objects.sections(opened)}


def _has_private(key: model.SetKey, world: World) -> bool:
    """Whether the set's private directory is there."""
    return any(ref.internal for record in find.users(world, key) if record.set == key for ref in record.maps)


# ---------------------------------------------------------------- links


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moves:
    """How the links move. ``renewed`` are links that get new kernel links, with those that wait."""

    todo: tuple[steps.Step, ...]
    revisions: tuple[chains.Revision, ...]
    renewed: tuple[tuple[model.LinkRecord, places.Places], ...]
    last: tuple[steps.Finish, ...]
    warnings: tuple[str, ...]

    def links(self, results: steps.Results) -> tuple[model.LinkRecord, ...]:
        """The records of the renewed links."""
        return tuple(
            dataclasses.replace(
                link,
                kernel_ids=waiting.kernel_ids(results),
                places=waiting.labels,
                process_start=waiting.process_start(results),
            )
            for link, waiting in self.renewed
        )


def _moves(
    record: model.ProgramRecord,
    new: steps.ProgramLoad,
    maps: tuple[model.MapRef, ...],
    world: World,
    fresh: Fresh,
) -> _Moves:
    todo: list[steps.Step] = []
    revisions: list[chains.Revision] = []
    renewed: list[tuple[model.LinkRecord, places.Places]] = []
    last: list[steps.Finish] = []
    warnings: list[str] = []
    for link in find.links_of(world, record.key):
        if link.boot_id != fresh.boot.boot_id:
            continue
        hook = hooks.by_name(link.hook)
        if link.id in world.lost:
            warnings.append(f"link {link.id} is left as it is: {world.lost[link.id]}")
            continue
        match hook.ordering:
            case hooks.Ordering.LINKED:
                revision = _revision(link, record, new, world, fresh)
                if revision is not None:
                    revisions.append(revision)
                    todo.extend(revision.todo)
                    warnings.extend(revision.warnings)
            case hooks.Ordering.ANCHORED:
                if find.alive(world.links_at.get(link.pins[0]), hook):
                    todo.append(steps.SwapLink(link=link.pins[0], old=record.pin, new=new.pin))
            case hooks.Ordering.NONE if hook.swaps:
                todo.extend(
                    steps.SwapLink(link=pin, old=record.pin, new=new.pin)
                    for pin in link.pins
                    if find.alive(world.links_at.get(pin), hook)
                )
            case hooks.Ordering.NONE:
                if any(world.links_at.get(pin) is not None for pin in link.pins):
                    waiting = _waiting(link, record, new, maps, world, fresh)
                    moved = dataclasses.replace(link, pins=_own_pins(link, waiting, fresh))
                    renewed.append((moved, waiting))
                    todo.extend(waiting.todo)
                    last.extend(_take_over(link, moved, waiting, world, fresh))
                    warnings.append(f"link {link.id}: both versions may run for one event while it moves")
    return _Moves(
        todo=tuple(todo),
        revisions=tuple(revisions),
        renewed=tuple(renewed),
        last=tuple(last),
        warnings=tuple(warnings),
    )


def _waiting(
    link: model.LinkRecord,
    record: model.ProgramRecord,
    new: steps.ProgramLoad,
    maps: tuple[model.MapRef, ...],
    world: World,
    fresh: Fresh,
) -> places.Places:
    """The new kernel links of a link, at the places that its target stands for now."""
    hook = hooks.by_name(link.hook)
    placing = hooks.Placing(
        section=record.section,
        function=record.attach_func or "",
        found=places.found(hook, link.attachment, record, world.found),
        maps={one.name: one.pin for one in maps},
        link=link.id,
        attach_type=new.expected_attach_type,
    )
    return places.make(link.id, new.pin, hook.requests(link.attachment, placing), fresh.pins, waiting=True)


def _own_pins(link: model.LinkRecord, waiting: places.Places, fresh: Fresh) -> tuple[model.LinkPin, ...]:
    if not waiting.labels:
        return link.pins
    return tuple(fresh.pins.link(link.id, number) for number in range(len(waiting.pins)))


def _take_over(
    old: model.LinkRecord, moved: model.LinkRecord, waiting: places.Places, world: World, fresh: Fresh
) -> tuple[steps.Finish, ...]:
    """The old kernel links go, and the new ones come under their pins, which may be more or fewer."""
    seen = [(pin, world.links_at.get(pin)) for pin in old.pins]
    gone = tuple(steps.DetachLink(pin=pin, only=link.id) for pin, link in seen if link is not None)
    come = tuple(steps.RenamePin(old=before, new=after) for before, after in zip(waiting.pins, moved.pins, strict=True))
    emptied = (steps.RemoveDirectory(path=fresh.pins.link_copy_directory(old.id)),) if waiting.labels else ()
    return (*gone, *come, *emptied)


def _revision(
    link: model.LinkRecord,
    record: model.ProgramRecord,
    new: steps.ProgramLoad,
    world: World,
    fresh: Fresh,
) -> chains.Revision | None:
    """The next revision of a link's chain, None when that chain no longer runs."""
    chain = world.chains.get(link.chain) if link.chain is not None else None
    if chain is None or chain.boot_id != fresh.boot.boot_id:
        return None
    if not find.runs(chain, world):
        return None
    members = tuple(
        dataclasses.replace(one, name=new.name) if one.program == record.key else one for one in chain.members
    )
    return chains.next_revision(world, fresh.pins, members, old=chain, loading={record.key: new})
