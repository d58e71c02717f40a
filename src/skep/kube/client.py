"""For programs that want eBPF programs in a cluster, such as an operator of an application: apply, wait, look, delete.

Small and synchronous, on lightkube's client. An object is read before it is sent, so that what is wrong with it is told
by the path of its field; what became of it on each node is told with the words of that node's agent.

::

    with client.cluster() as cluster:
        counter = cluster.apply(document)
        for node in cluster.wait(counter, seconds=60):
            print(node.name, node.programs[0].id)
        cluster.delete(counter)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self, TypeVar

import lightkube

from skep import errors, model
from skep.kube import kinds, naming, reconcile, resources
from skep.kube.api import answers, connect, served

T = TypeVar("T")
MANAGER: Final = "skep-client"
"""As whom objects are applied (server-side), unless one says otherwise."""
FIRST_SECONDS, LONGEST_SECONDS = 0.1, 2.0
"""How long between two looks: at first, doubling, and at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """An application of the cluster. ``namespace`` None: a ClusterBpfApplication."""

    name: str
    namespace: str | None = None

    @property
    def kind(self) -> str:
        """The kind's name."""
        return (kinds.CLUSTER_APPLICATION if self.namespace is None else kinds.APPLICATION).name

    def __str__(self) -> str:
        return "/".join(filter(None, (self.kind, self.namespace, self.name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class OnLink:
    """What became of a link on a node. ``id``: skep's, None while there is none. ``status``: Attached, NotAttached,
    AttachError, DetachError. ``place``: the other fields of the state, as the kind has them."""

    id: int | None
    wanted: bool
    status: str
    error: str
    place: Mapping[str, Any]  # Any: JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class OnProgram:
    """What became of a program on a node. ``id``: the kernel's, None while it is not loaded. ``status``: Pending,
    Success, Error, UpdateAttachInfoError."""

    name: str
    type: str
    id: int | None
    status: str
    links: tuple[OnLink, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnNode:
    """What became of an application on a node, in the words of its agent.

    ``loaded``: appLoadStatus. ``condition``: Pending, Success, Error, Unloaded, UnloadError. ``generation``: of the
    spec that this is about.
    """

    name: str
    loaded: str
    condition: str
    message: str
    generation: int
    programs: tuple[OnProgram, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.message or self.condition}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What became of an application in the cluster. ``current``: whether it is about the spec that is there now."""

    condition: str
    message: str
    desired: int
    ready: int
    failed: int
    current: bool


class Failed(errors.SkepError):
    """An application does not do what was waited for; ``nodes`` say why, each in ``message``."""

    def __init__(self, what: str, *, nodes: tuple[OnNode, ...], why: str = "", do: str = "") -> None:
        super().__init__(what, why=why or "; ".join(map(str, nodes)), do=do)
        self.nodes = nodes


class Door(Protocol):
    """What is asked of a node's daemon: ``skep.rpc.client.Client`` has it."""

    def programs(self, filter: model.ProgramFilter) -> tuple[model.Program | model.ForeignProgram, ...]:
        """Programs by ascending id."""


def cluster(kubeconfig: str | None = None) -> Cluster:
    """The cluster of a kubeconfig; None: the one that we run in, else $KUBECONFIG or ~/.kube/config. Nothing is asked
    yet. InvalidRequest for a configuration that cannot be used."""
    with connect.usable(kubeconfig):
        return Cluster(lightkube.Client(config=connect.configuration(kubeconfig), trust_env=False))


class Cluster(AbstractContextManager["Cluster"]):
    """Applications of a cluster. Raises ``skep.errors`` only; Denied where the account's roles do not allow it."""

    def __init__(self, api: lightkube.Client) -> None:
        self._api = api

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._api.close()

    def apply(self, document: Mapping[str, Any], *, manager: str = MANAGER, force: bool = False) -> Ref:  # Any: JSON
        """Make an application be as ``document`` says: it is created, or its fields are set (server-side apply).

        InvalidRequest with the path of what is wrong; Conflict if somebody else set one of these fields otherwise and
        it is not taken by ``force``.
        """
        read = resources.read(document)
        made = {**document, "metadata": {**document["metadata"]}}
        if read.namespace is not None:
            made["metadata"]["namespace"] = read.namespace
        ref = Ref(name=read.name, namespace=read.namespace)
        with answers.told(f"apply {ref}"):
            # call-overload: the only overload is for people who write keywords; a dict is what it is.
            body = self._kind(ref)(made)  # type: ignore[call-overload]
            self._api.apply(body, field_manager=manager, force=force)
        return ref

    def status(self, ref: Ref) -> Status:
        """What the operator says of it; NotFound if it is not there."""
        with answers.told(f"look at {ref}"):
            found = self._api.get(self._kind(ref), ref.name, **_where(ref))
        status = found.get("status") or {}
        condition = _condition(status)
        return Status(
            condition=condition.get("type", naming.PENDING),
            message=condition.get("message", ""),
            desired=status.get("desired", 0),
            ready=status.get("ready", 0),
            failed=status.get("failed", 0),
            current=status.get("observedGeneration") == found["metadata"].get("generation"),
        )

    def nodes(self, ref: Ref) -> tuple[OnNode, ...]:
        """What the agents say of it, by the node's name; () if no agent has said anything."""
        kind: Any = served.STATE if ref.namespace else served.CLUSTER_STATE  # Any: one method of lightkube's for both
        with answers.told(f"look at the states of {ref}"):
            found = [
                _on_node(each)
                for each in self._api.list(kind, labels={naming.OWNED: naming.label(ref.name)}, **_where(ref))
                if each.get("status")
            ]
        return tuple(sorted(found, key=lambda each: each.name))

    def wait(self, ref: Ref, *, seconds: float = 60, through_errors: bool = False) -> tuple[OnNode, ...]:
        """Wait until the spec that is there now runs on every node that it selects; what the nodes say then.

        Failed at the first node that says it cannot, with its words, and when the time is over. ``through_errors``:
        wait on in the first case, for agents try again. NotFound if it is deleted meanwhile.
        """

        def look() -> tuple[OnNode, ...] | None:
            status = self.status(ref)
            if status.current and status.condition == naming.SUCCESS:
                return tuple(each for each in self.nodes(ref) if each.condition == naming.SUCCESS)
            if status.current and status.condition == naming.ERROR and not through_errors:
                nodes = tuple(each for each in self.nodes(ref) if each.condition == naming.ERROR)
                raise Failed(
                    f"{ref} does not run on {_nodes(status.failed or len(nodes))}",
                    nodes=nodes,
                    why="" if nodes else status.message,
                    do="correct it and apply it again; agents try again what may pass",
                )
            return None

        found = _until(look, seconds)
        if found is not None:
            return found
        status = self.status(ref)
        rest = tuple(each for each in self.nodes(ref) if each.condition != naming.SUCCESS)
        why = "; ".join(map(str, rest)) or status.message or "no operator has looked at it"
        raise Failed(
            f"{ref} does not run everywhere after {seconds:g} s",
            nodes=rest,
            why=f"{status.ready} of {status.desired} nodes are ready; {why}",
            do="wait longer, or see 'kubectl describe' and the agents' logs",
        )

    def delete(self, ref: Ref, *, seconds: float | None = 60) -> None:
        """Delete it, and wait until every node is clean; ``seconds`` None: do not wait. Nothing is wrong if it is not
        there. Failed when the time is over, with the nodes that are not clean."""
        try:
            with answers.told(f"delete {ref}"):
                self._api.delete(self._kind(ref), ref.name, **_where(ref))
        except errors.NotFound:
            return
        if seconds is None or _until(lambda: True if self._is_gone(ref) else None, seconds):
            return
        raise Failed(
            f"{ref} is not gone after {seconds:g} s",
            nodes=(nodes := self.nodes(ref)),
            why="" if nodes else "its finalizer is still there, and no node says why",
            do="see the operator's log; it clears up after nodes that are gone",
        )

    def _is_gone(self, ref: Ref) -> bool:
        try:
            self.status(ref)
        except errors.NotFound:
            return True
        return False

    def _kind(self, ref: Ref) -> served.Resource:
        return served.APPLICATION if ref.namespace else served.CLUSTER_APPLICATION


def volume(name: str, ref: Ref, maps: Iterable[str]) -> dict[str, Any]:  # Any: JSON
    """A volume of a pod's spec in which the maps of an application are: files of their names, pinned in a bpffs.

    The pod needs no privilege, but an ``fsGroup``; the volume can be mounted ``readOnly``. See docs/csi.md.
    """
    attributes = {f"{naming.DRIVER}/program": ref.name, f"{naming.DRIVER}/maps": ",".join(maps)}
    return {"name": name, "csi": {"driver": naming.DRIVER, "volumeAttributes": attributes}}


def maps(door: Door, ref: Ref, node: str) -> dict[str, str]:
    """The maps of an application on the node of a daemon, by name: where each is pinned, for who may reach bpffs.

    ``node``: the node's name, as its agent is told. NotFound if the application has no program there.
    """
    owner = f"{ref}@{node}"
    found = door.programs(model.ProgramFilter(managed_only=True, metadata={reconcile.OWNER: owner}))
    programs = [each for each in found if isinstance(each, model.Program)]
    if not programs:
        raise errors.NotFound(
            f"{ref} has no program on {node}",
            why="nothing that the node's agent loaded for it is in the kernel",
            do="wait for it; 'kubectl get' its state says what it waits for",
        )
    return {one.name: str(one.pin) for each in programs for one in each.record.maps if not one.internal}


def _on_node(state: Mapping[str, Any]) -> OnNode:  # Any: JSON
    status = state["status"]
    condition = _condition(status)
    return OnNode(
        name=status.get("node", ""),
        loaded=status.get("appLoadStatus", ""),
        condition=condition.get("type", naming.PENDING),
        message=condition.get("message", ""),
        generation=status.get("observedGeneration", 0),
        programs=tuple(map(_on_program, status.get("programs", ()))),
    )


def _on_program(program: Mapping[str, Any]) -> OnProgram:  # Any: JSON
    body = program.get(str(program.get("type", "")).lower()) or {}
    return OnProgram(
        name=program["name"],
        type=program["type"],
        id=program.get("programId"),
        status=program.get("programLinkStatus", ""),
        links=tuple(map(_on_link, body.get("links", ()))),
    )


def _on_link(link: Mapping[str, Any]) -> OnLink:  # Any: JSON
    told = ("linkId", "shouldAttach", "linkStatus", "error", "uuid")
    return OnLink(
        id=link.get("linkId"),
        wanted=link.get("shouldAttach", True),
        status=link.get("linkStatus", ""),
        error=link.get("error", ""),
        place={name: value for name, value in link.items() if name not in told},
    )


def _condition(status: Mapping[str, Any]) -> Mapping[str, Any]:  # Any: JSON
    """The one condition that there is; {} before anybody said anything."""
    found: Mapping[str, Any] = next(iter(status.get("conditions") or ()), {})
    return found


def _where(ref: Ref) -> dict[str, Any]:  # Any: lightkube's overloads
    return {} if ref.namespace is None else {"namespace": ref.namespace}


def _nodes(number: int) -> str:
    return "a node" if number == 1 else f"{number} nodes"


def _until(look: Callable[[], T | None], seconds: float) -> T | None:
    """What ``look`` answers as soon as that is something, None when the time is over."""
    end, pause = time.monotonic() + seconds, FIRST_SECONDS
    while (found := look()) is None:
        left = end - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(pause, left))
        pause = min(pause * 2, LONGEST_SECONDS)
    return found
