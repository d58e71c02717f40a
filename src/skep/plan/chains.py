"""The next revision of a linked chain: its steps, its record, the counts it takes over, what retires.

Used by every verb that changes who is in a chain or how; each of them makes one revision per chain and plan.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from skep import errors, model, paths, steps
from skep.bytecode import relocated
from skep.chain import codes, counts, linked, order, parts, verdict
from skep.hooks import request, xdp
from skep.plan.world import World

HOOKS = {"xdp": codes.XDP, "tc-ingress": codes.TC, "tc-egress": codes.TC}
"""``ChainKey.type`` -> what its verdicts mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One chain's next revision. ``members`` are in running order; ``old`` None means the chain is new."""

    key: model.ChainKey
    number: int
    members: tuple[model.ChainMember, ...]
    old: model.ChainRecord | None
    todo: tuple[steps.Step, ...]
    base: model.ChainRecord
    """The record but for what only the kernel can tell."""
    candidates: tuple[request.LinkRequest, ...] = ()
    warnings: tuple[str, ...] = ()

    def record(self, results: steps.Results) -> model.ChainRecord:
        """The record of the revision that the steps made."""
        loaded = results.linked[self.base.program_pin]
        # Members that no packet can reach are not linked and keep the form they would have.
        forms = (*loaded.forms, *(model.MemberForm.INLINE for _ in self.members[len(loaded.forms) :]))
        members = tuple(dataclasses.replace(one, form=form) for one, form in zip(self.members, forms, strict=True))
        record = dataclasses.replace(self.base, members=members, program_id=loaded.kernel.id)
        if self.old is None:
            link = results.links[self.base.link_pin]
            if link.filter is not None:
                return dataclasses.replace(
                    record, filter_priority=link.filter.priority, filter_handle=link.filter.handle
                )
            record = dataclasses.replace(
                record, link_id=link.kernel.id, mode=model.XdpMode(self.candidates[link.taken].label)
            )
        return record

    def retired(self, results: steps.Results) -> Mapping[model.LinkId, model.Counts]:
        """What the members did in the old revision, to be added to their totals."""
        if self.old is None:
            return {}
        return split(self.key.type, tuple(one.link for one in self.old.members), results.counts[self.old.counts_pin])

    def finish(self, pins: paths.Pins) -> tuple[steps.Finish, ...]:
        """The old revision's end."""
        if self.old is None:
            return ()
        return (steps.RemoveDirectory(path=pins.revision(self.key, self.old.revision)),)


def split(type: str, links: Sequence[model.LinkId], slots: Sequence[int]) -> dict[model.LinkId, model.Counts]:
    """A counter map's slots (summed over CPUs) as counts by link."""
    return dict(zip(links, counts.totals(HOOKS[type], len(links), slots), strict=True))


def sort(members: Sequence[model.ChainMember], new: model.LinkId | None = None) -> tuple[model.ChainMember, ...]:
    """Members in running order; ``new`` is the one being attached, which goes first among equals."""
    places = [order.Place(key=one, name=one.name, priority=one.priority, attached=one.link != new) for one in members]
    return tuple(place.key for place in order.sort(places))


def next_revision(
    world: World,
    pins: paths.Pins,
    members: Sequence[model.ChainMember],
    *,
    old: model.ChainRecord,
    loading: Mapping[model.ProgramKey, steps.ProgramLoad] | None = None,
) -> Revision:
    """The revision after ``old`` with ``members`` in running order: load, swap, read what the old one counted.

    ``loading``: programs whose code an earlier step of the same plan makes, and how.
    Broken: a member's kept code is missing. Conflict, Exhausted: see ``chain.linked.link``.
    """
    number = old.revision + 1
    base = dataclasses.replace(
        old,
        revision=number,
        members=tuple(members),
        program_pin=pins.revision_program(old.key, number),
        counts_pin=pins.revision_counts(old.key, number),
    )
    anew = loading or {}
    chain_parts = _parts(world, members, anew)
    advice = hint(old.key.type, chain_parts, {one.pin: one.prog_flags for one in anew.values()})
    links = tuple(one.link for one in members)
    made = (
        steps.MakeDirectory(path=pins.revision(old.key, number)),
        _load(base, chain_parts, links),
        steps.SwapLink(link=old.link_pin, old=old.program_pin, new=base.program_pin, hint=advice),
        steps.ReadCounts(counts=old.counts_pin),
    )
    return Revision(
        key=old.key,
        number=number,
        members=tuple(members),
        old=old,
        todo=made,
        base=base,
        warnings=warnings(old.key.type, members),
    )


