"""What the types have in common whose programs skep loads and runs on request, and attaches nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import errors, model
from skep.hooks import hook, request
from skep.hooks.runs import Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAttachment:
    """Nothing: there is no place that a program of such a type could be attached to."""


def hook_of(
    name: str,
    *,
    prog_type: int,
    why: str,
    runs: Runs | None = None,
    first: str,
    doc: str,
    config: tuple[str, ...] = (),
    always_sleepable: bool = False,
) -> hook.Hook[NoAttachment]:
    """A type of the family; ``why`` there is no link of it, as a clause."""

    def build(values: Mapping[str, Any]) -> NoAttachment:  # Any: see Hook.build
        raise refusal(made)

    def requests(attachment: NoAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
        raise refusal(made)

    made = hook.Hook(
        name=model.HookName(name),
        prog_type=prog_type,
        sections=(name,),
        family=(model.HookName(name),),
        attachment=NoAttachment,
        build=build,
        requests=requests,
        summary=_summary,
        runs=runs,
        unattached=why,
        config=config,
        always_sleepable=always_sleepable,
        first=first,
        doc=doc,
        options=(),
    )
    return made


def refusal(one: hook.Hook[Any]) -> errors.InvalidRequest:  # Any: see hooks.HOOKS
    """What an attempt to attach a program of such a type is answered with."""
    do = "run it with 'skep program run PROGRAM'" if one.runs else "attach it with ip(8), from its pin or its object"
    return errors.InvalidRequest(f"skep attaches no {one.name} programs", why=one.unattached, do=do)


def _summary(attachment: NoAttachment) -> str:
    return "nowhere"
