"""(being written)"""

from __future__ import annotations

from skep import model, steps
from skep.plan.world import Fresh, World


def plan(operation: model.Unload, world: World, fresh: Fresh) -> steps.Plan:
    raise NotImplementedError
