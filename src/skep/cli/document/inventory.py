"""The inventory as JSON: programs, links and maps, each with its owner."""

from __future__ import annotations

from collections.abc import Iterator

from skep import model
from skep.cli import when
from skep.model import kind


def full(found: model.Inventory) -> dict[str, object]:
    """The whole answer."""
    return {
        "kernel": found.release,
        "memory": found.memory,
        "programs": [program(one, found) for one in found.programs],
        "links": [link(one, found) for one in found.links],
        "maps": [map(one, found) for one in found.maps],
        "alerts": [alert(one) for one in found.alerts],
        "unread_processes": found.unread,
        "not_looked_at": list(found.cut),
    }


def lines(found: model.Inventory) -> Iterator[dict[str, object]]:
    """One document for each object."""
    for each in found.programs:
        yield {"kind": "program", **program(each, found)}
    for each_link in found.links:
        yield {"kind": "link", **link(each_link, found)}
    for each_map in found.maps:
        yield {"kind": "map", **map(each_map, found)}


def program(one: model.OwnedProgram, found: model.Inventory) -> dict[str, object]:
    """A program; memory in bytes."""
    return {
        "id": one.kernel.id,
        "name": one.name,
        "type": kind.program(one.kernel.type),
        "tag": one.kernel.tag,
        "places": list(one.places),
        "memory": one.kernel.memlock_bytes,
        "loaded_at": when.stamp(one.since, whole=True),
        "map_ids": list(one.kernel.map_ids),
        "owner": owner(one.owner, found),
        "sanctioned": one.sanctioned,
    }


def alert(one: model.Alert) -> dict[str, object]:
    """Something that is wrong."""
    return {
        "kind": one.kind.value,
        "hook": one.hook,
        "place": one.place,
        "program_id": one.program or None,
        "name": one.name,
        "applications": list(one.applications),
        "message": one.message,
        "remedy": one.remedy,
    }


def link(one: model.OwnedLink, found: model.Inventory) -> dict[str, object]:
    """A link; its id is the kernel's."""
    return {
        "id": one.kernel.id,
        "type": kind.link(one.kernel.type),
        "program_id": one.kernel.program_id,
        "place": one.place,
        "owner": owner(one.owner, found),
    }


def map(one: model.OwnedMap, found: model.Inventory) -> dict[str, object]:
    """A map; memory in bytes."""
    return {
        "id": one.kernel.id,
        "name": one.kernel.name,
        "type": kind.map(one.kernel.type),
        "max_entries": one.kernel.max_entries,
        "memory": one.kernel.memlock_bytes,
        "program_ids": list(one.programs),
        "owner": owner(one.owner, found),
    }


def owner(one: model.Owner, found: model.Inventory) -> dict[str, object]:
    """Who owns something; the same fields whoever it is."""
    ours = one if isinstance(one, model.Managed) else model.Managed()
    theirs = one if isinstance(one, model.Foreign) else model.Foreign()
    return {
        "managed": isinstance(one, model.Managed),
        "application": ours.application,
        "applied": ours.key,
        "chain": ours.part,
        "processes": [_process(pid, found) for pid in theirs.pids],
        "pins": list(theirs.pins),
        "groups": [_group(each) for each in theirs.groups],
        "through": theirs.through,
    }


def _process(pid: int, found: model.Inventory) -> dict[str, object]:
    one = found.process(pid) or model.Process(pid=pid, comm="")
    return {"pid": pid, "comm": one.comm, "exe": one.exe, "uid": one.uid, **_group(one.group)}


def _group(one: model.Group) -> dict[str, object]:
    return {"cgroup": one.path, "unit": one.unit, "pod_uid": one.pod, "container_id": one.container}
