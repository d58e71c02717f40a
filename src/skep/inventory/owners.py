"""Who owns what runs in this kernel: skep on behalf of an application, or whoever holds it. Pure.

Something is managed when a record of this boot knows it. What is not belongs to those who keep it in the kernel: a
process by a descriptor or a perf event, a pin, a cgroup. A program is kept by its links as well, and a map by its
programs; then the owner is told with what it holds ("through link 12").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from skep import model, store
from skep.inventory import seen as looking
from skep.model import ObjectKind

APPLICATION: Final = "bpfman.io/application"
"""Metadata that names a program's application."""
APPLIED: Final = "skep/applied"
"""Metadata that says which object or file wants a program."""
_STRANGER: Final = model.Foreign()


class Owners:
    """Answers for one survey. ``seen``: of (nearly) the same moment."""

    def __init__(self, survey: model.Survey, seen: looking.Seen) -> None:
        self._survey = survey
        self._links_of: defaultdict[model.ProgramId, list[model.KernelLinkId]] = defaultdict(list)
        for link in survey.links:
            self._links_of[link.program_id].append(link.id)
        self._unlinked: defaultdict[model.ProgramId, list[model.Unlinked]] = defaultdict(list)
        for one in survey.unlinked:
            self._unlinked[one.program].append(one)
        self._users: defaultdict[model.MapId, list[model.ProgramId]] = defaultdict(list)
        for program in survey.programs:
            for map_ in program.map_ids:
                self._users[map_].append(program.id)
        self._managed = managed(survey, seen.records, seen)
        self._chains_of: defaultdict[model.ProgramId, list[model.ProgramId]] = defaultdict(list)
        for chain in seen.records.chains.values():
            for member in chain.members:
                if chain.boot_id == seen.boot.boot_id and member.program in seen.records.programs:
                    self._chains_of[seen.records.programs[member.program].id].append(chain.program_id)

    def program(self, id: model.ProgramId, *, by_maps: bool = True) -> model.Owner:
        """The owner of a program; ``by_maps``: also if only a map that it is in keeps it."""
        ref = (ObjectKind.PROGRAM, int(id))
        if (ours := self._managed.get(ref)) is not None:
            return ours
        own = self._holders(ref)
        events = [one.pid for one in self._unlinked[id] if one.pid]
        groups = tuple(dict.fromkeys(one.group for one in self._unlinked[id] if one.group is not None))
        if own.pids or own.pins or events:
            pids = tuple(sorted({*own.pids, *events}))
            return model.Foreign(pids=pids, pins=own.pins, groups=groups)
        by_links = [(link, self._holders((ObjectKind.LINK, int(link)))) for link in self._links_of[id]]
        kept = [(f"link {link}", one) for link, one in by_links if one != _STRANGER]
        if kept or groups:
            return _together(kept, groups)
        return self._inside(ref) if by_maps else _STRANGER

    def link(self, id: model.KernelLinkId) -> model.Owner:
        """The owner of a link."""
        ref = (ObjectKind.LINK, int(id))
        return self._managed.get(ref) or self._holders(ref)

    def map(self, id: model.MapId, *, by_maps: bool = True) -> model.Owner:
        """The owner of a map; ``by_maps``: see ``program``."""
        ref = (ObjectKind.MAP, int(id))
        if (ours := self._managed.get(ref)) is not None:
            return ours
        own = self._holders(ref)
        if own != _STRANGER:
            return own
        kept = []
        for user in self._users[id]:
            owner = self.program(user, by_maps=False)
            if isinstance(owner, model.Foreign) and owner != _STRANGER:
                kept.append((f"program {user}", owner))
        return _together(kept, ()) if kept or not by_maps else self._inside(ref)

    def users(self, id: model.MapId) -> tuple[model.ProgramId, ...]:
        """The programs that use a map, ascending."""
        return tuple(sorted(self._users[id]))

    def places(self, id: model.ProgramId) -> tuple[str, ...]:
        """Where a program runs: by links, without, and as a member of chains."""
        found: list[str] = []
        for each in (id, *self._chains_of[id]):
            found += [self._survey.places.get(link, "") for link in self._links_of[each]]
            found += [one.place for one in self._unlinked[each]]
        return tuple(dict.fromkeys(filter(None, found)))

    def _inside(self, ref: model.ObjectRef) -> model.Owner:
        """The owners of the maps that something is in. Programs of an array use it in turn: one step is enough."""
        owners = [(id, self.map(id, by_maps=False)) for id in self._survey.inside.get(ref, ())]
        ours = [one for _, one in owners if isinstance(one, model.Managed)]
        kept = [(f"map {id}", one) for id, one in owners if isinstance(one, model.Foreign) and one != _STRANGER]
        return ours[0] if ours else _together(kept, ())

    def _holders(self, ref: model.ObjectRef) -> model.Foreign:
        held, pins = self._survey.held.get(ref, ()), self._survey.pins.get(ref, ())
        return model.Foreign(pids=held, pins=pins) if held or pins else _STRANGER


