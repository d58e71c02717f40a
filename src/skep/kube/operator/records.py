"""What the operator keeps of each object that it watches: a few words, so that thousands need little memory. Pure."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NewType

from skep import errors
from skep.kube import naming, parts, resources, revisions, shape
from skep.kube.api import key as keys
from skep.kube.api.key import Key
from skep.kube.operator.rollout import asked
from skep.kube.operator.rollout import told as rollouts

NodeLabel = NewType("NodeLabel", str)
"""A node's name as a label has it (``naming.label``)."""

MESSAGE: int = 600
"""Characters that are kept of a state's message: enough for an error, and bounded however many states there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An application's status. ``since``: when ``type`` last changed, as RFC 3339 writes it. ``type`` "": none yet.

    ``rollout`` None: it is not rolled out in stages.
    """

    generation: int = 0
    desired: int = 0
    ready: int = 0
    failed: int = 0
    type: str = ""
    message: str = ""
    since: str = ""
    rollout: rollouts.Told | None = None

    def document(self) -> dict[str, Any]:  # Any: JSON
        """As the API server stores it."""
        return {
            "observedGeneration": self.generation,
            "desired": self.desired,
            "ready": self.ready,
            "failed": self.failed,
            "conditions": [condition(self.type, self.message, self.since, self.generation)],
            **({} if self.rollout is None else {"rollout": self.rollout.document()}),
        }


