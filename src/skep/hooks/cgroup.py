"""What the types have in common that run for the processes of a control group (cgroup v2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import errors, model
from skep.hooks import hook, request, valid
from skep.hooks.runs import Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupAttachment:
    """One program on one cgroup and those below it. ``path``: of the cgroup's directory, or the name of a
    systemd unit; stored is the directory.

    ``order``: "first" or "last" of the cgroup's programs, or "before:N" or "after:N" for skep's link N there (Linux
    6.16); None: last, on every kernel.
    """

    path: str
    order: str | None = None

    def __post_init__(self) -> None:
        valid.text("the cgroup", self.path)
        if self.order is not None:
            anchor(self.order)


def anchor(order: str) -> tuple[request.Place, model.LinkId | None]:
    """ "before:7" -> the side, and the link beside which the new one goes, None for an end of the list."""
    word, colon, number = order.partition(":")
    ends = {"first": request.Place.BEFORE, "last": request.Place.AFTER}
    sides = {"before": request.Place.BEFORE, "after": request.Place.AFTER}
    if not colon and word in ends:
        return ends[word], None
    if word in sides and number.isascii() and number.isdigit() and 0 < int(number) < 2**32:
        return sides[word], model.LinkId(int(number))
    raise errors.InvalidRequest(
        f"{order!r} is not an order", why="it is first, last, before:LINK or after:LINK", do="for example before:7"
    )


def hook_of(
    name: str,
    *,
    prog_type: int,
    first: str,
    doc: str,
    points: Mapping[str, int] | None = None,
    sections: tuple[str, ...] = (),
    attach_type: int = 0,
    aimed: bool = False,
    config: tuple[str, ...] = ("CGROUP_BPF",),
    runs: Runs | None = None,
) -> hook.Hook[CgroupAttachment]:
    """A type of the family: ``points`` where its sections differ in the attach type, else ``sections``."""

    def requests(attachment: CgroupAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
        return (
            request.LinkRequest(
                target=request.CgroupTarget(path=attachment.path),
                attach_type=made.attach_type(placing.section),
                options=placing.anchor,
                label=name,
            ),
        )

    made = hook.Hook(
        name=model.HookName(name),
        prog_type=prog_type,
        sections=tuple(points or sections),
        family=(model.HookName(name),),
        attachment=CgroupAttachment,
        build=_build,
        requests=requests,
        summary=_summary,
        points=points or {},
        expected_attach_type=attach_type,
        aimed=aimed,
        runs=runs,
        swaps=True,
        anchor=_anchor,
        config=config,
        first=first,
        doc=doc,
        options=OPTIONS,
    )
    return made


def _anchor(attachment: CgroupAttachment) -> tuple[request.Place, model.LinkId | None] | None:
    return None if attachment.order is None else anchor(attachment.order)


def _build(values: Mapping[str, Any]) -> CgroupAttachment:  # Any: see Hook.build
    return CgroupAttachment(path=values["path"], order=values.get("order"))


def _summary(attachment: CgroupAttachment) -> str:
    return attachment.path if attachment.order is None else f"{attachment.path} {attachment.order}"


OPTIONS = (
    hook.Option(
        field="path",
        metavar="CGROUP",
        help="Directory of the cgroup (version 2), or a systemd unit; the program runs for the cgroups below it too.",
        parse=valid.parse_text,
        required=True,
        example="/sys/fs/cgroup/system.slice",
    ),
    hook.Option(
        field="order",
        flags=("--order",),
        metavar="ORDER",
        help="first, last, before:LINK or after:LINK among the cgroup's programs (Linux 6.16; default: last).",
        parse=valid.parse_text,
        example="first",
    ),
)
