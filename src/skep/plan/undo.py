"""What takes a step back, as repeatable actions: written to the store before the first step, done newest first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from skep import model, steps


def undo(step: steps.Step) -> tuple[steps.Finish, ...]:
    """The actions that take ``step`` back, whether it was done, half done or not begun; in the order to do them."""
    match step:
        case steps.MakeDirectory():
            return (steps.RemoveDirectory(path=step.path),)
        case steps.LoadObject():
            made = [steps.Unpin(pin=program.pin) for program in step.load.programs]
            for one in step.load.maps:
                made.extend(steps.Unpin(pin=pin) for pin in one.pins if pin != one.reuse)
            return tuple(made)
        case steps.LoadLinked():
            absorb: tuple[steps.Finish, ...] = ()
            if step.links:
                absorb = (steps.Absorb(counts=step.counts, links=step.links, type=step.type),)
            return (*absorb, steps.Unpin(pin=step.pin), steps.Unpin(pin=step.counts))
        case steps.LoadMember():
            return (steps.Unpin(pin=step.pin),)
        case steps.CreateLink():
            return (steps.DetachLink(pin=step.pin),)
        case steps.SwapLink():
            return (steps.PointLink(link=step.link, program=step.old),)
        case steps.MoveTable():
            return (steps.PointTable(link=step.link, map=step.old),)
        case steps.ReadCounts():
            return ()
        case _:
            assert_never(step)


def undo_all(done: Iterable[steps.Step]) -> tuple[steps.Finish, ...]:
    """The actions that take several steps back, newest first."""
    return tuple(action for step in reversed(tuple(done)) for action in undo(step))


def pins(plan: steps.Plan) -> frozenset[model.Pin | model.PinDir]:
    """Every pin and directory that a plan makes; none of them may be there before."""
    made: set[model.Pin | model.PinDir] = set()
    for action in undo_all(plan.steps):
        match action:
            case steps.Unpin() | steps.DetachLink():
                made.add(action.pin)
            case steps.RemoveDirectory():
                made.add(action.path)
            case _:
                pass
    return frozenset(made)
