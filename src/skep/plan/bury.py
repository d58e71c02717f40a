"""A chain whose interface is gone makes room for a new one in the same place.

The kernel gives a deleted network namespace's inode number to the next one, and interface numbers start anew in each:
without this, the first attach in a new pod would meet the dead chain of an old one. The members' links stay as records
that say what became of them; detaching them is still their owner's to do.
"""

from __future__ import annotations

from dataclasses import replace

from skep import model, steps
from skep.hooks import tc, xdp
from skep.plan import find
from skep.plan.world import Fresh, World


def dead_chain(operation: model.Operation, world: World, fresh: Fresh) -> model.ChainRecord | None:
    """The chain of this boot in the place that an attach wants, when its kernel link runs nothing any more."""
    if not isinstance(operation, model.Attach) or world.interface is None:
        return None
    if not isinstance(operation.attachment, xdp.XdpAttachment | tc.TcAttachment):
        return None
    chain = world.chains.get(find.chain(operation.attachment, world.interface))
    if chain is None or chain.boot_id != fresh.boot.boot_id:
        return None
    return None if find.runs(chain, world) else chain


def plan(chain: model.ChainRecord, fresh: Fresh) -> steps.Plan:
    """Forget ``chain`` and remove what it had pinned."""

    def commit(results: steps.Results) -> steps.StoreChange:
        return steps.StoreChange(drop_chains=(chain.key,))

    def finish(results: steps.Results) -> tuple[steps.Finish, ...]:
        return (steps.DetachLink(pin=chain.link_pin), steps.RemoveDirectory(path=fresh.pins.chain(chain.key)))

    return steps.Plan(steps=(), commit=commit, finish=finish, warnings=(_told(chain),))


def without(world: World, chain: model.ChainRecord) -> World:
    """The world after ``plan``, for a preview."""
    chains = {key: one for key, one in world.chains.items() if key != chain.key}
    return replace(world, chains=chains, links_at={**world.links_at, chain.link_pin: None})


def _told(chain: model.ChainRecord) -> str:
    links = ", ".join(str(member.link) for member in chain.members)
    return (
        f"an older chain of {chain.interface} no longer ran (its interface was deleted, or it was detached from "
        f"outside) and has made room; its links can be detached: {links}"
    )
