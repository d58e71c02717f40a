"""struct_ops: a table of functions that the kernel calls, such as a TCP congestion control (Linux 5.6).

What is attached is a map: it holds one struct of the kernel's, whose members are programs that were loaded with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import model
from skep.hooks import hook, request, valid

BPF_PROG_TYPE_STRUCT_OPS = 27
BPF_STRUCT_OPS = 44


@dataclass(frozen=True, slots=True, kw_only=True)
class StructOpsAttachment:
    """The registration of one map. ``map``: the variable's name in the object, "" for the only one."""

    map: str = ""


def _requests(attachment: StructOpsAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
    target = placing.table or request.StructOpsTarget(name=attachment.map)
    return (request.LinkRequest(target=target, attach_type=BPF_STRUCT_OPS, label="struct_ops"),)


def _complete(attachment: StructOpsAttachment, placing: hook.Placing) -> StructOpsAttachment:
    return attachment if placing.table is None else StructOpsAttachment(map=placing.table.name)


def _build(values: Mapping[str, Any]) -> StructOpsAttachment:  # Any: see Hook.build
    return StructOpsAttachment(map=values.get("map") or "")


def _summary(attachment: StructOpsAttachment) -> str:
    return attachment.map


HOOK = hook.Hook(
    name=model.HookName("struct_ops"),
    prog_type=BPF_PROG_TYPE_STRUCT_OPS,
    sections=("struct_ops",),
    family=(model.HookName("struct_ops"),),
    attachment=StructOpsAttachment,
    build=_build,
    requests=_requests,
    summary=_summary,
    complete=_complete,
    config=("BPF_JIT", "DEBUG_INFO_BTF"),
    first="5.6",
    doc="Registers a table of functions with the kernel, such as a TCP congestion control.",
    options=(
        hook.Option(
            field="map",
            metavar="MAP",
            help="The table: a variable of the object's .struct_ops or .struct_ops.link (default: the only one).",
            parse=valid.parse_text,
            example="cubic_like",
        ),
    ),
)
