"""The kernel links of one link: one under a pin, or several under a directory of pins, all of them or none.

Each is a step of its own, so that a failure at the last takes back all before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import errors, hooks, model, paths, steps
from skep.hooks import request


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The steps that make a link's kernel links, and what its record says of them; ``labels`` only of several."""

    todo: tuple[steps.Step, ...]
    pins: tuple[model.LinkPin, ...]
    labels: tuple[str, ...] = ()

    def kernel_ids(self, results: steps.Results) -> tuple[model.KernelLinkId, ...]:
        """The kernel links that were made, in the order of the pins."""
        return tuple(results.links[pin].kernel.id for pin in self.pins)

    def refused(self, results: steps.Results) -> tuple[str, ...]:
        """Why candidates before those in use were not taken, each reason once."""
        return tuple(dict.fromkeys(one for pin in self.pins for one in results.links[pin].refused))

    def process_start(self, results: steps.Results) -> int:
        """When the process began that the link is for; see ``model.LinkRecord``."""
        return max((results.links[pin].process_start for pin in self.pins), default=0)


def make(
    link: model.LinkId, program: model.ProgramPin, wanted: request.Requests, pins: paths.Pins, *, waiting: bool = False
) -> Places:
    """Make what a hook asks for at the link's own pins, or at those where its next kernel links wait."""
    at = pins.link_copy if waiting else pins.link
    match wanted:
        case request.Several():
            if not wanted.spots:
                raise errors.NotFound(
                    "there is nothing to attach to", why="the target stands for no place", do="name another target"
                )
            places = tuple(at(link, number) for number in range(len(wanted.spots)))
            made = tuple(
                steps.CreateLink(program=program, candidates=spot.candidates, pin=pin)
                for spot, pin in zip(wanted.spots, places, strict=True)
            )
            directory = pins.link_copy_directory(link) if waiting else pins.link_directory(link)
            return Places(
                todo=(steps.MakeDirectory(path=directory), *made),
                pins=places,
                labels=tuple(spot.label for spot in wanted.spots),
            )
        case candidates:
            pin = at(link)
            return Places(todo=(steps.CreateLink(program=program, candidates=candidates, pin=pin),), pins=(pin,))


def target(
    hook: hooks.Hook[Any],  # Any: the table's element type
    attachment: object,
    program: model.ProgramRecord,
) -> request.Target | None:
    """The target that stands for several in an attachment, completed as it will be; None for one without."""
    if hook.expands is None:
        return None
    if hook.complete is not None:
        placing = hooks.Placing(section=program.section, function=program.attach_func or "")
        attachment = hook.complete(attachment, placing)
    stands: request.Target | None = hook.expands(attachment)
    return stands


def found(
    hook: hooks.Hook[Any],  # Any: the table's element type
    attachment: object,
    program: model.ProgramRecord,
    seen: Mapping[request.Target, tuple[request.Target, ...]],
) -> tuple[request.Target, ...]:
    """What an attachment's target stands for, of what was ``seen``; () for a target that stands for itself."""
    stands = target(hook, attachment, program)
    return () if stands is None else seen[stands]
