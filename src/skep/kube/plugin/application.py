"""Applications as a person wants them listed: how many nodes, what became of them, how far a rollout is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from skep import errors
from skep.kube import naming

SHORT = {
    "clusterbpfapplication": "ClusterBpfApplication",
    "clusterbpfapplications": "ClusterBpfApplication",
    "cba": "ClusterBpfApplication",
    "bpfapplication": "BpfApplication",
    "bpfapplications": "BpfApplication",
    "ba": "BpfApplication",
}
"""What a person may call the kinds, without the group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An application. ``namespace`` "": a ClusterBpfApplication. ``older``: the kind that it was made out of, or "".

    ``current``: what is told is about the spec that is there now. ``pending``: nodes that are neither ready nor failed.
    """

    kind: str
    namespace: str
    name: str
    desired: int
    ready: int
    failed: int
    status: str
    message: str
    current: bool
    older: str
    rollout: str
    """How far a staged rollout is: "Paused 3/10"; "" where there is none."""
    rolling: str
    """The same in words."""
    created: str

    @property
    def pending(self) -> int:
        """Nodes that have said nothing, or nothing about this spec."""
        return max(0, self.desired - self.ready - self.failed)

    @property
    def key(self) -> str:
        """As logs and inventories name it: KIND/[NAMESPACE/]NAME."""
        return "/".join(filter(None, (self.kind, self.namespace, self.name)))

    @property
    def reference(self) -> str:
        """As kubectl takes it."""
        return f"{self.kind.lower()}.bpfman.io/{self.name}"

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {
            "kind": self.kind,
            "namespace": self.namespace or None,
            "name": self.name,
            "status": self.status,
            "message": self.message,
            "current": self.current,
            "nodes": {
                "desired": self.desired, "ready": self.ready, "failed": self.failed, "pending": self.pending,
            },
            "rollout": {"progress": self.rollout, "message": self.rolling} if self.rollout else None,
            "translatedFrom": self.older or None,
            "created": self.created,
        }  # fmt: skip


def listed(document: Mapping[str, Any]) -> Listed:  # Any: JSON
    """What is told of an application."""
    about, status = document["metadata"], document.get("status") or {}
    condition = first_condition(status)
    deleted = "deletionTimestamp" in about
    type_ = condition.get("type", naming.PENDING)
    return Listed(
        kind=document["kind"],
        namespace=about.get("namespace", ""),
        name=about["name"],
        desired=status.get("desired", 0),
        ready=status.get("ready", 0),
        failed=status.get("failed", 0),
        status="Deleting" if deleted and type_ != naming.DELETE_ERROR else type_,
        message=condition.get("message") or "no operator has looked at it",
        current=status.get("observedGeneration") == about.get("generation"),
        older=(about.get("labels") or {}).get(naming.TRANSLATED_FROM, ""),
        rollout=_rollout(status.get("rollout") or {}),
        rolling=(status.get("rollout") or {}).get("message", ""),
        created=about.get("creationTimestamp", ""),
    )


def _rollout(status: Mapping[str, Any]) -> str:  # Any: JSON
    counted = f"{status.get('updated', 0)}/{status['total']}" if "total" in status else ""
    return " ".join(filter(None, (status.get("phase", ""), counted)))


def first_condition(status: Mapping[str, Any]) -> Mapping[str, Any]:  # Any: JSON
    """The condition that is the state: there is one; {} before anybody has said anything."""
    return next(iter(status.get("conditions") or ()), {})


def named(word: str, known: Iterable[Mapping[str, Any]], namespace: str) -> Mapping[str, Any]:  # Any: JSON
    """The application that a person means by NAME or KIND/NAME, among those of a namespace and of the cluster.

    NotFound, with names that look like it; InvalidRequest where one of each kind has that name.
    """
    kind, name = _parted(word)
    known = tuple(known)
    found = [each for each in known if each["metadata"]["name"] == name and kind in ("", each["kind"])]
    if len(found) == 1:
        return found[0]
    if found:
        raise errors.InvalidRequest(
            f"two applications are called {name}",
            why=f"a ClusterBpfApplication, and a BpfApplication in the namespace {namespace}",
            do=f"say cba/{name} or ba/{name}",
        )
    names = sorted({each["metadata"]["name"] for each in known})
    raise errors.NotFound(
        f"application {name}",
        why=f"there is none in the namespace {namespace}, and none of the cluster",
        near=errors.near_misses(name, names),
        do="" if errors.near_misses(name, names) else "kubectl skep status -A lists all; -n names another namespace",
    )


def _parted(word: str) -> tuple[str, str]:
    kind, slash, name = word.rpartition("/")
    if not slash:
        return "", word
    plain = kind.partition(".")[0].lower()
    if plain not in SHORT:
        raise errors.InvalidRequest(
            f"{word!r} names no application",
            why=f"{kind!r} is none of their kinds",
            do="say NAME, cba/NAME (ClusterBpfApplication) or ba/NAME (BpfApplication)",
        )
    return SHORT[plain], name