def first_revision(
    world: World,
    pins: paths.Pins,
    member: model.ChainMember,
    *,
    base: model.ChainRecord,
    candidates: tuple[request.LinkRequest, ...],
) -> Revision:
    """The first revision of a chain with one member: load it and attach it to the hook."""
    chain_parts = _parts(world, (member,), {})
    made = (
        steps.MakeDirectory(path=pins.chain(base.key)),
        steps.MakeDirectory(path=pins.revision(base.key, base.revision)),
        _load(base, chain_parts, ()),
        steps.CreateLink(
            program=base.program_pin,
            candidates=candidates,
            pin=base.link_pin,
            hint=hint(base.key.type, chain_parts, {}),
        ),
    )
    return Revision(
        key=base.key,
        number=base.revision,
        members=(member,),
        old=None,
        todo=made,
        base=base,
        candidates=candidates,
        warnings=warnings(base.key.type, (member,)),
    )


def warnings(type: str, members: Sequence[model.ChainMember]) -> tuple[str, ...]:
    """What the order and the proceed-on sets do that nobody may expect."""
    return verdict.reach(HOOKS[type], [(one.name, codes.Mask(one.proceed_on)) for one in members]).warnings


def forms(step: steps.LoadLinked, loaded: Mapping[model.ProgramPin, steps.LoadedProgram]) -> Iterator[linked.Linked]:
    """The linked programs to try for a step, best first, each made when it is asked for.

    ``loaded`` has the members that this plan loaded. Conflict, Exhausted, InvalidRequest: see ``chain.linked.link``.
    """
    members = [
        part.member if isinstance(part.member, relocated.Member) else loaded[part.member].member for part in step.parts
    ]
    # The plan has made the first, and the kernel nearly always takes it: then the members are not analysed again.
    if step.first is not None:
        yield step.first
    for chosen in linked.candidates(members)[0 if step.first is None else 1 :]:
        yield linked.link(
            HOOKS[step.type],
            [
                parts.Part(member=member, proceed=codes.Mask(part.proceed_on), form=form)
                for member, part, form in zip(members, step.parts, chosen, strict=True)
            ],
            counter_map=step.counts,
            name=step.name,
        )


def hint(type: str, chain_parts: Sequence[steps.ChainPart], flags: Mapping[model.ProgramPin, int]) -> str:
    """Who keeps an XDP chain from jumbo frames: all members must be built for ``xdp.frags``.

    ``flags``: those of programs that are known only by their pin yet.
    """
    if type != "xdp":
        return ""
    lacking = []
    for part in chain_parts:
        own = part.member.prog_flags if isinstance(part.member, relocated.Member) else flags[part.member]
        if not own & xdp.BPF_F_XDP_HAS_FRAGS:
            lacking.append(part.name)
    if not lacking:
        return ""
    return f'if the interface\'s MTU is large: {", ".join(lacking)} not built for SEC("xdp.frags")'


def _load(
    base: model.ChainRecord, chain_parts: tuple[steps.ChainPart, ...], links: tuple[model.LinkId, ...]
) -> steps.LoadLinked:
    step = steps.LoadLinked(
        type=base.key.type,
        parts=chain_parts,
        pin=base.program_pin,
        counts=base.counts_pin,
        name=f"skep_{base.key.type.replace('-', '_')}",
        links=links,
    )
    if all(isinstance(part.member, relocated.Member) for part in chain_parts):
        # Linked already here, so that a preview tells what cannot be linked.
        return dataclasses.replace(step, first=next(forms(step, {})))
    return step


def _parts(
    world: World, members: Sequence[model.ChainMember], loading: Mapping[model.ProgramKey, steps.ProgramLoad]
) -> tuple[steps.ChainPart, ...]:
    made = []
    for one in members:
        code: relocated.Member | model.ProgramPin | None = world.members.get(one.program)
        if one.program in loading:
            code = loading[one.program].pin
        if code is None:
            raise errors.Broken(
                f"the chain cannot be linked without the code of {one.name}",
                why="the store does not have it: the program was adopted, or loaded before the last reboot",
                do="give skep its object with 'skep program replace', or detach it",
            )
        made.append(steps.ChainPart(member=code, proceed_on=one.proceed_on, name=one.name))
    return tuple(made)