def condition(type: str, message: str, since: str, generation: int) -> dict[str, Any]:  # Any: JSON
    """The one condition of a status: its type is the state, and so is its reason."""
    return {
        "type": type,
        "status": "True",
        "reason": type,
        "message": message,
        "lastTransitionTime": since,
        "observedGeneration": generation,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The older object that an application was made of: its kind, its UID, and its namespace if it has another."""

    kind: str
    uid: str
    namespace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """An application. ``nodes`` None: a selector of its cannot be read, and ``problem`` says why.

    ``rollout`` None: a change reaches all nodes at once. ``revision`` is said of those that are rolled out in stages.
    """

    key: Key
    uid: str
    generation: int
    deleted: datetime.datetime | None
    finalizers: tuple[str, ...]
    nodes: resources.Selector | None
    problem: str = ""
    secret: tuple[str, str] | None = None
    """The pull secret that it names, as (namespace, name)."""
    rollout: asked.Asked | None = None
    revision: str = ""
    told: Told = field(default_factory=Told)
    told_whole: bool = False
    """Whether the status holds ``told`` and nothing else, so that writing it again would change nothing."""
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What an agent reports of an application. ``generation`` None: upstream's agent, which does not say.

    ``of``: the application as its label names it. ``held``: the agent's finalizer is there. ``assigned``: the revision
    that the node shall run; ``observed``: the one that the report is about; ``running``: the one that runs.
    """

    key: Key
    uid: str
    of: str
    owner: str
    node: NodeLabel
    held: bool
    deleted: bool
    type: str
    message: str
    generation: int | None
    assigned: str = ""
    observed: str = ""
    running: str = ""
    since: datetime.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the cluster. ``ready``: its kubelet reports."""

    name: str
    labels: Mapping[str, str]
    ready: bool


def application(document: Mapping[str, Any]) -> Application:  # Any: JSON
    """What is kept of an application, whatever its spec looks like."""
    about = document["metadata"]
    spec = document.get("spec") or {}
    nodes, problem, rollout = None, "", None
    try:
        rollout = asked.read(spec["rollout"]) if spec.get("rollout") is not None else None
        value = shape.read(parts.SELECTOR, spec.get("nodeSelector") or {}, "spec.nodeSelector")
        nodes = resources.selector(value, "spec.nodeSelector")
    except errors.InvalidRequest as error:
        problem = str(error)
    status = document.get("status") or {}
    before = told(status)
    return Application(
        key=keys.of(document),
        uid=about["uid"],
        generation=about.get("generation", 0),
        deleted=_time(about.get("deletionTimestamp")),
        finalizers=tuple(about.get("finalizers") or ()),
        nodes=nodes,
        problem=problem,
        secret=revisions.secret(spec),
        rollout=rollout,
        revision="" if rollout is None else revisions.of(document),
        told=before,
        told_whole=bool(before.type) and status == before.document(),
        origin=origin(document),
    )


def origin(document: Mapping[str, Any]) -> Origin | None:  # Any: JSON
    """What an application was made of; None for one that somebody has written."""
    labels = document["metadata"].get("labels") or {}
    if naming.TRANSLATED_FROM not in labels:
        return None
    return Origin(
        kind=labels[naming.TRANSLATED_FROM],
        uid=labels.get(naming.TRANSLATED_UID) or _owner(document),
        namespace=labels.get(naming.TRANSLATED_NAMESPACE, ""),
    )


def state(document: Mapping[str, Any]) -> State:  # Any: JSON
    """What is kept of a state; its long list of links is not."""
    about = document["metadata"]
    key = keys.of(document)
    labels = about.get("labels") or {}
    status = document.get("status") or {}
    first = _first(status)
    node = labels.get(naming.HOSTNAME) or naming.label(status.get("node") or "")
    assigned = (about.get("annotations") or {}).get(naming.REVISION, "")
    return State(
        key=key,
        uid=about["uid"],
        # Of many states the same: one text in memory for all.
        of=sys.intern(labels.get(naming.OWNED, "")),
        owner=sys.intern(_owner(document)),
        node=NodeLabel(sys.intern(node)),
        held=naming.agent_finalizer(namespaced=bool(key.namespace)) in (about.get("finalizers") or ()),
        deleted="deletionTimestamp" in about,
        type=sys.intern(first.get("type", "")),
        message=sys.intern(shortened(first.get("message", ""), MESSAGE)),
        generation=status.get("observedGeneration"),
        assigned=sys.intern(assigned),
        # Thousands of states say the same few words.
        observed=sys.intern(status.get("observedRevision", "")),
        running=sys.intern(status.get("revision", "")),
        since=_time(first.get("lastTransitionTime")) if assigned else None,
    )


def node(document: Mapping[str, Any]) -> Node:  # Any: JSON
    """What is kept of a Node; what its kubelet says every few minutes is not."""
    conditions = (document.get("status") or {}).get("conditions") or ()
    about = document["metadata"]
    return Node(
        name=about["name"],
        labels=dict(about.get("labels") or {}),
        ready=any(each["type"] == "Ready" and each["status"] == "True" for each in conditions),
    )


def home(pod: Mapping[str, Any]) -> str:  # Any: JSON
    """The node that a DaemonSet's pod runs on, or is meant for while nobody has put it there. "": nobody knows."""
    spec = pod.get("spec") or {}
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or ()
    named = (each for term in terms for each in term.get("matchFields") or () if each["key"] == "metadata.name")
    return next((str(each["values"][0]) for each in named if each.get("values")), "")


def shortened(text: str, longest: int) -> str:
    """``text``, or its beginning and an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def listed(names: Sequence[str], most: int = 5) -> str:
    """ "a, b and 7 more"."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _owner(document: Mapping[str, Any]) -> str:  # Any: JSON
    """The UID of the object's controller, "" if it has none."""
    owners = document["metadata"].get("ownerReferences") or ()
    return next((str(each["uid"]) for each in owners if each.get("controller")), "")


def _first(status: Mapping[str, Any]) -> Mapping[str, Any]:  # Any: JSON
    """The condition: there is one."""
    return next(iter(status.get("conditions") or ()), {})


def told(status: Mapping[str, Any]) -> Told:  # Any: JSON
    """What a status tells, whoever wrote it."""
    first = _first(status)
    return Told(
        generation=status.get("observedGeneration", 0),
        desired=status.get("desired", 0),
        ready=status.get("ready", 0),
        failed=status.get("failed", 0),
        type=first.get("type", ""),
        message=first.get("message", ""),
        since=first.get("lastTransitionTime", ""),
        rollout=rollouts.read(status.get("rollout")),
    )


def _time(text: str | None) -> datetime.datetime | None:
    return None if text is None else datetime.datetime.fromisoformat(text)
