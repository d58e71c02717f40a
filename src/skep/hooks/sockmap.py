"""What the types have in common that run for the sockets of a map (SOCKMAP, SOCKHASH)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import model
from skep.hooks import hook, request, valid


@dataclass(frozen=True, slots=True, kw_only=True)
class SockmapAttachment:
    """One program on one map of sockets. ``map``: path of the map's pin."""

    map: str

    def __post_init__(self) -> None:
        valid.path("the map", self.map)


def hook_of(
    name: str,
    *,
    prog_type: int,
    doc: str,
    points: Mapping[str, int] | None = None,
    attach_type: int = 0,
    config: tuple[str, ...] = ("NET_SOCK_MSG",),
) -> hook.Hook[SockmapAttachment]:
    """A type of the family."""

    def requests(attachment: SockmapAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
        number = made.attach_type(placing.section)
        return (
            request.LinkRequest(target=request.MapTarget(pin=attachment.map), attach_type=number, label=f"{name} link"),
            request.LinkRequest(
                target=request.HeldMapTarget(pin=attachment.map), attach_type=number, label="held by the map"
            ),
        )

    made = hook.Hook(
        name=model.HookName(name),
        prog_type=prog_type,
        sections=tuple(points or (name,)),
        family=(model.HookName(name),),
        attachment=SockmapAttachment,
        build=_build,
        requests=requests,
        summary=_summary,
        points=points or {},
        expected_attach_type=attach_type,
        swaps=True,
        config=config,
        first="6.10",
        doc=doc,
        options=(
            hook.Option(
                field="map",
                metavar="PIN",
                help="Path of the pinned map of sockets.",
                parse=valid.parse_text,
                required=True,
                example="/sys/fs/bpf/sockets",
            ),
        ),
    )
    return made


def _build(values: Mapping[str, Any]) -> SockmapAttachment:  # Any: see Hook.build
    return SockmapAttachment(map=values["map"])


def _summary(attachment: SockmapAttachment) -> str:
    return attachment.map
