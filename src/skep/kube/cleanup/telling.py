"""What a cleanup waits for, in words; and which kinds it deletes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from skep.kube import kinds, naming

GROUPS: Final = (kinds.GROUP, "bpfd.io")
"""The groups whose kinds are applications, or tell of them."""
MANY: Final = 5
"""How many of a kind are named."""
_VIEWS: Final = ("BpfProgram", "BpfNsProgram")
"""Made by the operator for who looks; they go with what they are of."""
_ENDINGS: Final = ("Program", "Application", "ProgramConfig")

Document = Mapping[str, Any]  # Any: JSON


def makes_programs_run(kind: str) -> bool:
    """Whether an object of this kind wants programs on nodes: what has to be deleted first."""
    return kind.endswith(_ENDINGS) and kind not in _VIEWS


def is_current(kind: str) -> bool:
    """Whether it is a kind of today. Those of others are deleted before: today's are made out of them."""
    return kind in (kinds.CLUSTER_APPLICATION.name, kinds.APPLICATION.name)


def applications(left: Iterable[Document]) -> str:
    """What still keeps applications, "" if there are none."""
    return _some([f"{_name(each)} ({_condition(each)})" for each in left], "waiting for ")


def mounting(pods: Iterable[Document], ignored: Sequence[str]) -> list[str]:
    """The pods that have maps mounted, except on nodes that are ignored."""
    return [
        _name(each)
        for each in pods
        if each["spec"].get("nodeName") not in ignored
        and each.get("status", {}).get("phase") not in ("Succeeded", "Failed")
        and any((one.get("csi") or {}).get("driver") == naming.DRIVER for one in each["spec"].get("volumes") or ())
    ]


def loaded(inventories: Iterable[Document], ignored: Sequence[str]) -> str:
    """Which nodes have programs of skep's that no application is about, "" for none."""
    found = []
    for each in inventories:
        status = each.get("status") or {}
        if count := (status.get("counts") or {}).get("managed", 0):
            names = [
                one.get("name", "?") for one in status.get("programs") or () if (one.get("owner") or {}).get("managed")
            ]
            found.append(
                (each["metadata"]["name"], f"{count} on {each['metadata']['name']} ({', '.join(names[:MANY])})")
            )
    return _some([text for node, text in found if node not in ignored], "programs that no application has: ")


def running(pods: Iterable[Document], ignored: Sequence[str]) -> str:
    """On which nodes pods have not ended, "" if all have."""
    nodes = sorted({each["spec"].get("nodeName") or "no node yet" for each in pods})
    return _some([each for each in nodes if each not in ignored], "waiting for the pods to end on ")


def cleaning(daemons: Document, pods: Iterable[Document], ignored: Sequence[str]) -> str:
    """Which nodes are not clean yet, and why, "" if all are."""
    status = daemons.get("status") or {}
    if status.get("observedGeneration", 0) < daemons["metadata"].get("generation", 1):
        return "waiting for the DaemonSet's controller"
    unready = [each for each in pods if not _ready(each)]
    left = [
        f"{node}{_why(each)}" for each in unready if (node := each["spec"].get("nodeName") or "a node") not in ignored
    ]
    unseen = status.get("desiredNumberScheduled", 0) - status.get("currentNumberScheduled", 0)
    if unseen > 0:
        left.append(f"{unseen} more")
    return _some(left, "waiting for nodes to be cleaned: ")


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


def _condition(document: Document) -> str:
    if "deletionTimestamp" not in document["metadata"]:
        return "not deleted yet"
    conditions = (document.get("status") or {}).get("conditions") or ()
    message = next((each.get("message", "") for each in conditions if "being deleted" in each.get("message", "")), "")
    return message or "the operator has not let go of it"


def _name(document: Document) -> str:
    about = document["metadata"]
    return "/".join(filter(None, (document.get("kind", ""), about.get("namespace"), about["name"]))).lstrip("/")


def _some(texts: Sequence[str], before: str) -> str:
    if not texts:
        return ""
    more = len(texts) - MANY
    return before + ", ".join(texts[:MANY]) + (f" and {more} more" if more > 0 else "")
