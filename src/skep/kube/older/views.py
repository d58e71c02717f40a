"""What a node reports of an application, as the BpfProgram objects of the older generations. Pure.

bpfman had one for each attach point of a program on a node, bpfd one for each config and node. Their ``maps`` are the
pins that the daemon reports; a node that reports none has none in them.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from skep.kube import naming
from skep.kube.older import fields, kinds, status
from skep.kube.older.kinds import Older

OWNING_CONFIG: Final = "owningConfig"
"""Label of bpfd's BpfPrograms: the config's name."""
PROGRAM_ID, ATTACH_POINT = "bpfman.io/ProgramId", "bpfman.io/bpfProgramAttachPoint"
"""Annotations of bpfman's: the kernel's number of the program, and where it is attached, in words."""
APP_PROGRAM_ID: Final = "bpfman.io/appProgramId"
"""Label of bpfman's: which of the application's programs."""

_LOADED = "Loaded"
_SUCCESS, _BPFD_SUCCESS = "Successfully loaded bpfProgram", "Successfully loaded BpfProgram"
_REASONS: Final = {
    _LOADED: "Loaded", "NotLoaded": "NotLoaded", "NotUnLoaded": "NotUnloaded", "Unloaded": "Unloaded",
}  # fmt: skip
"""Condition type -> reason, behind "bpfman" or "bpfd"."""
_BARE: Final = {
    "NotSelected": "nodeNotSelected", "MapOwnerNotFound": "mapOwnerNotFound",
    "NoContainersOnNode": "noContainersOnNode",
}  # fmt: skip
"""The same for types whose reason begins otherwise."""


def views(
    older: Older, owner: Mapping[str, Any], state: Mapping[str, Any], now: datetime.datetime
) -> tuple[dict[str, Any], ...]:  # Any: JSON
    """The view objects of ``owner`` (an older object) on the node that ``state`` is of, with spec and status.

    Their conditions' times are ``now``; see ``settled`` for objects that are there already.
    """
    told = state.get("status") or {}
    if not told.get("node"):
        return ()
    if older.view is kinds.BPFD_PROGRAM:
        return (_of_config(owner, told, now),)
    owners = (state.get("metadata") or {}).get("ownerReferences") or ()
    of = next((each for each in owners if each.get("controller")), None)
    return tuple(
        _view(older, owner, of, told, program, member, link, now)
        for program in told.get("programs") or ()
        for member in (_member(program),)
        for link in (program.get(member) or {}).get("links") or (None,)
    )


def settled(made: dict[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:  # Any: JSON
    """A view as it is to be written where ``before`` is there: its condition's time stays as long as the type does."""
    (new,) = made["status"]["conditions"]
    first: Mapping[str, Any] = next(iter(((before or {}).get("status") or {}).get("conditions") or ()), {})
    if first.get("type") != new["type"] or not first.get("lastTransitionTime"):
        return made
    return {**made, "status": {"conditions": [{**new, "lastTransitionTime": first["lastTransitionTime"]}]}}


def _member(program: Mapping[str, Any]) -> str:  # Any: JSON
    return str(program.get("type", "")).lower()


