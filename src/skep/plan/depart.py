"""Links that go away: what detach and unload have in common. Each chain is rebuilt once, however many links leave it.

A chain that loses its last member, or whose kernel link is dead, needs no step at all: it ends after the commit, and
the kernel is not asked to settle, since nobody reads its counts any more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from skep import model, steps
from skep.plan import chains, find
from skep.plan.world import Fresh, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """The parts of a plan that take links away."""

    todo: tuple[steps.Step, ...]
    revisions: tuple[chains.Revision, ...]
    shrunk: tuple[model.ChainRecord, ...]
    """Records of dead chains that still have members: they only forget the leaving ones."""
    links: tuple[model.LinkId, ...]
    ended: tuple[model.ChainKey, ...]
    last: tuple[steps.Finish, ...]
    """Detaching, and removing what the ended chains had pinned."""
    warnings: tuple[str, ...]

    def change(self, results: steps.Results) -> steps.StoreChange:
        """What the store writes."""
        counts: dict[model.LinkId, model.Counts] = {}
        for revision in self.revisions:
            counts.update(revision.retired(results))
        for link in self.links:
            counts.pop(link, None)
        return steps.StoreChange(
            chains=(*(revision.record(results) for revision in self.revisions), *self.shrunk),
            add_counts=counts,
            drop_links=self.links,
            drop_chains=self.ended,
        )

    def finish(self, fresh: Fresh) -> tuple[steps.Finish, ...]:
        """What is done after the commit."""
        retired = tuple(action for revision in self.revisions for action in revision.finish(fresh.pins))
        return (*self.last, *retired)


def depart(links: Sequence[model.LinkRecord], world: World, fresh: Fresh) -> Departure:
    """Take ``links`` away. Broken: the code of a member that stays is missing. Conflict, Exhausted: the rest of a
    chain cannot be linked."""
    leaving = {link.id for link in links}
    made: list[steps.Step] = []
    revisions: list[chains.Revision] = []
    shrunk: list[model.ChainRecord] = []
    ended: list[model.ChainKey] = []
    last: list[steps.Finish] = []
    for chain in _touched(links, world):
        rest = tuple(member for member in chain.members if member.link not in leaving)
        if not rest:
            ended.append(chain.key)
            last.append(steps.DetachLink(pin=chain.link_pin))
            last.append(steps.RemoveDirectory(path=fresh.pins.chain(chain.key)))
        elif _runs(chain, world, fresh):
            # bpfman sorts anew at every change of a chain: equals then run in the order of their names.
            revision = chains.next_revision(world, fresh.pins, chains.sort(rest), old=chain)
            revisions.append(revision)
            made.extend(revision.todo)
        else:
            shrunk.append(dataclasses.replace(chain, members=rest))
    for link in links:
        last.extend(steps.DetachLink(pin=pin) for pin in link.pins)
        if link.places:
            last.append(steps.RemoveDirectory(path=fresh.pins.link_directory(link.id)))
    last.extend(action for link in links for action in _unpinned(link, world, fresh))
    return Departure(
        todo=tuple(made),
        revisions=tuple(revisions),
        shrunk=tuple(shrunk),
        links=tuple(link.id for link in links),
        ended=tuple(ended),
        last=tuple(last),
        warnings=tuple(warning for revision in revisions for warning in revision.warnings),
    )


def _unpinned(link: model.LinkRecord, world: World, fresh: Fresh) -> Iterator[steps.Finish]:
    """The registration of a link that has none in the kernel, where somebody removed its pin."""
    if not find.is_linkless(link) or link.boot_id != fresh.boot.boot_id:
        return
    if any(world.links_at.get(pin) is not None for pin in link.pins):
        return
    program = world.programs[link.program].id
    name = getattr(link.attachment, "map", "")
    for one in world.registrations:
        if program in one.programs and one.name == name[:15]:
            yield steps.Unregister(map=one.map)


def _touched(links: Sequence[model.LinkRecord], world: World) -> tuple[model.ChainRecord, ...]:
    """The chains that the links are members of. A link whose chain was superseded after a reboot is in none."""
    found: dict[model.ChainKey, model.ChainRecord] = {}
    for link in links:
        chain = world.chains.get(link.chain) if link.chain is not None else None
        if chain is not None and any(member.link == link.id for member in chain.members):
            found[chain.key] = chain
    return tuple(found[key] for key in sorted(found))


def _runs(chain: model.ChainRecord, world: World, fresh: Fresh) -> bool:
    return chain.boot_id == fresh.boot.boot_id and find.runs(chain, world)
