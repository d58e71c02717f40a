"""The older kinds while an operator leads: what is seen is handed to whoever acts on it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from skep.kube.api import queue
from skep.kube.api.connect import Api
from skep.kube.api.events import Events
from skep.kube.api.informer import Informer
from skep.kube.api.key import Key
from skep.kube.operator import view
from skep.kube.operator.older import records
from skep.kube.operator.older.records import Ref
from skep.kube.operator.older.translating import Translating
from skep.kube.operator.older.viewing import At, Viewing
from skep.kube.operator.older.watching import Watching
from skep.kube.operator.records import NodeLabel

GATHER: Final = 0.2
"""Seconds that changes of one object are gathered."""
REPORTED: Final = 1.0
"""Seconds that changes of one node's report are gathered: each may be several objects to write."""
WORKERS: Final = 4
"""Objects of each sort that are worked on at once."""


class Older:
    """One term of leading, for the older kinds. ``namespace``: the operator's; ``informers``: see ``Watching``."""

    def __init__(
        self,
        api: Api,
        seen: view.View,
        events: Events,
        namespace: str,
        informers: MutableMapping[str, Informer[Any]],  # Any: each keeps something else
    ) -> None:
        self._seen = seen
        self._objects: queue.Queue[Ref] = queue.Queue()
        self._reports: queue.Queue[At] = queue.Queue()
        self._group: asyncio.TaskGroup | None = None
        self.watching = Watching(api, lambda ref: self._objects.add_after(ref, GATHER), informers)
        self._translating = Translating(api, seen, self.watching, events, namespace, self._made)
        self._viewing = Viewing(api, seen, self.watching)

    @property
    def queues(self) -> Mapping[str, queue.Queue[Any]]:  # Any: of whatever keys
        """What there is to do, by name."""
        return {"older": self._objects, "bpfprograms": self._reports}

    async def run(self) -> None:
        """Act on what is seen, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self.served()
            for application in self._seen.applications():
                # Its older object may be gone since, which no informer tells.
                if (ref := records.of(application)) is not None:
                    self._objects.add_after(ref, GATHER)
            group.create_task(self._objects.run(self._translating.handle, workers=WORKERS))
            group.create_task(self._reports.run(self._viewing.handle, workers=WORKERS))

    def served(self) -> None:
        """The CRDs have changed."""
        if self._group is not None:
            self.watching.look(self._seen.definitions(), self._group)

    def application_changed(self, key: Key) -> None:
        """An application came, changed or went: it may be one that was made, or in the way of one, or no longer."""
        for ref in self.watching.named_like(key):
            self._objects.add_after(ref, GATHER)

    def state_changed(self, key: Key, node: NodeLabel) -> None:
        """What a node reports of an application has changed, or went."""
        application = self._seen.application(key)
        if application is not None and application.origin is not None:
            self._reports.add_after(At(application=key, node=node), REPORTED)

    def _made(self, key: Key) -> None:
        """An application was made, now or by an operator before: its nodes' reports may have been missed."""
        for state in self._seen.states(key):
            self._reports.add_after(At(application=key, node=state.node), REPORTED)
