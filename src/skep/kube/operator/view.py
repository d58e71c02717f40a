"""What the operator sees: informers of all that it decides with, and the states of each application by its name.

Whoever acts hears of changes through ``Heard``; what they get are records, never whole objects, but for the one Config.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from skep import errors
from skep.kube import naming
from skep.kube.api import informer, served
from skep.kube.api.connect import Api
from skep.kube.api.key import Key
from skep.kube.older import kinds
from skep.kube.operator import daemonset, definitions, deploy, records
from skep.kube.operator.aggregate import Cluster
from skep.kube.operator.records import Application, Node, NodeLabel, State
from skep.kube.revisions import Stored, stored

Document: TypeAlias = Mapping[str, Any]
"""An object as the API server sends it. Any: JSON."""
T = TypeVar("T")

CONFIG = Key(name=naming.CONFIG)
DEFINITIONS = 25
"""CRDs that are listed at once: the largest are megabytes, and nearly all are others'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Whom to tell: of an application, of its state on a node, of the Config or what it stands for, of the nodes and
    who runs on them, of a namespace whose pull secrets are granted, of a node that has states and is not there, and of
    the CRDs."""

    application: Callable[[Key], None]
    state: Callable[[Key, NodeLabel], None]
    config: Callable[[], None]
    nodes: Callable[[], None]
    secrets: Callable[[str], None]
    vanished: Callable[[NodeLabel], None]
    served: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An object that the operator has made, as it is: its fingerprint, and of a DaemonSet its counts."""

    fingerprint: str
    uid: str
    owner: str
    generation: int = 0
    observed: int = 0
    desired: int = 0
    ready: int = 0
    updated: int = 0


