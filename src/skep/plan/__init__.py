"""Decisions as values: an operation, the world and fresh ids make a ``steps.Plan``. Pure; one module per verb."""

from __future__ import annotations

import dataclasses
from typing import assert_never

from skep import model, steps
from skep.plan import adopt, attach, detach, load, notes, replace, unload, update
from skep.plan import bury as _bury
from skep.plan.world import Fresh, World


def decide(operation: model.Operation, world: World, fresh: Fresh) -> steps.Plan:
    """The plan that carries ``operation`` out, notes included; raises what the verb's planner raises."""
    return _noted(_decide(operation, world, fresh), fresh)


def bury(operation: model.Operation, world: World, fresh: Fresh) -> tuple[steps.Plan, World] | None:
    """What must be carried out before ``operation`` can be decided, and the world after it; None in most cases."""
    chain = _bury.dead_chain(operation, world, fresh)
    return None if chain is None else (_noted(_bury.plan(chain, fresh), fresh), _bury.without(world, chain))


def _noted(plan: steps.Plan, fresh: Fresh) -> steps.Plan:
    def finish(results: steps.Results) -> tuple[steps.Finish, ...]:
        return (*plan.finish(results), *notes.actions(plan.commit(results), fresh.pins))

    return dataclasses.replace(plan, finish=finish)


def _decide(operation: model.Operation, world: World, fresh: Fresh) -> steps.Plan:
    match operation:
        case model.Load():
            return load.plan(operation, world, fresh)
        case model.Unload():
            return unload.plan(operation, world, fresh)
        case model.Attach():
            return attach.plan(operation, world, fresh)
        case model.Detach():
            return detach.plan(operation, world, fresh)
        case model.UpdateLink():
            return update.plan(operation, world, fresh)
        case model.ReplaceProgram():
            return replace.plan(operation, world, fresh)
        case model.Adopt():
            return adopt.plan(operation, world, fresh)
        case _:
            assert_never(operation)


__all__ = ["Fresh", "World", "bury", "decide"]