def _view(
    older: Older,
    owner: Mapping[str, Any],
    of: Mapping[str, Any] | None,
    told: Mapping[str, Any],
    program: Mapping[str, Any],
    member: str,
    link: Mapping[str, Any] | None,
    now: datetime.datetime,
) -> dict[str, Any]:  # Any: JSON
    """One attach point of a program on a node; without a link: the program, which has none there."""
    name, node = owner["metadata"]["name"], told["node"]
    kind = {"kretprobe": "kprobe", "uretprobe": "uprobe"}.get(member, member)
    aim = (program.get(member) or {}).get("function")
    point = _point(link, aim)
    type, message = _verdict(told, program, link, _SUCCESS, contained=_contained(owner))
    annotations = {f"bpfman.io.{kind}{'ns' if older.view.namespaced else ''}programcontroller/{key}": value
                   for key, value in _annotations(kind, link, aim).items()}  # fmt: skip
    if type == "NoContainersOnNode":
        annotations[f"bpfman.io.{kind}{'ns' if older.view.namespaced else ''}programcontroller/nocontainersonnode"] = (
            "true"
        )
    if program.get("programId") is not None:
        annotations[PROGRAM_ID] = str(program["programId"])
    maps = program.get("maps") or {}
    which = "" if older.type != "application" else naming.label(f"{kind}-{program['name']}").strip("-_.")
    key = (link or {}).get("uuid", "")
    return {
        "apiVersion": older.view.api_version,
        "kind": older.view.name,
        "metadata": {
            "name": _named(name, f"{node}\0{program['name']}\0{key}"),
            **({"namespace": owner["metadata"]["namespace"]} if older.view.namespaced else {}),
            "labels": {**naming.state_labels(name, node), APP_PROGRAM_ID: which},
            "annotations": {**annotations, ATTACH_POINT: point},
            "ownerReferences": _owned(older, owner, of),
        },
        "spec": {"type": kind, **({"maps": dict(maps)} if maps else {})},
        "status": {"conditions": [_condition("bpfman", type, message, now)]},
    }


def _of_config(
    owner: Mapping[str, Any], told: Mapping[str, Any], now: datetime.datetime
) -> dict[str, Any]:  # Any: JSON
    """bpfd's one object for a node, with all attach points."""
    name, node = owner["metadata"]["name"], told["node"]
    spec = owner.get("spec") or {}
    programs = {}
    verdicts = []
    for program in told.get("programs") or ():
        for link in (program.get(_member(program)) or {}).get("links") or (None,):
            verdicts.append(_verdict(told, program, link, _BPFD_SUCCESS))
            if link is not None:
                programs[str(link["uuid"])] = {
                    "attachpoint": _attach_point(spec, link),
                    "maps": dict(program.get("maps") or {}),
                }
    type, message = (
        next((each for each in verdicts if each[0] != _LOADED), None)
        or next(iter(verdicts), None)
        or _verdict(told, {}, None, _BPFD_SUCCESS)
    )
    return {
        "apiVersion": kinds.BPFD_PROGRAM.api_version,
        "kind": kinds.BPFD_PROGRAM.name,
        "metadata": {
            "name": _fitted(f"{name}-{node}"),
            "labels": {OWNING_CONFIG: naming.label(name), naming.HOSTNAME: naming.label(node)},
            "ownerReferences": _owned(kinds.CONFIG, owner, None),
        },
        "spec": {"node": node, "type": spec.get("type", ""), "programs": programs},
        "status": {"conditions": [_condition("bpfd", type, message, now)]},
    }


def _attach_point(spec: Mapping[str, Any], link: Mapping[str, Any]) -> dict[str, Any]:  # Any: JSON
    """Where a link is, in the shape in which the config wrote it."""
    if "name" in link:
        return {"singleattach": {"name": link["name"]}}
    if "interface" in (spec.get("attachpoint") or {}):
        return {"interface": link["interfaceName"]}
    words = {
        each.lower().replace("_", ""): each
        for each in ("ABORTED", "DROP", "PASS", "TX", "REDIRECT", "DISPATCHER_RETURN")
    }
    known = [words[each.lower()] for each in link.get("proceedOn") or () if each.lower() in words]
    return {
        "networkmultiattach": {
            "interfaceselector": {"interface": link["interfaceName"]},
            "priority": link.get("priority", 0),
            "direction": str(link.get("direction", "NONE")).upper(),
            **({"proceedon": known} if known else {}),
        }
    }


def _point(link: Mapping[str, Any] | None, aim: str | None) -> str:  # Any: JSON
    """An attach point in words: "eth0", "eth0-ingress", "sched/sched_switch", "/bin/bash-readline"."""
    if link is None:
        return aim or ""
    if "interfaceName" in link:
        words = [link["interfaceName"], str(link.get("direction", "")).lower(), link.get("netnsPath", "")]
    elif "target" in link:
        words = [link["target"], link.get("function", ""), str(link.get("containerPid", ""))]
    else:
        words = [link.get("name") or link.get("function") or aim or ""]
    return "-".join(word for word in words if word)