class View:
    """All informers; ``run`` feeds them until cancelled, ``synced`` waits until each has listed once.

    ``namespace``: the operator's own, in which revisions of applications are stored.
    """

    def __init__(self, api: Api, heard: Heard, namespace: str) -> None:
        self._heard = heard
        self._states: dict[tuple[str, str], dict[Key, State]] = {}
        self._cluster: Cluster | None = None
        self._ready = False
        inform = informer.Informer
        self._applications = {
            kind: inform(api, kind, keep=keep, changed=self._application)
            for kind, keep in (
                (served.CLUSTER_APPLICATION, records.application),
                (served.APPLICATION, _in_a_namespace),
            )
        }
        self._reports = {
            kind: inform(api, kind, keep=records.state, changed=self._state)
            for kind in (served.CLUSTER_STATE, served.STATE)
        }
        self._nodes = inform(api, served.NODE, keep=records.node, changed=self._node)
        self._pods = inform(
            api, served.POD, labels=daemonset.SELECTOR, keep=lambda pod: records.home(pod) or None, changed=self._runner
        )
        # Wherever an agent has told what runs in its kernel there is one, by a pod of the DaemonSet or otherwise.
        self._inventories = inform(api, served.INVENTORY, keep=lambda each: True, changed=self._runner)
        # Nothing waits for one: who has stored it goes on at once.
        self._revisions = inform(
            api, served.REVISION, namespace=namespace, labels={naming.REVISION_OF: None}, keep=stored,
            changed=self._stored,
        )  # fmt: skip
        self._config = inform(
            api,
            served.CONFIG,
            fields={"metadata.name": naming.CONFIG},
            keep=_without_fields,
            changed=lambda *_: self._config_changed(),
        )
        self._definitions = inform(
            api,
            served.DEFINITION,
            keep=definitions.definition,
            changed=lambda *_: self._defined(),
            page=DEFINITIONS,
        )
        self._made = {
            kind: inform(
                api,
                served.kind(version, kind),
                fields={"metadata.name": name},
                keep=_made,
                changed=lambda *_: heard.config(),
            )
            for version, kind, name in (
                ("v1", "ServiceAccount", naming.ACCOUNT),
                ("v1", "ConfigMap", naming.CONFIG),
                ("storage.k8s.io/v1", "CSIDriver", naming.DRIVER),
                ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", deploy.AGENT_BINDING),
                ("apps/v1", "DaemonSet", naming.DAEMON_SET),
            )
        } | {
            kind: inform(
                api,
                served.kind("rbac.authorization.k8s.io/v1", kind),
                fields={"metadata.name": naming.PULL_SECRETS},
                keep=_made,
                changed=lambda key, *_: heard.secrets(key.namespace),
            )
            for kind in ("Role", "RoleBinding")
        }

    def informers(self) -> Iterator[tuple[str, informer.Informer[Any]]]:  # Any: each keeps something else
        """All of them, by the kind that each sees."""
        yield from ((served.name(kind), each) for kind, each in self._applications.items())
        yield from ((served.name(kind), each) for kind, each in self._reports.items())
        yield from (("Node", self._nodes), ("Pod", self._pods), ("Config", self._config))
        yield from (("NodeBpfInventory", self._inventories), ("CustomResourceDefinition", self._definitions))
        yield "ControllerRevision", self._revisions
        yield from self._made.items()

    async def run(self) -> None:
        """Keep all of them up to date."""
        async with asyncio.TaskGroup() as group:
            for _, each in self.informers():
                group.create_task(each.run())

    async def synced(self) -> None:
        """Wait until all is known; from then on vanished nodes are told, those that are known by now too.

        A kind whose CRD is not there is waited for by nobody: the Config says what is missing, and the rest goes on.
        """
        for each in self._needed():
            await each.settled()
        self._ready = True
        for of_one in self._states.values():
            for state in of_one.values():
                self._look_for(state.node)

    def trouble(self) -> tuple[str, ...]:
        """Why what is seen may be old; of a kind that is not there, nothing is."""
        return tuple(each.trouble for each in self._needed() if each.trouble and not each.absent)

    def definitions(self) -> tuple[definitions.Definition, ...]:
        """The CRDs of our groups that are in the cluster."""
        return tuple(self._definitions.all().values())

    def _needed(self) -> Iterator[informer.Informer[Any]]:  # Any: each keeps something else
        """Those without which nothing can be decided. Who lacks the right to stored revisions cannot roll out, that
        is all: the roles may be of an earlier version."""
        yield from (each for _, each in self.informers() if each is not self._revisions)

    def application(self, key: Key) -> Application | None:
        """An application."""
        return self._applications[kind_of(key)].get(key)

    def applications(self) -> Iterator[Application]:
        """All of them."""
        for each in self._applications.values():
            yield from each.all().values()

    def states(self, key: Key) -> tuple[State, ...]:
        """The states that name an application."""
        return tuple(self._states.get((key.namespace, naming.label(key.name)), {}).values())

    def count(self, key: Key) -> int:
        """How many states name an application."""
        return len(self._states.get((key.namespace, naming.label(key.name)), ()))

    def states_on(self, node: NodeLabel) -> tuple[State, ...]:
        """The states of a node; of each application those that another agent named by chance only if there is none
        by our name: an index by node would be as big as the states."""
        found: list[State] = []
        for (namespace, of), states in self._states.items():
            named = states.get(Key(namespace=namespace, name=naming.state_name(of, node)))
            if named is not None and named.node == node:
                found.append(named)
            else:
                found += [state for state in states.values() if state.node == node]
        return tuple(found)

    def revisions(self, uid: str) -> tuple[Stored, ...]:
        """The stored revisions of the application with this uid. Unavailable while they are not known, Denied when we
        may not know them."""
        if not self._revisions.is_synced:
            kind = errors.Denied if self._revisions.denied else errors.Unavailable
            raise kind(
                "stored revisions are not known", why=self._revisions.trouble, do="see the Role bpfman-revisions-role"
            )
        return tuple(each for each in self._revisions.all().values() if each.of == uid)

    def earlier(self, application: Application) -> Iterator[Application]:
        """An application as it is, and with the pull secrets of its earlier revisions, which nodes may run still."""
        yield application
        if application.rollout is not None and self._revisions.is_synced:
            for each in self.revisions(application.uid):
                if each.secret not in (None, application.secret):
                    yield dataclasses.replace(application, secret=each.secret)

    def config(self) -> Document | None:
        """The Config."""
        return self._config.get(CONFIG)

    def made(self, kind: str, key: Key) -> Made | None:
        """Something that the operator has made, as it is now."""
        return self._made[kind].get(key)

    def granted(self) -> set[str]:
        """Namespaces in which pull secrets are granted."""
        return {key.namespace for kind in ("Role", "RoleBinding") for key in self._made[kind].all()}

    def cluster(self) -> Cluster:
        """The nodes, and who runs the agent or is meant to: by a pod of the DaemonSet, or by what it reports."""
        if self._cluster is None:
            namespace = self._namespace()
            pods = {home for key, home in self._pods.all().items() if key.namespace == namespace}
            self._cluster = Cluster(
                nodes={NodeLabel(naming.label(node.name)): node for node in self._nodes.all().values()},
                running=pods | {key.name for key in self._inventories.all()},
            )
        return self._cluster

    def _namespace(self) -> str:
        """Where the DaemonSet is: anybody may give a pod of theirs its label, but not put it there."""
        spec = (self.config() or {}).get("spec") or {}
        return str(spec.get("namespace") or naming.NAMESPACE)

    def _application(self, key: Key, old: Application | None, new: Application | None) -> None:
        self._heard.application(key)
        secrets = (old.secret if old else None, new.secret if new else None)
        if secrets[0] != secrets[1]:
            for secret in filter(None, secrets):
                self._heard.secrets(secret[0])

    def _stored(self, key: Key, old: Stored | None, new: Stored | None) -> None:
        for each in filter(None, (old, new)):
            if each.secret is not None:
                self._heard.secrets(each.secret[0])

    def _state(self, key: Key, old: State | None, new: State | None) -> None:
        for state in filter(None, (old, new)):
            of_one = self._states.setdefault((key.namespace, state.of), {})
            if state is new:
                of_one[key] = state
            else:
                of_one.pop(key, None)
            if not of_one:
                del self._states[key.namespace, state.of]
            for each in self._named(key.namespace, state.of):
                self._heard.state(each, state.node)
        if new is not None:
            self._look_for(new.node)

    def _named(self, namespace: str, label: str) -> list[Key]:
        """The applications that a state's label may mean: one, unless a name is too long for a label."""
        key = Key(namespace=namespace, name=label)
        if len(label) < naming.LONGEST_LABEL or self.application(key) is not None:
            return [key]
        known = self._applications[kind_of(key)].all()
        return [each for each in known if each.namespace == namespace and naming.label(each.name) == label]

    def _node(self, key: Key, old: Node | None, new: Node | None) -> None:
        self._cluster = None
        other = old is None or new is None or old.labels != new.labels
        # Kubelets come and go: that concerns only what goes from node to node.
        if other or (old != new and any(each.rollout is not None for each in self.applications())):
            self._heard.nodes()
        if new is None:
            self._look_for(NodeLabel(naming.label(key.name)))

    def _look_for(self, node: NodeLabel) -> None:
        if self._ready and node and node not in self.cluster().nodes:
            self._heard.vanished(node)

    def _runner(self, key: Key, old: object, new: object) -> None:
        self._cluster = None
        self._heard.nodes()

    def _defined(self) -> None:
        for _, each in self.informers():
            each.stir()
        self._heard.served()

    def _config_changed(self) -> None:
        self._cluster = None
        self._heard.config()


