"""What skep itself runs in a cluster: the operator, the Config, a pod on each node; and how they are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from skep.kube import naming
from skep.kube.plugin import application

OPERATOR: Final = "bpfman-operator"
"""The operator's Deployment."""
OPERATOR_LABELS: Final = {"app.kubernetes.io/name": OPERATOR}
DAEMON_LABELS: Final = {"name": naming.DAEMON_SET}
"""Of the DaemonSet's pods."""
CONTAINERS: Final = ("daemon", "agent", "csi")
"""Of such a pod, in the order in which a person looks at them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnNode:
    """What of skep is on a node. ``pod`` "": none. ``waiting``: why containers are not ready. ``node_ready`` None: it
    may not be seen."""

    node: str
    pod: str
    namespace: str
    ready: tuple[str, ...]
    containers: tuple[str, ...]
    restarts: int
    waiting: str
    node_ready: bool | None

    @property
    def whole(self) -> bool:
        """Whether all of the pod's containers are ready."""
        return bool(self.containers) and self.ready == self.containers

    @property
    def agent(self) -> bool:
        """Whether the agent is ready."""
        return "agent" in self.ready

    @property
    def word(self) -> str:
        """Its state in a word or two."""
        if not self.pod:
            return "no pod"
        if self.whole:
            return "ready" if self.node_ready is not False else "node not ready"
        return "not ready"

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {
            "node": self.node,
            "nodeReady": self.node_ready,
            "namespace": self.namespace or None,
            "pod": self.pod or None,
            "ready": self.whole,
            "containers": {name: name in self.ready for name in self.containers},
            "restarts": self.restarts,
            "why": self.waiting,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """The operator's Deployment. ``namespace`` "": it was not found."""

    namespace: str
    ready: int
    desired: int
    image: str

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {
            "namespace": self.namespace or None, "ready": self.ready, "desired": self.desired, "image": self.image,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The Config bpfman-config. ``status`` "": there is none."""

    namespace: str
    status: str
    message: str
    desired: int
    ready: int
    image: str
    current: bool

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {
            "namespace": self.namespace or None, "status": self.status or None, "message": self.message,
            "desired": self.desired, "ready": self.ready, "image": self.image, "current": self.current,
        }  # fmt: skip


def config(document: Mapping[str, Any] | None) -> Config:  # Any: JSON
    """What the Config tells."""
    if document is None:
        return Config(
            namespace="", status="", desired=0, ready=0, image="", current=False,
            message=f"there is no Config {naming.CONFIG}: nothing is deployed to nodes",
        )  # fmt: skip
    spec, status = document.get("spec") or {}, document.get("status") or {}
    condition = application.first_condition(status)
    return Config(
        namespace=status.get("namespace") or spec.get("namespace") or naming.NAMESPACE,
        status=condition.get("type", naming.PENDING),
        message=condition.get("message") or "no operator has looked at it",
        desired=status.get("desired", 0),
        ready=status.get("ready", 0),
        image=(spec.get("daemon") or {}).get("image", ""),
        current=status.get("observedGeneration") == document["metadata"].get("generation"),
    )


def operator(deployments: Iterable[Mapping[str, Any]]) -> Operator:  # Any: JSON
    """The operator out of the Deployments with its label."""
    found = next(iter(deployments), None)
    if found is None:
        return Operator(namespace="", ready=0, desired=0, image="")
    containers: Sequence[Mapping[str, Any]] = found["spec"]["template"]["spec"]["containers"]  # Any: JSON
    return Operator(
        namespace=found["metadata"]["namespace"],
        ready=(found.get("status") or {}).get("readyReplicas", 0),
        desired=found["spec"].get("replicas", 1),
        image=containers[0].get("image", ""),
    )


def nodes(
    pods: Iterable[Mapping[str, Any]], objects: Iterable[Mapping[str, Any]] | None
) -> tuple[OnNode, ...]:  # Any: JSON
    """Each node that has a pod of the DaemonSet, and with ``objects``, the Nodes, those that have none, by name."""
    ready = None if objects is None else {each["metadata"]["name"]: is_ready(each) for each in objects}
    found: dict[str, OnNode] = {}
    for pod in pods:
        name = home(pod)
        if not name or (ready is not None and name not in ready):
            continue
        here = _on_node(name, pod, None if ready is None else ready[name])
        # While one pod takes over from another a node has two: the one that works counts.
        if name not in found or here.whole:
            found[name] = here
    for name, state in (ready or {}).items():
        if name not in found:
            found[name] = OnNode(
                node=name, pod="", namespace="", ready=(), containers=(), restarts=0, waiting="", node_ready=state
            )
    return tuple(found[name] for name in sorted(found))


def is_ready(node: Mapping[str, Any]) -> bool:  # Any: JSON
    """Whether a Node's kubelet reports."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def home(pod: Mapping[str, Any]) -> str:  # Any: JSON
    """The node of a DaemonSet's pod, also while nobody has put it there; "": nobody knows."""
    spec = pod.get("spec") or {}
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or ()
    named = (each for term in terms for each in term.get("matchFields") or () if each["key"] == "metadata.name")
    return next((str(each["values"][0]) for each in named if each.get("values")), "")


def _on_node(name: str, pod: Mapping[str, Any], node_ready: bool | None) -> OnNode:  # Any: JSON
    about, status = pod["metadata"], pod.get("status") or {}
    containers = tuple(each["name"] for each in pod["spec"].get("containers") or ())
    statuses = {each["name"]: each for each in status.get("containerStatuses") or ()}
    ready = tuple(one for one in containers if one in statuses and statuses[one].get("ready"))
    return OnNode(
        node=name,
        pod=about["name"],
        namespace=about["namespace"],
        ready=() if "deletionTimestamp" in about else ready,
        containers=containers,
        restarts=sum(each.get("restartCount", 0) for each in statuses.values()),
        waiting="; ".join(_waiting(pod, [statuses[one] for one in containers if one in statuses])),
        node_ready=node_ready,
    )


def _waiting(pod: Mapping[str, Any], statuses: Sequence[Mapping[str, Any]]) -> list[str]:  # Any: JSON
    """Why containers are not ready."""
    if "deletionTimestamp" in pod["metadata"]:
        return ["the pod is being deleted"]
    told = []
    for each in statuses:
        state = each.get("state") or {}
        stopped = state.get("waiting") or state.get("terminated")
        if stopped:
            said = ": ".join(filter(None, (stopped.get("reason", ""), stopped.get("message", ""))))
            told.append(f"{each['name']}: {said}" if said else each["name"])
        elif not each.get("ready"):
            told.append(f"{each['name']}: its readiness probe fails")
    for each in (pod.get("status") or {}).get("conditions") or ():
        if each["type"] == "PodScheduled" and each["status"] == "False":
            told.append(f"not scheduled: {each.get('message') or each.get('reason', '')}")
    return told or ([] if statuses else ["its containers have not been started"])
