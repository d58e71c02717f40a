"""What the agent knows of the cluster and of its node, kept up to date by informers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from skep import model
from skep.kube import naming
from skep.kube.agent import records, sight, watching
from skep.kube.agent.records import State, Wish
from skep.kube.api import served
from skep.kube.api.connect import Api
from skep.kube.api.informer import Informer
from skep.kube.api.key import Key
from skep.kube.inventory import status as inventory


class View:
    """See ``agent.Known``. Of the cluster's pods and states only this node's are kept, of applications all: any of
    them may select this node."""

    def __init__(self, api: Api, door: watching.Door, node: str) -> None:
        self._name = node
        self._heard = _Heard()
        self._host = watching.Host(door, self._host_changed)
        labels = {naming.HOSTNAME: naming.label(node)}
        self._wishes = tuple(
            Informer(api, kind, keep=records.wished, changed=lambda key, old, new: self._heard.wish(old, new))
            for kind in (served.CLUSTER_APPLICATION, served.APPLICATION)
        )
        self._states = tuple(
            Informer(
                api, kind, keep=self._mine, changed=lambda key, old, new: self._heard.state(old, new), labels=labels
            )
            for kind in (served.CLUSTER_STATE, served.STATE)
        )
        self._nodes = Informer(
            api, served.NODE, keep=sight.node, changed=lambda key, old, new: self._heard.node(),
            fields={"metadata.name": node},
        )  # fmt: skip
        self._pods = Informer(
            api, served.POD, keep=sight.pod, changed=lambda key, old, new: self._heard.pod(old, new),
            fields={"spec.nodeName": node},
        )  # fmt: skip
        self._all: tuple[Informer[Any], ...] = (
            *self._wishes,
            *self._states,
            self._nodes,
            self._pods,
        )  # Any: each its own

    def listen(
        self,
        *,
        wish: Callable[[Wish | None, Wish | None], None],
        state: Callable[[State | None, State | None], None],
        node: Callable[[], None],
        pod: Callable[[sight.Pod | None, sight.Pod | None], None],
        host: Callable[[model.HostSeen | None, model.HostSeen | None], None],
    ) -> None:
        """Whom to tell of what changes, from here on."""
        self._heard.wish, self._heard.state, self._heard.node, self._heard.pod, self._heard.host = (
            wish, state, node, pod, host,
        )  # fmt: skip

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for each in self._all:
                group.create_task(each.run())
            group.create_task(self._host.run())

    async def synced(self) -> None:
        """Wait until all of the cluster that concerns this node has been listed once. A kind that the API server does
        not know, for its CRD is not installed, keeps the others from nothing."""
        for each in self._all:
            await each.settled()

    def sees(self, key: str) -> bool:
        """Whether it would be known if there were an object of an application: its kind has been listed."""
        namespace, _ = records.parted(key)
        return self._wishes[namespace is not None].is_synced

    def trouble(self) -> str:
        """Why what is known of the cluster may be old; "" if it is not."""
        return next((each.trouble for each in self._all if not each.is_synced and not each.absent), "")

    def daemon_trouble(self) -> str:
        """Why nothing can be done on the node; "" if it can."""
        return "" if self._host.seen is not None else "the daemon does not answer"

    def informers(self) -> Mapping[str, Informer[Any]]:  # Any: each its own
        """All of them, by the kind's name."""
        names = ("clusterapplications", "applications", "clusterstates", "states", "nodes", "pods")
        return dict(zip(names, self._all, strict=True))

    @property
    def node(self) -> sight.Node | None:
        """This node's object."""
        return self._nodes.get(Key(name=self._name))

    @property
    def host(self) -> model.HostSeen | None:
        """What the daemon sees."""
        return self._host.seen

    def wish(self, key: str) -> Wish | None:
        """An application's object."""
        namespace, name = records.parted(key)
        return self._wishes[namespace is not None].get(Key(namespace=namespace or "", name=name))

    def wishes(self) -> tuple[Wish, ...]:
        """All of them."""
        return tuple(wish for each in self._wishes for wish in each.all().values())

    def state(self, key: str) -> State | None:
        """An application's state on this node."""
        namespace, name = records.parted(key)
        named = Key(namespace=namespace or "", name=naming.state_name(name, self._name))
        found = self._states[namespace is not None].get(named)
        if found is not None:
            return found
        # Upstream's agent gave its states names by chance.
        return next((each for each in self.states() if each.key == key), None)

    def states(self) -> tuple[State, ...]:
        """All of them."""
        return tuple(state for each in self._states for state in each.all().values())

    def pods(self) -> tuple[sight.Pod, ...]:
        """The pods of this node."""
        return tuple(self._pods.all().values())

    def inventoried(self) -> tuple[inventory.Pod, ...]:
        """The pods of this node as the inventory names them."""
        return tuple(map(_inventoried, self.pods()))

    def _host_changed(self, old: model.HostSeen | None, new: model.HostSeen | None) -> None:
        self._heard.host(old, new)

    def _mine(self, document: dict[str, Any]) -> State | None:  # Any: JSON
        """A label may be a digest, and a status says the name itself."""
        node = (document.get("status") or {}).get("node", self._name)
        return records.state(document) if node == self._name else None


def _inventoried(pod: sight.Pod) -> inventory.Pod:
    containers = {each.id.rpartition("://")[2]: each.name for each in pod.running}
    return inventory.Pod(uid=pod.uid, namespace=pod.namespace, name=pod.name, containers=containers)


class _Heard:
    """Nobody listens at first."""

    def __init__(self) -> None:
        self.wish: Callable[[Wish | None, Wish | None], None] = lambda old, new: None
        self.state: Callable[[State | None, State | None], None] = lambda old, new: None
        self.node: Callable[[], None] = lambda: None
        self.pod: Callable[[sight.Pod | None, sight.Pod | None], None] = lambda old, new: None
        self.host: Callable[[model.HostSeen | None, model.HostSeen | None], None] = lambda old, new: None
