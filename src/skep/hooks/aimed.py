"""What the types have in common whose target is fixed at load (fentry, fexit, LSM, BTF tracepoints)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from skep import errors, model
from skep.hooks import hook, request

BPF_PROG_TYPE_TRACING = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class AimedAttachment:
    """One program at the place it was loaded for. ``target``: that place's name, "" leaves it to the load."""

    target: str = ""


def complete(attachment: AimedAttachment, placing: hook.Placing) -> AimedAttachment:
    """With the target that the program was loaded for. Conflict when the caller names another."""
    if attachment.target not in ("", placing.function):
        raise elsewhere(attachment.target, placing)
    return replace(attachment, target=placing.function)


def elsewhere(target: str, placing: hook.Placing) -> errors.Conflict:
    """A program cannot go anywhere but to what it was loaded for."""
    return errors.Conflict(
        f"the program cannot be attached to {target}",
        why=f"it was loaded for {placing.function}, and the kernel knows no other place for it",
        do=f"load it again for {target}",
    )


def hook_of(
    name: str,
    *,
    sections: tuple[str, ...],
    attach_type: int,
    first: str,
    doc: str,
    prog_type: int = BPF_PROG_TYPE_TRACING,
    bpfman: int | None = None,
    config: tuple[str, ...] = ("DEBUG_INFO_BTF",),
) -> hook.Hook[AimedAttachment]:
    """A type whose target is fixed at load: there is nothing to say when it is attached."""

    def requests(attachment: AimedAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
        return (
            request.LinkRequest(
                target=request.LoadedTarget(name=attachment.target or placing.function),
                attach_type=attach_type,
                label=name,
            ),
        )

    return hook.Hook(
        name=model.HookName(name),
        bpfman=bpfman,
        prog_type=prog_type,
        sections=sections,
        family=(model.HookName(name),),
        attachment=AimedAttachment,
        build=_build,
        requests=requests,
        summary=_summary,
        first=first,
        doc=doc,
        options=(),
        expected_attach_type=attach_type,
        aimed=True,
        complete=complete,
        config=config,
    )


def _build(values: Mapping[str, Any]) -> AimedAttachment:  # Any: see Hook.build
    return AimedAttachment()


def _summary(attachment: AimedAttachment) -> str:
    return attachment.target
