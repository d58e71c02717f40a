"""Plans and operations as text: what ``--dry-run`` prints, and what the log and the history tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, assert_never

from skep import errors, model, steps
from skep.capability import manifest
from skep.hooks import request
from skep.model.capability import ProgramCapabilities
from skep.policy import images

VERBS: Final[Mapping[type, str]] = {
    model.Load: "load",
    model.Unload: "unload",
    model.Attach: "attach",
    model.Detach: "detach",
    model.UpdateLink: "update",
    model.ReplaceProgram: "replace",
    model.Adopt: "adopt",
}
"""What the history and the access rules call an operation."""


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


def trust(op: model.Operation) -> str:
    """Why the image that an operation loads from was accepted, and whose signature it has; "" without an image."""
    if isinstance(op, (model.Load, model.ReplaceProgram)) and isinstance(op.source, model.ImageSource):
        return op.source.trust
    return ""


def distrust(op: model.Operation) -> tuple[str, ...]:
    """The warning about an image that was accepted although no signature counts."""
    told = trust(op)
    return (f"the image is {told}",) if told.startswith(images.Outcome.WARNED) else ()


def capabilities(op: model.Operation) -> tuple[ProgramCapabilities, ...]:
    """What the programs could do that an operation loads; () for one that loads none."""
    match op:
        case model.Load():
            types = {one.name: one.hook for one in op.programs if one.hook is not None}
            wanted = {one.name for one in op.programs}
            return tuple(one for one in manifest.read(op.object, types) if one.program in wanted)
        case model.ReplaceProgram():
            return manifest.read(op.object)
        case _:
            return ()


def file(op: model.Load | model.ReplaceProgram) -> str:
    """The file that skep is to read for an operation. InvalidRequest when it names none, or names an object besides."""
    stored = op.stored if isinstance(op, model.ReplaceProgram) else None
    if op.object or stored or not isinstance(op.source, model.FileSource):
        raise errors.InvalidRequest(
            "skep is told to read the object from a file, and it is given otherwise",
            do="name a file as the source and send nothing, or leave read_file out",
        )
    return op.source.path


def subject(op: model.Operation, done: model.Done | None) -> str:
    """What an operation is about: "program 42", "link 7", or the object when no program came of it."""
    match op:
        case model.Load():
            if done is not None:
                return ", ".join(f"program {one.record.id}" for one in done.programs) + _origin(op.source)
            return f"object {op.source.path}" if isinstance(op.source, model.FileSource) else f"image {op.source.url}"
        case model.ReplaceProgram():
            return f"program {op.program}" + _origin(op.source)
        case model.Unload():
            return f"program {op.program}"
        case model.Attach():
            made = () if done is None else done.links
            return ", ".join(f"link {link}" for link in made) or f"program {op.program}"
        case model.Detach() | model.UpdateLink():
            return f"link {op.link}"
        case model.Adopt():
            return f"pin {op.pin}"


def _origin(source: model.Source) -> str:
    """The image that a program came out of, for the history; a file's path is with its program."""
    if isinstance(source, model.FileSource):
        return ""
    return f" from {source.url}" + (f"@{source.digest}" if source.digest and "@" not in source.url else "")


def fallbacks(change: steps.StoreChange) -> Iterator[str]:
    """Links that could not be attached in the mode that was tried first."""
    for link in change.links:
        if link.fallback and link.mode is not None:
            yield f"link {link.id} runs in mode {link.mode}; refused before: {link.fallback}"
