"""The operator that leads: sees everything, and hands each thing that has changed to whoever acts on it.

Everything is decided anew from what is seen; nothing is remembered that another operator would need.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from skep.kube.api import queue
from skep.kube.api.connect import Api
from skep.kube.api.events import Events
from skep.kube.api.informer import Informer
from skep.kube.api.key import Key
from skep.kube.api.merge import Object
from skep.kube.operator import applications, configs, granting, vanishing, view
from skep.kube.operator.older.leading import Older
from skep.kube.operator.records import NodeLabel

log = logging.getLogger("skep.kube.operator")

GATHER: Final = 0.2
"""Seconds that changes of one application, or of its states, are gathered at least: nodes report in bursts."""
LONGEST: Final = 5.0
"""Seconds that changes of its states are gathered at most."""
AT_ONCE: Final = 1000
"""States that are looked at in a second: adding up takes as long as an application has states, and so does its wait."""
SWEEP: Final = 1.0
"""Seconds that changes of nodes are gathered, after which all applications are looked at."""
WORKERS: Final = 8
"""Applications that are written at once."""
VANISHING: Final = 4
"""Nodes whose states are removed at once."""
_CONFIG, _ALL = "the Config", "everything"


def gather(states: int) -> float:
    """Seconds that changes of so many states of one application are gathered."""
    return min(max(GATHER, states / AT_ONCE), LONGEST)


class Operator:
    """One term of leading: ``run`` until cancelled. ``default``: the Config to make if there is none; with ``kept`` its
    fields are set anyway. ``namespace``: the operator's own; ``informers``: where those are entered that come and go.
    """

    def __init__(
        self,
        api: Api,
        events: Events,
        default: Object | None,
        informers: MutableMapping[str, Informer[Any]],  # Any: each keeps something else
        *,
        namespace: str,
        kept: bool = False,
    ) -> None:
        self._api = api
        self._events = events
        self._namespace = namespace
        self._applications: queue.Queue[Key] = queue.Queue()
        self._work: queue.Queue[str] = queue.Queue()
        self._namespaces: queue.Queue[str] = queue.Queue()
        self._nodes: queue.Queue[NodeLabel] = queue.Queue()
        self.seen = view.View(
            api,
            view.Heard(
                application=self._application,
                state=self._state,
                config=lambda: self._work.add_after(_CONFIG, GATHER),
                nodes=lambda: self._work.add_after(_ALL, SWEEP),
                secrets=lambda namespace: self._namespaces.add_after(namespace, GATHER),
                vanished=lambda node: self._nodes.add_after(node, vanishing.GRACE),
                served=self._served,
            ),
            namespace,
        )
        self.older = Older(api, self.seen, events, namespace, informers)
        self._granting = granting.Granting(api, self.seen)
        self._configs = configs.Configs(api, self.seen, events, default, kept=kept)

    @property
    def queues(self) -> Mapping[str, queue.Queue[Any]]:  # Any: of whatever keys
        """What there is to do, by name."""
        return {
            "applications": self._applications, "config": self._work, "secrets": self._namespaces, "nodes": self._nodes,
            **self.older.queues,
        }  # fmt: skip

    async def run(self) -> None:
        """See everything, then act."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.seen.run())
            await self.seen.synced()
            log.info("seeing all", extra={"applications": sum(1 for _ in self.seen.applications())})
            self._work.add(_CONFIG)
            acting = applications.Applications(self._api, self.seen, self._events, self._namespace)
            group.create_task(self._applications.run(acting.handle, workers=WORKERS))
            group.create_task(self._work.run(self._look, workers=1))
            group.create_task(self._namespaces.run(self._granting.handle, workers=2))
            group.create_task(self.older.run())
            group.create_task(self._nodes.run(vanishing.Vanishing(self._api, self.seen).handle, workers=VANISHING))

    def trouble(self) -> tuple[str, ...]:
        """Why what is seen may be old."""
        return self.seen.trouble() + self.older.watching.trouble()

    def _application(self, key: Key) -> None:
        self._applications.add_after(key, GATHER)
        self.older.application_changed(key)

    def _state(self, key: Key, node: NodeLabel) -> None:
        self._applications.add_after(key, gather(self.seen.count(key)))
        self.older.state_changed(key, node)

    def _served(self) -> None:
        """The cluster's CRDs have changed."""
        self.older.served()
        self._work.add_after(_CONFIG, SWEEP)

    async def _look(self, at: str) -> None:
        """At the Config, or at all that depends on it and on the nodes."""
        if at == _CONFIG:
            await self._configs.handle()
            for namespace in self._granting.namespaces():
                self._namespaces.add_after(namespace, GATHER)
            return
        for application in self.seen.applications():
            self._applications.add(application.key)
