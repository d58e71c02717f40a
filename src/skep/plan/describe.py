"""Plans and operations as text: what ``--dry-run`` prints, and what the log and the history tell."""

from __future__ import annotations

from typing import assert_never

from skep import model, steps
from skep.hooks import request


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
            kept = "noted" if isinstance(target, request.FilterTarget) else "pinned"
            return f"attach {step.program} to {target} ({labels}), {kept} at {step.pin}"
        case steps.SwapLink():
            return f"swap {step.old} for {step.new} on {step.link}, atomically"
        case steps.MoveTable():
            return f"move {step.link} from {step.old} to {step.new.map}, atomically"
        case steps.ReadCounts():
            return f"read what {step.counts} counted"
        case _:
            assert_never(step)


def subject(op: model.Operation, done: model.Done | None) -> str:
    """What an operation is about: "program 42", "link 7", or the object when no program came of it."""
    match op:
        case model.Load():
            if done is not None:
                return ", ".join(f"program {one.record.id}" for one in done.programs)
            return f"object {op.source.path if isinstance(op.source, model.FileSource) else op.source.url}"
        case model.Unload() | model.ReplaceProgram():
            return f"program {op.program}"
        case model.Attach():
            made = () if done is None else done.links
            return ", ".join(f"link {link}" for link in made) or f"program {op.program}"
        case model.Detach() | model.UpdateLink():
            return f"link {op.link}"
        case model.Adopt():
            return f"pin {op.pin}"
