"""Iterators: the program runs for every object of a kind (every task, every map) when its link is read (Linux 5.8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from skep import errors, model
from skep.hooks import aimed, hook, request, valid

BPF_TRACE_ITER = 28

ORDERS: Mapping[str, int] = {"self": 1, "descendants": 2, "descendants-post": 3, "ancestors": 4}
"""``enum bpf_cgroup_iter_order`` (linux/bpf.h; Linux 6.1)."""

_TAKES: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("bpf_map_elem", "bpf_sk_storage_map"), frozenset({"map"})),
    **dict.fromkeys(("task", "task_file", "task_vma"), frozenset({"pid", "tid"})),
    "cgroup": frozenset({"cgroup", "order"}),
}
"""Kind of object -> what an attachment may say about it; other kinds are gone through whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IteratorAttachment:
    """What an iterator goes through when it is read. ``target``: the kind it was loaded for, "" leaves it to the load.

    ``map``: id or pin's path of the map whose elements are meant. ``cgroup``: a directory or systemd unit, None: all;
    ``order``: one of ``ORDERS``. ``pid``: one process with all its threads; ``tid``: one thread.
    """

    target: str = ""
    map: str | None = None
    cgroup: str | None = None
    order: str | None = None
    pid: int | None = None
    tid: int | None = None

    def __post_init__(self) -> None:
        if self.map is not None and not (self.map.isascii() and self.map.isdigit()):
            valid.path("the map", self.map)
        if self.cgroup is not None:
            valid.text("the cgroup", self.cgroup)
        if self.order is not None:
            valid.choice("the order", self.order, tuple(ORDERS))
        valid.pid("the process", self.pid)
        valid.pid("the thread", self.tid)
        if self.pid is not None and self.tid is not None:
            raise errors.InvalidRequest("an iterator goes through one process or one thread", do="name one of the two")


def complete(attachment: IteratorAttachment, placing: hook.Placing) -> IteratorAttachment:
    """With the kind that the program was loaded for. Conflict when the caller names another; InvalidRequest for what
    that kind does not take, or for a map's elements without the map."""
    if attachment.target not in ("", placing.function):
        raise aimed.elsewhere(attachment.target, placing)
    kind = placing.function
    takes = _TAKES.get(kind, frozenset())
    said = [name for name in ("map", "cgroup", "order", "pid", "tid") if getattr(attachment, name) is not None]
    for name in said:
        if name not in takes:
            raise errors.InvalidRequest(
                f"an iterator over {kind} takes no {name}",
                why="it takes " + ", ".join(sorted(takes)) if takes else "it goes through all there are",
                do=f"leave the {name} out",
            )
    if "map" in takes and attachment.map is None:
        raise errors.InvalidRequest(
            f"an iterator over {kind} needs a map", why="it goes through one map's elements", do="name it with --map"
        )
    return replace(attachment, target=kind)


def requests(attachment: IteratorAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
    """One link, whose target says what is gone through."""
    name = attachment.target or placing.function
    target = request.IteratorTarget(
        name=name,
        map=attachment.map,
        cgroup=attachment.cgroup,
        # The kernel goes through no cgroup that it is not told how to; `cgroup.ops` and others know no order.
        order=ORDERS[attachment.order or "descendants"] if name == "cgroup" else 0,
        pid=attachment.pid,
        tid=attachment.tid,
    )
    return (request.LinkRequest(target=target, attach_type=BPF_TRACE_ITER, label="iterator"),)


def _build(values: Mapping[str, Any]) -> IteratorAttachment:  # Any: see Hook.build
    return IteratorAttachment(
        map=values.get("map"),
        cgroup=values.get("cgroup"),
        order=values.get("order"),
        pid=values.get("pid"),
        tid=values.get("tid"),
    )


def _summary(attachment: IteratorAttachment) -> str:
    said = ((name, getattr(attachment, name)) for name in ("map", "cgroup", "order", "pid", "tid"))
    return " ".join((attachment.target, *(f"{name} {value}" for name, value in said if value is not None)))


OPTIONS = (
    hook.Option(
        field="map",
        flags=("--map",),
        metavar="MAP",
        help="For bpf_map_elem and bpf_sk_storage_map: the map to go through, by id or pin.",
        parse=valid.parse_text,
    ),
    hook.Option(
        field="cgroup",
        flags=("--cgroup",),
        metavar="CGROUP",
        help="For cgroup: where to begin, a directory or systemd unit (default: the whole tree).",
        parse=valid.parse_text,
    ),
    hook.Option(
        field="order",
        flags=("--order",),
        metavar="ORDER",
        help="For cgroup: self, descendants (default), descendants-post or ancestors.",
        parse=valid.parse_text,
    ),
    hook.Option(
        field="pid",
        flags=("--pid",),
        metavar="PID",
        help="For task, task_file and task_vma: only this process.",
        parse=valid.parse_int,
        example="1",
    ),
    hook.Option(
        field="tid",
        flags=("--tid",),
        metavar="TID",
        help="For task, task_file and task_vma: only this thread.",
        parse=valid.parse_int,
    ),
)

HOOK = hook.Hook(
    name=model.HookName("iter"),
    prog_type=aimed.BPF_PROG_TYPE_TRACING,
    sections=("iter",),
    family=(model.HookName("iter"),),
    attachment=IteratorAttachment,
    build=_build,
    requests=requests,
    summary=_summary,
    expected_attach_type=BPF_TRACE_ITER,
    aimed=True,
    complete=complete,
    config=("DEBUG_INFO_BTF",),
    first="5.8",
    doc="Runs for every object of one kind, such as tasks, when its pinned link is read; the kind is chosen at load.",
    options=OPTIONS,
)
