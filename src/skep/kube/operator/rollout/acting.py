"""Rollouts are acted on: revisions are stored, then the status is told, then nodes are assigned what they shall run.

In this order, whoever takes over at any point goes on: what nodes are told to run is stored, and that a rollout returns
is known before the first node does. Nothing is decided on what is older than what was written here last.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lightkube.types import PatchType

from skep import errors
from skep.kube import kinds, naming, revisions
from skep.kube.api import notice, objects, served
from skep.kube.api.connect import Api
from skep.kube.api.events import Events
from skep.kube.api.key import Key
from skep.kube.operator import aggregate, deploy, view
from skep.kube.operator.records import Application, NodeLabel, State
from skep.kube.operator.rollout import decide, nodes
from skep.kube.operator.rollout.told import Phase, Told

log = logging.getLogger("skep.kube.operator.rollout")

KEPT: Final = 3
"""Revisions that are kept of each application, besides those that nodes need."""
PATIENCE: Final = 10.0
"""Seconds after which what was written is taken as lost if the watch has not told it."""
SOON: Final = 0.2
"""Seconds until one is looked at again whose writes the watch has not told yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do about an application. ``fresh`` False: nothing yet, since what is seen is older than what is known."""

    fresh: bool = True
    told: Told | None = None
    assign: Mapping[State, str] = field(default_factory=dict)
    keep: frozenset[str] = frozenset()
    again: datetime.timedelta | None = None


@dataclass(slots=True)
class _Written:
    """What was written of an application and is not seen yet; until when (loop time) it is waited for."""

    until: float
    told: Told | None
    assigned: dict[NodeLabel, str] = field(default_factory=dict)


class Rollouts:
    """What is done for one application at a time. ``namespace``: where revisions are stored."""

    def __init__(self, api: Api, seen: view.View, events: Events, namespace: str) -> None:
        self._api = api
        self._seen = seen
        self._events = events
        self._namespace = namespace
        self._written: dict[str, _Written] = {}

    async def plan(
        self,
        application: Application,
        mine: Mapping[NodeLabel, State],
        cluster: aggregate.Cluster,
        now: datetime.datetime,
    ) -> Plan:
        """What is to be told and done. The revision of the spec is stored when it is answered."""
        if not self._is_seen(application, mine):
            return Plan(fresh=False)
        asked = application.rollout
        if asked is None:
            # What nodes were assigned means nothing now, and must not when there is a rollout again.
            return Plan(assign={state: "" for state in mine.values() if state.assigned})
        if not await self._store(application):
            return Plan(fresh=False)
        expected = aggregate.expects(application, mine, cluster)
        stored = {each.revision for each in self._seen.revisions(application.uid)}
        decision = decide.decide(
            asked,
            application.revision,
            stored,
            nodes.members(asked, expected, mine, cluster),
            application.told.rollout,
            now,
        )
        told = dataclasses.replace(decision.told, stored_in=self._namespace)
        assign = {mine[label]: "" for label in nodes.strays(expected, mine)}
        assign |= {mine[label]: revision for label, revision in decision.assign}
        needed = {told.revision, told.previous, *(each.assigned for each in mine.values()), *assign.values()}
        needed |= {each.running for each in mine.values()}
        return Plan(told=told, assign=assign, keep=frozenset(needed), again=decision.again)

    async def act(self, application: Application, plan: Plan) -> None:
        """Do it; the status has been written."""
        before = application.told.rollout
        if (before, plan.told) == (None, None) and not plan.assign:
            return
        until = asyncio.get_running_loop().time() + PATIENCE
        written = self._written[application.uid] = _Written(until=until, told=plan.told)
        if plan.told is not None:
            self._tell(application, before, plan.told)
        for state, revision in plan.assign.items():
            await self._assign(state, revision)
            written.assigned[state.node] = revision
        if plan.told is None:
            await self.forget(application)
        else:
            await self._prune(application, plan.keep)

    async def forget(self, application: Application) -> None:
        """Delete its stored revisions."""
        self._written.pop(application.uid, None)
        if application.rollout is None and application.told.rollout is None:
            return
        labels = {naming.REVISION_OF: application.uid}
        for each in await objects.every(self._api, served.REVISION, namespace=self._namespace, labels=labels):
            await self._delete(each["metadata"]["name"])

    def _is_seen(self, application: Application, mine: Mapping[NodeLabel, State]) -> bool:
        """Whether the watches have told what was written last."""
        written = self._written.get(application.uid)
        if written is None:
            return True
        seen = _remembered(written.told) == _remembered(application.told.rollout) and all(
            mine[node].assigned == revision for node, revision in written.assigned.items() if node in mine
        )
        if seen or asyncio.get_running_loop().time() > written.until:
            del self._written[application.uid]
            return True
        return False

    async def _store(self, application: Application) -> bool:
        """Store the spec's revision unless it is; False if the object is another by now."""
        known = self._seen.revisions(application.uid)
        if any(each.revision == application.revision for each in known):
            return True
        document = await objects.get(self._api, view.kind_of(application.key), application.key)
        if document["metadata"]["uid"] != application.uid or revisions.of(document) != application.revision:
            return False
        number = max((each.number for each in known), default=0) + 1
        made = revisions.controller_revision(document, number, self._namespace)
        with contextlib.suppress(errors.AlreadyExists):  # a moment ago, and the watch has not told it
            await objects.create(self._api, made, manager=deploy.MANAGER)
        return True

    async def _assign(self, state: State, revision: str) -> None:
        """Write what a node shall run on its state; "": nothing."""
        body = {"metadata": {"uid": state.uid, "annotations": {naming.REVISION: revision or None}}}
        try:
            await self._api.ask(
                "patch",
                view.state_kind_of(state.key),
                state.key,
                body=body,
                content_type=PatchType.MERGE.value,
                params={"fieldManager": deploy.MANAGER},
            )
        except (errors.NotFound, errors.Conflict):
            log.debug("%s is gone, or is another by now", state.key)

    async def _prune(self, application: Application, needed: frozenset[str]) -> None:
        known = sorted(self._seen.revisions(application.uid), key=lambda each: -each.number)
        for each in known[KEPT:]:
            if each.revision not in needed:
                await self._delete(each.name)

    async def _delete(self, name: str) -> None:
        await objects.delete(self._api, served.REVISION, Key(namespace=self._namespace, name=name))

    def _tell(self, application: Application, before: Told | None, told: Told) -> None:
        """An Event for each phase that begins."""
        same = before is not None and before.revision == told.revision
        if before is not None and same and before.phase is told.phase:
            return
        reason = f"Rollout{told.phase.value}"
        if told.phase is Phase.PROGRESSING:
            reason = "RolloutResumed" if same else "RolloutStarted"
        kind = view.kind_of(application.key)
        about = notice.About(
            api_version=kinds.API_VERSION, kind=served.name(kind), key=application.key, uid=application.uid
        )
        bad = bool(told.failed) and told.phase is not Phase.COMPLETE
        log.info("%s: %s: %s", application.key, reason, told.message)
        self._events.tell(about, reason, told.message, warning=bad)


def _remembered(told: Told | None) -> Told | None:
    """What is decided with; how far it is follows from the states, and may be told later."""
    return None if told is None else dataclasses.replace(told, updated=0, ready=0, total=0, message="")
