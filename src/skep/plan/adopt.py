"""Write into the store what pins and notes tell of programs and links that it does not know (a lost store's).

What a pin depends on comes along: a link's program, and for a chain all its links and their programs. The root of the
pins stands for everything. What is lost with a store: object files, counters' totals, and the code of programs whose
note could not hold it (see ``notes``).
"""

from __future__ import annotations

import dataclasses

from skep import errors, model, steps
from skep.plan import notes
from skep.plan.world import Fresh, World


def plan(operation: model.Adopt, world: World, fresh: Fresh) -> steps.Plan:
    """Adopt ``operation.pin``. AlreadyExists: the store knows it. NotFound: no note, or nothing pinned. Conflict:
    kernel and note disagree."""
    noted = notes.read(world.notes, fresh.pins)
    wanted = _Wanted(noted, world)
    if operation.pin.rstrip("/") == fresh.pins.root:
        for key in noted.programs:
            wanted.program(key)
        for link in noted.links:
            wanted.link(link)
    else:
        _one(operation.pin.rstrip("/"), noted, wanted, world, fresh)
    programs = tuple(_checked(record, world, fresh) for record in wanted.programs.values())
    for chain in wanted.chains.values():
        _check_link((chain.link_pin,), world)
    for link_record in wanted.links.values():
        if link_record.pins:
            _check_link(link_record.pins, world)
    change = steps.StoreChange(
        programs=programs,
        members={record.key: noted.members[record.key] for record in programs if record.key in noted.members},
        links=tuple(wanted.links.values()),
        chains=tuple(wanted.chains.values()),
    )
    return steps.Plan(
        steps=(),
        commit=lambda results: change,
        finish=lambda results: (),
        warnings=_warnings(programs, noted),
    )


class _Wanted:
    """Records to adopt, each with what it depends on, once."""

    def __init__(self, noted: notes.Noted, world: World) -> None:
        self.programs: dict[model.ProgramKey, model.ProgramRecord] = {}
        self.links: dict[model.LinkId, model.LinkRecord] = {}
        self.chains: dict[model.ChainKey, model.ChainRecord] = {}
        self._noted = noted
        self._world = world

    def program(self, key: model.ProgramKey) -> None:
        if key in self._world.programs or key in self.programs:
            return
        record = self._noted.programs.get(key)
        if record is None:
            raise _unknown(f"program {key}")
        self.programs[key] = record

    def link(self, id: model.LinkId) -> None:
        if id in self._world.links or id in self.links:
            return
        record = self._noted.links.get(id)
        if record is None:
            raise _unknown(f"link {id}")
        self.program(record.program)
        self.links[id] = record
        if record.chain is not None:
            self.chain(record.chain)

    def chain(self, key: model.ChainKey) -> None:
        if key in self._world.chains or key in self.chains:
            return
        record = self._noted.chains.get(key)
        if record is None:
            raise _unknown(f"chain {key}")
        self.chains[key] = record
        for member in record.members:
            self.link(member.link)


def _one(pin: str, noted: notes.Noted, wanted: _Wanted, world: World, fresh: Fresh) -> None:
    """Find whose pin it is."""
    for record in (*world.programs.values(), *noted.programs.values()):
        if record.pin == pin:
            _refuse_known(record.key in world.programs, pin)
            return wanted.program(record.key)
    for link in (*world.links.values(), *noted.links.values()):
        if pin in link.pins or (link.places and pin == fresh.pins.link_directory(link.id)):
            _refuse_known(link.id in world.links, pin)
            return wanted.link(link.id)
    for chain in (*world.chains.values(), *noted.chains.values()):
        if pin in (chain.link_pin, chain.program_pin, chain.counts_pin, chain.link_pin.rpartition("/")[0]):
            _refuse_known(chain.key in world.chains, pin)
            return wanted.chain(chain.key)
    raise _unknown(pin)


def _refuse_known(known: bool, pin: str) -> None:
    if known:
        raise errors.AlreadyExists(f"{pin} is managed already", do="see 'skep program list'")


def _unknown(what: str) -> errors.NotFound:
    return errors.NotFound(
        f"{what} cannot be adopted",
        why="no note of it is left below the pins",
        do="remove its pin if nobody needs it, and load the program again",
    )


def _checked(record: model.ProgramRecord, world: World, fresh: Fresh) -> model.ProgramRecord:
    """The record, if the program at its pin is the one that was noted."""
    seen = world.programs_at.get(record.pin)
    if seen is None:
        raise errors.NotFound(
            f"program {record.name} cannot be adopted", why=f"nothing is pinned at {record.pin}", do="see 'skep doctor'"
        )
    same = (seen.id, seen.tag, seen.loaded_at_ns) == (record.id, record.tag, record.loaded_at_ns)
    if not same or record.boot_id != fresh.boot.boot_id:
        raise errors.Conflict(
            f"program {record.name} cannot be adopted",
            why=f"at {record.pin} is program {seen.id}, tag {seen.tag}; the note tells of {record.id}, {record.tag}",
            do="remove the pin if nobody needs it",
        )
    # The object file went with the store.
    return dataclasses.replace(record, object=model.Digest(""))


def _check_link(pins: tuple[model.LinkPin, ...], world: World) -> None:
    """A link of several kernel links may have lost some of them: its status tells that."""
    if all(world.links_at.get(pin) is None for pin in pins):
        raise errors.NotFound(
            "the link cannot be adopted", why=f"nothing is pinned at {pins[0]}", do="see 'skep doctor'"
        )


def _warnings(programs: tuple[model.ProgramRecord, ...], noted: notes.Noted) -> tuple[str, ...]:
    told = [
        f"program {record.id} ({record.name}): its code is lost; a chain it is in cannot change before "
        f"'skep program replace {record.id}' brings it back"
        for record in programs
        if record.key not in noted.members
    ]
    told.extend(f"{path} cannot be read" for path in noted.damaged)
    return tuple(told)
