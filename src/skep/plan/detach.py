"""Take one link away."""

from __future__ import annotations

from skep import model, steps
from skep.plan import depart, find
from skep.plan.world import Fresh, World


def plan(operation: model.Detach, world: World, fresh: Fresh) -> steps.Plan:
    """Detach ``operation.link``. NotFound; else see ``depart.depart``."""
    departure = depart.depart((find.link(world, operation.link),), world, fresh)

    def finish(results: steps.Results) -> tuple[steps.Finish, ...]:
        return departure.finish(fresh)

    return steps.Plan(steps=departure.todo, commit=departure.change, finish=finish, warnings=departure.warnings)
