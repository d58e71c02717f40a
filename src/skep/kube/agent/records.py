"""What the agent keeps of applications and of its state objects, and the state object it makes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from skep import errors
from skep.kube import kinds, naming, resources, revisions
from skep.kube.older import kinds as older


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An application's object. ``key``: as ``resources.Application.key``.

    ``application`` None: it cannot be read, and ``problem`` says why: what failed, why, what to do. ``revision``: of
    its spec. ``staged``: it is rolled out in stages; then earlier revisions are stored in the namespace ``stored_in``,
    and run on the nodes that the spec's selector ``nodes`` takes now.
    """

    key: str
    namespace: str | None
    name: str
    uid: str
    generation: int
    deleted: bool
    labels: Mapping[str, str] = field(default_factory=dict)
    application: resources.Application | None
    problem: tuple[str, str, str] = ("", "", "")
    revision: str = ""
    staged: bool = False
    stored_in: str = ""
    nodes: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON

    @property
    def error(self) -> errors.SkepError | None:
        """Why it cannot be read."""
        what, why, do = self.problem
        return None if self.application is not None else errors.InvalidRequest(what, why=why, do=do)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A state object of this node. ``owner``: the UID of its application's object; ``held``: our finalizer is there.

    ``assigned``: the revision that the operator wants to run here; "": it has said nothing.
    ``version``: its resource version, by which it is written without being read first. Of that alone nobody is told.
    """

    namespace: str | None
    name: str
    uid: str
    of: str
    owner: str
    held: bool
    deleted: bool
    assigned: str = ""
    status: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON
    version: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """The key of its application."""
        return key(self.namespace, self.of)


def key(namespace: str | None, name: str) -> str:
    """An application's key; see ``resources.Application.key``."""
    kind = kinds.CLUSTER_APPLICATION if namespace is None else kinds.APPLICATION
    return "/".join(filter(None, (kind.name, namespace, name)))


def parted(key: str) -> tuple[str | None, str]:
    """Namespace and name of a key."""
    _, *rest = key.split("/")
    return (rest[0], rest[1]) if len(rest) > 1 else (None, rest[0])


def wish(document: Mapping[str, Any]) -> Wish:  # Any: JSON
    """What is kept of an application's object."""
    about = document["metadata"]
    application, problem = None, ("", "", "")
    try:
        application = resources.read(document)
    except errors.InvalidRequest as error:
        problem = (error.what, error.why, error.do)
    namespace = about.get("namespace")
    spec = document.get("spec") or {}
    staged = spec.get("rollout") is not None
    rolled = (document.get("status") or {}).get("rollout") or {}
    return Wish(
        key=key(namespace, about["name"]),
        namespace=namespace,
        name=about["name"],
        uid=about["uid"],
        generation=about.get("generation", 0),
        deleted="deletionTimestamp" in about,
        labels=dict(about.get("labels") or {}),
        application=application,
        problem=problem,
        revision=revisions.of(document),
        staged=staged,
        stored_in=rolled.get("storedIn", "") if staged else "",
        nodes=spec.get("nodeSelector") or {} if staged else {},
    )


def wished(document: Mapping[str, Any]) -> Wish | None:  # Any: JSON
    """The same; None for a BpfApplication of the generation before: the operator translates those, and what it makes
    of them is seen like any other. In clusters with that generation's CRD they are in no namespace."""
    stray = document.get("kind") == kinds.APPLICATION.name and not document["metadata"].get("namespace")
    return None if stray or older.of(document) else wish(document)


def state(document: Mapping[str, Any]) -> State | None:  # Any: JSON
    """What is kept of a state object; None if it does not say whose it is."""
    about = document["metadata"]
    namespace = about.get("namespace")
    owner: Mapping[str, Any] = next((each for each in about.get("ownerReferences") or () if each.get("controller")), {})
    of = owner.get("name") or (about.get("labels") or {}).get(naming.OWNED)
    if not of:
        return None
    return State(
        namespace=namespace,
        name=about["name"],
        uid=about["uid"],
        of=of,
        owner=owner.get("uid", ""),
        held=naming.agent_finalizer(namespaced=namespace is not None) in (about.get("finalizers") or ()),
        deleted="deletionTimestamp" in about,
        assigned=(about.get("annotations") or {}).get(naming.REVISION, ""),
        status=document.get("status") or {},
        version=about.get("resourceVersion", ""),
    )


def new_state(wish: Wish, node: str) -> dict[str, Any]:  # Any: JSON
    """The state object of an application on a node, as it is created: held by our finalizer before anything is done."""
    namespaced = wish.namespace is not None
    application = kinds.APPLICATION if namespaced else kinds.CLUSTER_APPLICATION
    return {
        "apiVersion": kinds.API_VERSION,
        "kind": f"{application.name}State",
        "metadata": {
            "name": naming.state_name(wish.name, node),
            **({"namespace": wish.namespace} if namespaced else {}),
            "labels": naming.state_labels(wish.name, node),
            "finalizers": [naming.agent_finalizer(namespaced=namespaced)],
            "ownerReferences": [
                {
                    "apiVersion": kinds.API_VERSION,
                    "kind": application.name,
                    "name": wish.name,
                    "uid": wish.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
    }


def owners(wish: Wish, wishes: Iterable[Wish]) -> tuple[str, ...]:
    """The keys of the applications whose maps an application's ``mapOwnerSelector`` means.

    A namespaced one means only those of its namespace: what is beside it is none of its business.
    """
    application = wish.application
    if application is None or application.map_owner is None:
        return ()
    return tuple(
        sorted(
            each.key
            for each in wishes
            if each.key != wish.key
            and not each.deleted
            and (wish.namespace is None or each.namespace == wish.namespace)
            and application.map_owner.selects(each.labels)
        )
    )


def looks_at_pods(wish: Wish) -> tuple[resources.Pods, ...]:
    """The pods that an application's links select."""
    if wish.application is None:
        return ()
    return tuple(
        selector
        for program in wish.application.programs
        for link in program.links
        for selector in (link.network, link.containers)
        if isinstance(selector, resources.Pods)
    )


def looks_at_interfaces(wish: Wish) -> bool:
    """Whether interfaces that come and go can concern an application."""
    return wish.application is not None and any(
        link.interfaces is not None for program in wish.application.programs for link in program.links
    )
