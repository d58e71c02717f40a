"""What an inventory of a node comes to as the status of its NodeBpfInventory. Pure.

Managed objects come first, and as much of the rest as an object of ``ROOM`` bytes holds; how much is left out is told.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from skep import model
from skep.kube.inventory import findings
from skep.kube.inventory.kind import LONGEST, MOST_NAMED, MOST_OBJECTS
from skep.model import kind

Json = dict[str, Any]
"""A part of an object. Any: JSON."""

ROOM: Final = 900_000
"""Bytes of JSON for the lists; an API server takes objects of 1.5 MiB at most, and etcd requests of 1.5 MiB."""
MOST_USERS: Final = 64
"""Programs that are named with one map."""
_UNITS: Final = ("", "Ki", "Mi", "Gi", "Ti")
_AMOUNT: Final = re.compile(r"([0-9.]+)(Ki|Mi|Gi|Ti)?")
_STEADY: Final = 0.25
_LISTS: Final = ("programs", "links", "maps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod as the agent's informer knows it. ``containers``: names by the runtime's id, without its scheme.

    A static pod's cgroup has another UID than the API server's object: it is recognised by its containers.
    """

    uid: str
    namespace: str
    name: str
    containers: Mapping[str, str] = field(default_factory=dict)


def status(found: model.Inventory, node: str, pods: Iterable[Pod]) -> Json:
    """The whole status; ``pods`` of this node."""
    owners = _Owners(found, pods)
    entries = {
        "programs": [(one.owner, _program(one, owners)) for one in found.programs],
        "links": [(one.owner, _link(one, owners)) for one in found.links],
        "maps": [(one.owner, _map(one, owners)) for one in found.maps],
    }
    managed = sum(isinstance(one.owner, model.Managed) for one in found.programs)
    told = findings.listed(found.alerts, node)
    kept = _fitting(entries, ROOM - _size(told))
    left = {name: len(entries[name]) - len(kept[name]) for name in _LISTS}
    return _without_nothing(
        {
            "node": node,
            "kernel": _cut(found.release),
            "counts": {
                "programs": len(found.programs),
                "managed": managed,
                "foreign": len(found.programs) - managed,
                **_without_nothing(
                    {
                        "unsanctioned": sum(not one.sanctioned for one in found.programs),
                        "findings": len(found.alerts),
                    }
                ),
                "links": len(found.links),
                "maps": len(found.maps),
            },
            "memory": amount(found.memory),
            "findings": told,
            "conditions": [findings.condition(found.alerts)],
            **kept,
            "leftOut": {name: number for name, number in left.items() if number},
            "unreadProcesses": found.unread,
            "notLookedAt": _words(found.cut),
        }
    )


def steady(old: Mapping[str, Any], new: Json, today: str) -> Json:  # Any: JSON
    """``new`` with the amounts of memory of ``old`` where they are nearly the same: a map that fills is no news.

    A condition has been so since the time in ``old`` if it was so there, else since ``today`` (RFC 3339).
    """
    made = {**new, **_memory(old, new)}
    since = {(one["type"], one["status"]): one["lastTransitionTime"] for one in old.get("conditions", ())}
    if "conditions" in new:
        made["conditions"] = [
            {**one, "lastTransitionTime": since.get((one["type"], one["status"]), today)} for one in new["conditions"]
        ]
    for name in ("programs", "maps"):
        before = {one["id"]: one for one in old.get(name, ())}
        if name in new:
            made[name] = [{**one, **_memory(before.get(one["id"], {}), one)} for one in new[name]]
    return made


def amount(octets: int) -> str:
    """Bytes as a quantity, rounded up to a tenth below ten: "320", "1.3Mi", "278Ki"."""
    value, unit = float(octets), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    if not unit:
        return str(octets)
    tenths = math.ceil(value * 10)
    return f"{tenths / 10 if tenths < 100 else math.ceil(value):g}{_UNITS[unit]}"


def octets(quantity: str) -> float:
    """``amount`` back, as far as that goes; 0 for anything else."""
    told = _AMOUNT.fullmatch(quantity)
    return float(told[1]) * 1024.0 ** _UNITS.index(told[2] or "") if told else 0.0