def kind_of(key: Key) -> served.Resource:
    """The kind of an application."""
    return served.APPLICATION if key.namespace else served.CLUSTER_APPLICATION


def state_kind_of(key: Key) -> served.Resource:
    """The kind of a state."""
    return served.STATE if key.namespace else served.CLUSTER_STATE


def _in_a_namespace(document: Document) -> Application | None:
    """A BpfApplication of the current generation, whose form and scope are others than the older one's."""
    if kinds.is_older_form(document) or not document["metadata"].get("namespace"):
        return None
    return records.application(document)


def _without_fields(document: Document) -> Document:
    """An object without the long list of who wrote which field."""
    about = {key: value for key, value in document["metadata"].items() if key != "managedFields"}
    return {**document, "metadata": about}


def _made(document: Document) -> Made:
    about, status = document["metadata"], document.get("status") or {}
    return Made(
        fingerprint=deploy.fingerprint(document),
        uid=about["uid"],
        owner=next((each["uid"] for each in about.get("ownerReferences") or () if each.get("controller")), ""),
        generation=about.get("generation", 0),
        observed=status.get("observedGeneration", 0),
        desired=status.get("desiredNumberScheduled", 0),
        ready=status.get("numberReady", 0),
        updated=status.get("updatedNumberScheduled", 0),
    )