def _annotations(kind: str, link: Mapping[str, Any] | None, aim: str | None) -> dict[str, str]:  # Any: JSON
    """What upstream's controller of a type noted on its objects, behind the controller's name."""
    found = link or {}
    match kind:
        case "xdp" | "tc" | "tcx":
            pairs = {"interface": found.get("interfaceName")}
        case "tracepoint":
            pairs = {"tracepoint": found.get("name")}
        case "uprobe":
            pairs = {"target": found.get("target"), "containerpid": found.get("containerPid")}
        case _:
            pairs = {"function": found.get("function") or aim}
    return {key: str(value) for key, value in pairs.items() if value not in (None, "")}


def _verdict(
    told: Mapping[str, Any],
    program: Mapping[str, Any],
    link: Mapping[str, Any] | None,
    success: str,
    *,
    contained: bool = False,
) -> tuple[str, str]:  # Any: JSON
    """Condition type and message of one attach point."""
    first: Mapping[str, Any] = next(iter(told.get("conditions") or ()), {})
    why = first.get("message", "")
    match told.get("appLoadStatus"):
        case "NotSelected":
            return "NotSelected", why or "the node is not selected"
        case "UnloadSuccess":
            return "Unloaded", why or "unloaded"
        case "UnloadError":
            return "NotUnLoaded", why or "it could not be unloaded"
    if program.get("programId") is None and why.startswith(naming.WAITING_FOR_MAPS):
        return "MapOwnerNotFound", why
    if link is None:
        if program.get("programId") is None:
            return "NotLoaded", why or "it is not loaded yet"
        if contained:
            return "NoContainersOnNode", "There are no matching containers on the node"
        return _LOADED, f"{success}; {why}" if why else success
    match link.get("linkStatus"):
        case "Attached":
            return _LOADED, success
        case "DetachError":
            return "NotUnLoaded", link.get("error") or why or "it could not be detached"
    return "NotLoaded", link.get("error") or why or "it is not attached yet"


def _contained(owner: Mapping[str, Any]) -> bool:  # Any: JSON
    return any("containers" in body for body in fields.bodies(owner))


def _condition(daemon: str, type: str, message: str, now: datetime.datetime) -> dict[str, Any]:  # Any: JSON
    reason = _BARE.get(type) or daemon + _REASONS[type]
    return status.condition(type, reason, message, None, now)


def _owned(
    older: Older, owner: Mapping[str, Any], of: Mapping[str, Any] | None
) -> list[Mapping[str, Any]]:  # Any: JSON
    """By whom a view is owned; ``of``: the application, as its states name their owner.

    A namespaced object (a BpfApplication in its older form) cannot own one of the cluster: the application does then,
    and the garbage collector removes the view with that.
    """
    about = owner["metadata"]
    if about.get("namespace") and not older.view.namespaced:
        return [] if of is None else [of]
    return [
        {
            "apiVersion": older.kind.api_version, "kind": older.kind.name, "name": about["name"], "uid": about["uid"],
            "controller": True, "blockOwnerDeletion": True,
        }
    ]  # fmt: skip


def _named(owner: str, key: str) -> str:
    """``<owner>-<8 hexadecimal digits>``, the same for the same place."""
    tail = "-" + hashlib.sha256(key.encode()).hexdigest()[:8]
    return _fitted(owner, naming.LONGEST_NAME - len(tail)) + tail


def _fitted(name: str, longest: int = naming.LONGEST_NAME) -> str:
    if len(name) <= longest:
        return name
    tail = "-" + hashlib.sha256(name.encode()).hexdigest()[:8]
    return name[: longest - len(tail)].rstrip("-.") + tail