def managed(
    survey: model.Survey, records: store.Snapshot, seen: looking.Seen
) -> Mapping[model.ObjectRef, model.Managed]:
    """What skep's own records account for: programs, their links and maps, and the chains they are linked to."""
    found: dict[model.ObjectRef, model.Managed] = {}
    pinned = {path: ref for ref, paths_ in survey.pins.items() for path in paths_}
    programs = {one.id: one for one in survey.programs}
    for record in records.programs.values():
        state = looking.status(record, programs.get(record.id), seen.boot, pinned=True)
        if state.kernel is None:
            continue
        owner = _of(record)
        found[ObjectKind.PROGRAM, record.id] = owner
        for id in state.kernel.map_ids:
            found.setdefault((ObjectKind.MAP, id), owner)
        for ref in record.maps:
            if ref.pin in pinned:
                found.setdefault(pinned[ref.pin], owner)
    for link in records.links.values():
        if link.boot_id == seen.boot.boot_id and link.chain is None:
            owner = _of(records.programs[link.program])
            found.update({(ObjectKind.LINK, int(id)): owner for id in link.kernel_ids if id})
    for chain in records.chains.values():
        if chain.boot_id == seen.boot.boot_id:
            owner = _of_chain(chain, records)
            found[ObjectKind.PROGRAM, chain.program_id] = owner
            if chain.link_id:
                found[ObjectKind.LINK, chain.link_id] = owner
            if chain.counts_pin in pinned:
                found[pinned[chain.counts_pin]] = owner
    return found


def inventory(survey: model.Survey, seen: looking.Seen, *, fingerprint: str, booted_at: float) -> model.Inventory:
    """The whole answer. ``booted_at``: seconds since the epoch at CLOCK_BOOTTIME 0."""
    owners = Owners(survey, seen)
    names = {one.id: one.name for one in seen.records.programs.values() if one.boot_id == seen.boot.boot_id}
    programs = []
    for program in survey.programs:
        owner = owners.program(program.id)
        whole = isinstance(owner, model.Managed) and not owner.part
        programs.append(
            model.OwnedProgram(
                kernel=program,
                name=names.get(program.id, program.name) if whole else program.name,
                places=owners.places(program.id),
                since=booted_at + program.loaded_at_ns / 1e9,
                owner=owner,
            )
        )
    links = tuple(
        model.OwnedLink(kernel=one, place=survey.places.get(one.id, ""), owner=owners.link(one.id))
        for one in survey.links
    )
    maps = tuple(
        model.OwnedMap(kernel=one, programs=owners.users(one.id), owner=owners.map(one.id)) for one in survey.maps
    )
    every = (*(one.owner for one in programs), *(one.owner for one in links), *(one.owner for one in maps))
    everyone = {pid for owner in every if isinstance(owner, model.Foreign) for pid in owner.pids}
    return model.Inventory(
        fingerprint=fingerprint,
        release=seen.boot.release,
        programs=tuple(programs),
        links=links,
        maps=maps,
        processes=tuple(survey.processes[pid] for pid in sorted(everyone) if pid in survey.processes),
        unread=survey.unread,
        cut=survey.cut,
    )


def _of(record: model.ProgramRecord) -> model.Managed:
    return model.Managed(application=record.metadata.get(APPLICATION, ""), key=record.metadata.get(APPLIED, ""))


def _of_chain(chain: model.ChainRecord, records: store.Snapshot) -> model.Managed:
    members = [_of(records.programs[one.program]) for one in chain.members if one.program in records.programs]
    return model.Managed(
        application=_joined(one.application for one in members),
        key=_joined(one.key for one in members),
        part=f"{chain.key.type} {chain.interface}",
    )


def _joined(words: Iterable[str]) -> str:
    return ", ".join(sorted({word for word in words if word}))


def _together(kept: list[tuple[str, model.Foreign]], groups: tuple[model.Group, ...]) -> model.Foreign:
    """One owner out of those who hold what keeps something."""
    if not kept:
        return model.Foreign(groups=groups) if groups else _STRANGER
    return model.Foreign(
        pids=tuple(sorted({pid for _, one in kept for pid in one.pids})),
        pins=tuple(sorted({pin for _, one in kept for pin in one.pins})),
        groups=tuple(dict.fromkeys((*groups, *(group for _, one in kept for group in one.groups)))),
        through=", ".join(what for what, _ in kept[:4]) + (", …" if len(kept) > 4 else ""),
    )
