"""What one node reports of a translated application, as BpfProgram objects: written when they say something else.

All that is needed is asked for when it is needed: of what nodes report in length, nothing stays in memory.
"""

from __future__ import annotations

import datetime
import logging
from dataclasses import dataclass
from typing import Any, Final

from lightkube.types import PatchType

from skep import errors
from skep.kube.api import key as keys
from skep.kube.api import objects, served
from skep.kube.api.connect import Api
from skep.kube.api.key import Key
from skep.kube.api.merge import Object
from skep.kube.older import views
from skep.kube.operator import view
from skep.kube.operator.older import records
from skep.kube.operator.older.records import Ref, View
from skep.kube.operator.older.watching import Watching
from skep.kube.operator.records import NodeLabel, State

log = logging.getLogger("skep.kube.operator.older")

MANAGER: Final = "bpfman-operator-views"
"""Our name as the manager of the fields of BpfPrograms."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class At:
    """An application on a node."""

    application: Key
    node: NodeLabel

    def __str__(self) -> str:
        return f"{self.application} on {self.node}"


class Viewing:
    """What is done for one application on one node."""

    def __init__(self, api: Api, seen: view.View, watching: Watching) -> None:
        self._api = api
        self._seen = seen
        self._watching = watching

    async def handle(self, at: At) -> None:
        """Bring its BpfPrograms up to date; nothing for an application that nobody translated."""
        application = self._seen.application(at.application)
        ref = None if application is None else records.of(application)
        if application is None or ref is None or application.origin is None:
            return  # the garbage collector removes them with their owner
        kind = self._watching.view_kind(ref)
        if kind is None:
            return
        uid = application.origin.uid
        # What is in a namespace cannot own what is not: the application does (``views``).
        owner = application.uid if ref.key.namespace and not ref.target.namespace else uid
        mine = (each for each in self._seen.states(at.application) if each.node == at.node)
        state = next((each for each in mine if each.owner == application.uid and not each.deleted), None)
        wanted = await self._wanted(ref, uid, state)
        before = dict(await self._watching.views(ref, owner, at.node))
        for key, made in wanted.items():
            await self._write(kind, key, made, before.pop(key, None))
        for key, left in before.items():
            await self._remove(kind, key, left)

    async def _wanted(self, ref: Ref, uid: str, state: State | None) -> dict[Key, dict[str, Any]]:  # Any: JSON
        """The objects as they ought to be."""
        resource = self._watching.resource(ref)
        if state is None or resource is None:
            return {}
        owner = await objects.find(self._api, resource, ref.key)
        document = await objects.find(self._api, view.state_kind_of(state.key), state.key)
        if owner is None or owner["metadata"]["uid"] != uid or document is None:
            return {}
        now = datetime.datetime.now(datetime.UTC)
        return {keys.of(each): each for each in views.views(ref.older, owner, document, now)}

    async def _write(self, kind: served.Resource, key: Key, made: Object, before: View | None) -> None:
        """Make one so: what it says first, then what became of it."""
        wanted = records.view(made)
        if before is None or before.body != wanted.body:
            body = {name: value for name, value in made.items() if name != "status"}
            await objects.apply(self._api, body, manager=MANAGER)
        if before is not None and before.told == wanted.told:
            return
        condition = {"type": before.type, "lastTransitionTime": before.since} if before is not None else {}
        told = views.settled(made, {"status": {"conditions": [condition]}})["status"]
        await self._api.ask(
            "patch",
            kind.Status,
            key,
            body={"status": told},
            content_type=PatchType.MERGE.value,
            params={"fieldManager": MANAGER},
        )

    async def _remove(self, kind: served.Resource, key: Key, left: View) -> None:
        if left.held:
            # Of bpfman's own agent, which is no longer there to let go of it.
            def released(object: Object) -> Object:
                return {**object, "metadata": {**object["metadata"], "finalizers": []}}

            try:
                await objects.change(self._api, kind, key, released, manager=MANAGER)
            except errors.NotFound:
                return
        await objects.delete(self._api, kind, key)
