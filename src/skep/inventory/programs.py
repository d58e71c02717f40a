"""Programs: managed ones joined with the kernel's, and those that somebody else loaded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from skep import errors, model, paths, steps, store
from skep.inventory import seen as looking
from skep.kernel import door


def listed(seen: looking.Seen, wanted: model.ProgramFilter) -> tuple[model.Program | model.ForeignProgram, ...]:
    """Programs in the kernel, by ascending id. A record whose program is gone is not listed: ``doctor`` tells of it."""
    found: dict[model.ProgramId, model.Program | model.ForeignProgram] = {}
    links = links_by_program(seen.records)
    sets = users_by_set(seen.records, seen.boot)
    for record in seen.records.programs.values():
        state = seen.status(record)
        if state.kernel is not None:
            found[record.id] = managed(record, state, seen.pins, links, sets)
    if not (wanted.managed_only or wanted.hooks or wanted.metadata):
        chains = linked_programs(seen.records, seen.boot)
        for id, program in seen.kernel.items():
            if id not in found:
                found[id] = model.ForeignProgram(kernel=program, chain=chains.get(id, ""))
    return tuple(found[id] for id in sorted(found) if matches(found[id], wanted))


def matches(program: model.Program | model.ForeignProgram, wanted: model.ProgramFilter) -> bool:
    """Whether a program is what a filter asks for."""
    match program:
        case model.ForeignProgram():
            restricted = wanted.managed_only or wanted.hooks or wanted.metadata
            return not restricted and wanted.prog_type in (None, program.kernel.type)
        case model.Program():
            record = program.record
            return (
                wanted.prog_type in (None, record.prog_type)
                and (not wanted.hooks or record.hook in wanted.hooks)
                and all(record.metadata.get(key) == value for key, value in wanted.metadata.items())
            )


def by_image(records: store.Snapshot, boot: model.Boot) -> dict[str, tuple[model.ProgramId, ...]]:
    """Digest of an image -> programs out of it. One whose programs did not survive a reboot is here too, with none: it
    is wanted again."""
    found: dict[str, tuple[model.ProgramId, ...]] = {}
    for record in records.programs.values():
        if isinstance(record.source, model.ImageSource) and record.source.digest:
            living = (record.id,) if record.boot_id == boot.boot_id else ()
            found[record.source.digest] = (*found.get(record.source.digest, ()), *living)
    return found


def one(
    kernel: door.Kernel, records: store.Snapshot, pins: paths.Pins, id: model.ProgramId
) -> model.Program | model.ForeignProgram:
    """The program with a kernel id, without enumerating the others. A managed one that vanished in this boot is told
    with ``status.kernel`` None. NotFound, also for one that did not survive a reboot."""
    boot = kernel.boot()
    found = kernel.program_by_id(id)
    stale = None
    for record in records.programs.values():
        if record.id != id:
            continue
        state = looking.status(record, found, boot, pinned=kernel.program(record.pin) is not None)
        if state.kernel is not None or (found is None and record.boot_id == boot.boot_id):
            return managed(record, state, pins, links_by_program(records), users_by_set(records, boot))
        stale = record
    if found is not None:
        return model.ForeignProgram(kernel=found, chain=linked_programs(records, boot).get(id, ""))
    if stale is not None:
        raise errors.NotFound(
            f"program {id} ({stale.name}) is not in the kernel",
            why="it was loaded before the last reboot",
            do="load it again",
        )
    raise errors.NotFound(f"no program {id}", why="the kernel has none with this id", do="see 'skep program list'")


def managed(
    record: model.ProgramRecord,
    state: model.ProgramStatus,
    pins: paths.Pins,
    links: Mapping[model.ProgramKey, tuple[model.LinkId, ...]],
    sets: Mapping[model.SetKey, tuple[model.ProgramId, ...]],
) -> model.Program:
    """A managed program with the ids around it."""
    used = record.set if record.owner is None else record.owner
    return model.Program(
        record=record,
        status=state,
        links=links.get(record.key, ()),
        used_by=sets.get(used, (record.id,)),
        map_dir=pins.alias_maps(record.id if record.owner_id is None else record.owner_id),
    )


def made(
    records: store.Snapshot, pins: paths.Pins, boot: model.Boot, change: steps.StoreChange, results: steps.Results
) -> tuple[model.Program, ...]:
    """The programs that an operation has just loaded; ``records`` are those after it."""
    if not change.programs:
        return ()
    links, sets = links_by_program(records), users_by_set(records, boot)
    found = []
    for record in change.programs:
        loaded = results.programs.get(record.pin)
        state = model.ProgramStatus(kernel=None if loaded is None else loaded.kernel, pin_present=True)
        found.append(managed(record, state, pins, links, sets))
    return tuple(found)


def links_by_program(records: store.Snapshot) -> Mapping[model.ProgramKey, tuple[model.LinkId, ...]]:
    """Link ids of each program that has some, ascending."""
    found: defaultdict[model.ProgramKey, list[model.LinkId]] = defaultdict(list)
    for link in records.links.values():
        found[link.program].append(link.id)
    return {key: tuple(ids) for key, ids in found.items()}


def users_by_set(records: store.Snapshot, boot: model.Boot) -> Mapping[model.SetKey, tuple[model.ProgramId, ...]]:
    """Ids of the programs that use each map set, as their own or borrowed, ascending."""
    found: defaultdict[model.SetKey, list[model.ProgramId]] = defaultdict(list)
    for record in records.programs.values():
        if record.boot_id == boot.boot_id:
            found[record.set if record.owner is None else record.owner].append(record.id)
    return {key: tuple(sorted(ids)) for key, ids in found.items()}


def linked_programs(records: store.Snapshot, boot: model.Boot) -> Mapping[model.ProgramId, str]:
    """Kernel ids of our chains' linked programs, each with its chain's name."""
    return {one.program_id: str(one.key) for one in records.chains.values() if one.boot_id == boot.boot_id}
