"""The inventory for people: one table, by owner, skep's applications first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from skep import model
from skep.cli import output, table, when
from skep.cli.document import inventory as document
from skep.cli.render import image
from skep.model import kind

_DIRECTORY = 5
"""Parts of the path of a directory in the file system that is mounted at /sys/fs/bpf, with the empty first one."""


class _Row(NamedTuple):
    owner: model.Owner
    what: str
    id: int
    type: str
    name: str
    place: str
    memory: int | None = None
    since: float | None = None


def view(found: model.Inventory) -> output.View:
    """``skep inventory``."""
    return output.View(
        document=lambda: document.full(found),
        items=lambda: document.lines(found),
        names=lambda: (f"{'kernel-link' if row.what == 'link' else row.what}/{row.id}" for row in _rows(found)),
        text=lambda wide: table.show(_table(found), wide=wide),
    )


def alerts(found: model.Inventory) -> output.View:
    """``skep inventory --alerts``."""
    rows = tuple(
        (str(one.kind), one.place or "-", str(one.program or "-"), one.name, one.message, one.remedy)
        for one in found.alerts
    )

    def text(wide: bool) -> None:
        if not rows:
            print("nothing is wrong between skep and others")
            return
        columns = (
            table.Column(title="ALERT", style="bold"),
            table.Column(title="PLACE"),
            table.Column(title="PROGRAM", right=True, style="cyan"),
            table.Column(title="NAME"),
            table.Column(title="WHAT", folds=True),
            table.Column(title="TO DO", wide=True, folds=True),
        )
        table.show(table.Table(columns=columns, rows=rows), wide=wide)

    return output.View(
        document=lambda: {"alerts": [document.alert(one) for one in found.alerts]},
        items=lambda: (document.alert(one) for one in found.alerts),
        names=lambda: (f"program/{one.program}" for one in found.alerts if one.program),
        text=text,
    )


def _rows(found: model.Inventory) -> Iterator[_Row]:
    for one in found.programs:
        type_ = kind.program(one.kernel.type)
        place = ", ".join(one.places) or "-"
        yield _Row(one.owner, "program", one.kernel.id, type_, one.name, place, one.kernel.memlock_bytes, one.since)
    for link in found.links:
        place = link.place or "-"
        yield _Row(link.owner, "link", link.kernel.id, kind.link(link.kernel.type), "", place)
    for map_ in found.maps:
        used = f"program {table.joined(map_.programs)}" if map_.programs else "-"
        memory = map_.kernel.memlock_bytes
        yield _Row(map_.owner, "map", map_.kernel.id, kind.map(map_.kernel.type), map_.kernel.name, used, memory)


def _table(found: model.Inventory) -> table.Table:
    now = time.time()
    rows = sorted(_rows(found), key=lambda row: _order(row, found))
    return table.Table(
        title=_summary(found),
        columns=(
            table.Column(title="OWNER", style="bold", folds=True),
            table.Column(title="WHAT"),
            table.Column(title="ID", right=True, style="cyan"),
            table.Column(title="TYPE"),
            table.Column(title="NAME"),
            table.Column(title="PLACE OR USER", folds=True),
            table.Column(title="MEMORY", right=True, spare=2),
            table.Column(title="AGE", right=True, spare=1),
            table.Column(title="HELD BY", wide=True, folds=True),
        ),
        rows=tuple(
            (
                label(row.owner, found),
                row.what,
                str(row.id),
                row.type,
                row.name,
                row.place,
                "" if row.memory is None else image.size(row.memory),
                "" if row.since is None else when.age(now - row.since),
                _held(row.owner, found),
            )
            for row in rows
        ),
    )


def _order(row: _Row, found: model.Inventory) -> tuple[object, ...]:
    """skep's first, then others', last what is nobody's; programs before their links and maps."""
    whose = 0 if isinstance(row.owner, model.Managed) else 2 if row.owner == model.Foreign() else 1
    return whose, label(row.owner, found), ("program", "link", "map").index(row.what), row.id


def _summary(found: model.Inventory) -> str:
    ours = sum(isinstance(one.owner, model.Managed) for one in found.programs)
    return (
        f"{len(found.programs)} programs, {ours} of them managed; {len(found.links)} links, {len(found.maps)} maps; "
        f"{image.size(found.memory)}"
    )


def label(owner: model.Owner, found: model.Inventory) -> str:
    """One owner in a few words: "skep: firewall", "cilium-agent[812] in pod 6a1d…", "pins in /sys/fs/bpf/tc"."""
    match owner:
        case model.Managed():
            return f"skep: {owner.application}" if owner.application else "skep"
        case model.Foreign(pids=(first, *others)):
            one = found.process(first) or model.Process(pid=first, comm="process")
            more = f" and {len(others)} more" if others else ""
            return f"{one.comm}[{first}]{more}{_in(one.group)}"
        case model.Foreign(pins=(pin, *_)):
            # Whoever pins much has a directory of his own: /sys/fs/bpf/cilium.
            parts = pin.split("/")
            return f"pins in {'/'.join(parts[:_DIRECTORY])}" if len(parts) > _DIRECTORY else f"pin {pin}"
        case model.Foreign(groups=(group, *_)):
            return f"cgroup{_in(group) or f' {group.path}'}"
        case _:
            return "nobody"


def _in(group: model.Group) -> str:
    if group.pod:
        return f" in pod {group.pod}"
    return f" in {group.unit}" if group.unit else ""


def _held(owner: model.Owner, found: model.Inventory) -> str:
    if isinstance(owner, model.Managed):
        return owner.key
    processes = [found.process(pid) or model.Process(pid=pid, comm="?") for pid in owner.pids]
    words = [f"{one.comm}[{one.pid}] {one.exe}".strip() for one in processes]
    words += owner.pins
    words += [f"cgroup {group.path}" for group in owner.groups]
    return ", ".join(words) + (f" (through {owner.through})" if owner.through else "")
