"""What the types have in common that belong to a network namespace as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import model
from skep.hooks import hook, request, valid
from skep.hooks.runs import Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class NetnsAttachment:
    """One program on one network namespace. ``netns``: a path, a name or "pid:123"; None: the daemon's own."""

    netns: str | None = None

    def __post_init__(self) -> None:
        valid.netns(self.netns)


def hook_of(
    name: str, *, prog_type: int, sections: tuple[str, ...], attach_type: int, runs: Runs, first: str, doc: str
) -> hook.Hook[NetnsAttachment]:
    """A type of the family."""

    def requests(attachment: NetnsAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
        target = request.NetnsTarget(path=attachment.netns)
        return (request.LinkRequest(target=target, attach_type=attach_type, label=name),)

    return hook.Hook(
        name=model.HookName(name),
        prog_type=prog_type,
        sections=sections,
        family=(model.HookName(name),),
        attachment=NetnsAttachment,
        build=_build,
        requests=requests,
        summary=summary,
        expected_attach_type=attach_type,
        runs=runs,
        swaps=True,
        config=("NET",),
        first=first,
        doc=doc,
        options=(NETNS,),
    )


def _build(values: Mapping[str, Any]) -> NetnsAttachment:  # Any: see Hook.build
    return NetnsAttachment(netns=values.get("netns"))


def summary(attachment: NetnsAttachment) -> str:
    """ "/run/netns/blue"."""
    return attachment.netns or "skep's network namespace"


NETNS = hook.Option(
    field="netns",
    flags=("-n", "--netns"),
    metavar="NETNS",
    help="Network namespace: a path, a name of `ip netns`, or pid:NUMBER (default: skep's own).",
    parse=valid.parse_text,
    example="/run/netns/x",
)