def _memory(old: Mapping[str, Any], new: Mapping[str, Any]) -> Json:  # Any: JSON
    before, now = octets(old.get("memory", "")), octets(new.get("memory", ""))
    near = before and abs(now - before) <= before * _STEADY
    return {"memory": old["memory"]} if near else {}


class _Owners:
    """Owners in the words of the kind."""

    def __init__(self, found: model.Inventory, pods: Iterable[Pod]) -> None:
        self._processes = {one.pid: one for one in found.processes}
        self._pods: dict[str, Pod] = {}
        for pod in pods:
            self._pods.update({pod.uid: pod, **dict.fromkeys(pod.containers, pod)})

    def told(self, owner: model.Owner) -> Json:
        if isinstance(owner, model.Managed):
            ours = {"application": owner.application, "applied": owner.key, "chain": owner.part}
            return {"managed": True, **_without_nothing({name: _cut(text) for name, text in ours.items()})}
        return {
            "managed": False,
            **_without_nothing(
                {
                    "processes": [self._process(pid) for pid in owner.pids[:MOST_NAMED]],
                    "pins": _words(owner.pins),
                    "cgroups": [{"path": _cut(one.path), **self._within(one)} for one in owner.groups[:MOST_NAMED]],
                    "through": _cut(owner.through),
                }
            ),
        }

    def _process(self, pid: int) -> Json:
        one = self._processes.get(pid)
        if one is None:
            return {"pid": pid}
        named = _without_nothing({"command": _cut(one.comm), "executable": _cut(one.exe)})
        return {"pid": pid, **named, **self._within(one.group)}

    def _within(self, group: model.Group) -> Json:
        """The unit or the pod of a cgroup."""
        if not group.pod:
            return _without_nothing({"unit": _cut(group.unit)})
        container = group.container
        known = self._pods.get(container) or self._pods.get(group.pod)
        named = {}
        if known is not None:
            named = {"namespace": _cut(known.namespace), "name": _cut(known.name)}
            container = known.containers.get(container, container)
        return {"pod": {"uid": _cut(group.pod), **_without_nothing({**named, "container": _cut(container)})}}


def _program(one: model.OwnedProgram, owners: _Owners) -> Json:
    return {
        "id": one.kernel.id,
        "name": _cut(one.name),
        "type": kind.program(one.kernel.type),
        "tag": one.kernel.tag,
        **_without_nothing({"places": _words(one.places), "unsanctioned": not one.sanctioned}),
        "memory": amount(one.kernel.memlock_bytes),
        "owner": owners.told(one.owner),
    }


def _link(one: model.OwnedLink, owners: _Owners) -> Json:
    return {
        "id": one.kernel.id,
        "type": kind.link(one.kernel.type),
        "programId": one.kernel.program_id,
        **_without_nothing({"place": _cut(one.place)}),
        "owner": owners.told(one.owner),
    }


def _map(one: model.OwnedMap, owners: _Owners) -> Json:
    return {
        "id": one.kernel.id,
        "name": _cut(one.kernel.name),
        "type": kind.map(one.kernel.type),
        **_without_nothing({"programIds": list(one.programs[:MOST_USERS])}),
        "memory": amount(one.kernel.memlock_bytes),
        "owner": owners.told(one.owner),
    }


def _fitting(entries: Mapping[str, Sequence[tuple[model.Owner, Json]]], room: int) -> dict[str, list[Json]]:
    """What there is room for: all that is managed, then what others have, then what is nobody's."""
    kept: dict[str, list[Json]] = {name: [] for name in _LISTS}
    for rank in range(3):
        for name in _LISTS:
            for owner, entry in entries[name]:
                if _rank(owner) != rank:
                    continue
                size = _size(entry) + 1
                if size <= room and len(kept[name]) < MOST_OBJECTS:
                    kept[name].append(entry)
                    room -= size
    return kept


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def _rank(owner: model.Owner) -> int:
    if isinstance(owner, model.Managed):
        return 0
    return 1 if owner.pids or owner.pins or owner.groups else 2


def _words(texts: Iterable[str]) -> list[str]:
    return [_cut(text) for text in list(texts)[:MOST_NAMED]]


def _cut(text: str) -> str:
    """At most ``LONGEST`` characters, the end left out: a path's beginning says whose it is."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _without_nothing(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value not in ("", 0, [], {})}
