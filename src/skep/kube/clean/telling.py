"""What cleaning a cluster waits for, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from skep.kube import naming

SHOWN: Final = 5
"""How many of a kind are told by name."""

Document = Mapping[str, Any]  # Any: JSON


def some(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def mounting(pods: Iterable[Document], forgotten: Sequence[str]) -> list[str]:
    """The pods that have maps mounted, except on nodes that are gone."""
    return [
        f"{each['metadata']['namespace']}/{each['metadata']['name']}"
        for each in pods
        if each["spec"].get("nodeName") not in forgotten
        and (each.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        and any((one.get("csi") or {}).get("driver") == naming.DRIVER for one in each["spec"].get("volumes") or ())
    ]


def loaded(inventories: Iterable[Document], forgotten: Sequence[str]) -> list[str]:
    """Which nodes have programs of skep's, each with their names."""
    found = []
    for each in inventories:
        node, status = each["metadata"]["name"], each.get("status") or {}
        if node not in forgotten and (status.get("counts") or {}).get("managed"):
            programs = status.get("programs") or ()
            names = [one.get("name") or "?" for one in programs if (one.get("owner") or {}).get("managed")]
            found.append(f"{node} has {some(names)}")
    return found


def cleaning(daemons: Document, pods: Iterable[Document], forgotten: Sequence[str]) -> list[str]:
    """Which nodes are not clean yet, each with why if that is known."""
    status = daemons.get("status") or {}
    if status.get("observedGeneration", 0) < daemons["metadata"].get("generation", 1):
        return ["pods that clean the nodes"]
    left = [(each["spec"].get("nodeName") or "a node", each) for each in pods if not _ready(each)]
    found = [f"{node}{_why(each)}" for node, each in left if node not in forgotten]
    unseen = status.get("desiredNumberScheduled", 0) - status.get("currentNumberScheduled", 0)
    return found + ([f"{unseen} without a pod"] if unseen > 0 else [])


def _ready(pod: Document) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _why(pod: Document) -> str:
    """What its cleaning container has said at its end, or what keeps it from beginning."""
    for each in (pod.get("status") or {}).get("initContainerStatuses") or ():
        now, before = each.get("state") or {}, each.get("lastState") or {}
        for ended in (now.get("terminated") or {}, before.get("terminated") or {}):
            if ended.get("exitCode"):
                return f" ({ended.get('message', '').strip() or ended.get('reason')})"
        if message := (now.get("waiting") or {}).get("message"):
            return f" ({message})"
    return ""
