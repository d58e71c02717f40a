"""A plan as text, one line per step: what ``--dry-run`` prints and the log tells."""

from __future__ import annotations

from typing import assert_never

from skep import steps


def lines(plan: steps.Plan) -> tuple[str, ...]:
    """The steps before the commit, and the commit. What is tidied up after it depends on what the kernel answers."""
    return (*(describe(step) for step in plan.steps), "write the change to the store and tidy up")


def describe(step: steps.Step) -> str:
    """One step, in words."""
    match step:
        case steps.MakeDirectory():
            return f"make directory {step.path}"
        case steps.LoadObject():
            names = ", ".join(one.name for one in step.load.programs)
            reused = [one.name for one in step.load.maps if one.reuse is not None]
            new = [one.name for one in step.load.maps if one.reuse is None]
            text = f"load {names}"
            if new:
                text += f"; new maps {', '.join(new)}"
            if reused:
                text += f"; maps in use already {', '.join(reused)}"
            return text
        case steps.LoadLinked():
            return f"link {', '.join(part.name for part in step.parts)} into one program at {step.pin}"
        case steps.LoadMember():
            return f"load {step.member.name} once more at {step.pin}"
        case steps.CreateLink():
            target = step.candidates[0].target
            labels = ", else ".join(one.label for one in step.candidates)
            return f"attach {step.program} to {target} ({labels}), pinned at {step.pin}"
        case steps.SwapLink():
            return f"swap {step.old} for {step.new} on {step.link}, atomically"
        case steps.MoveTable():
            return f"move {step.link} from {step.old} to {step.new.map}, atomically"
        case steps.ReadCounts():
            return f"read what {step.counts} counted"
        case _:
            assert_never(step)
