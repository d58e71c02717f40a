"""Applications: kept by a finalizer until every node is clean, and told what their states add up to."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import logging
from typing import Final

from lightkube.types import PatchType

from skep import errors
from skep.kube import kinds, naming
from skep.kube.api import notice, objects, served
from skep.kube.api.connect import Api
from skep.kube.api.events import Events
from skep.kube.api.key import Key
from skep.kube.operator import aggregate, deploy, pace, records, view
from skep.kube.operator.records import Application
from skep.kube.operator.rollout import acting, nodes

log = logging.getLogger("skep.kube.operator.applications")

STILL: Final = 2.0
"""Seconds until a deleted application is looked at again whose states the watch has not told yet."""


class Applications:
    """What is done for one application at a time."""

    def __init__(self, api: Api, seen: view.View, events: Events, namespace: str) -> None:
        self._api = api
        self._seen = seen
        self._events = events
        self._rollouts = acting.Rollouts(api, seen, events, namespace)
        self._written: dict[Key, pace.Written] = {}

    async def handle(self, key: Key) -> float | None:
        """Bring one up to date; in how many seconds it is to be looked at again, whatever happens."""
        application = self._seen.application(key)
        if application is None:
            self._written.pop(key, None)
            return None
        held = naming.OPERATOR_FINALIZER in application.finalizers
        if application.deleted is not None and not held:
            return None  # somebody else's finalizer keeps it
        try:
            if not held:
                await objects.add_finalizer(self._api, view.kind_of(key), key, naming.OPERATOR_FINALIZER)
            now = datetime.datetime.now(datetime.UTC)
            states, cluster = self._seen.states(key), self._seen.cluster()
            verdict = aggregate.verdict(application, states, cluster, now)
            if verdict.gone:
                return await self._release(application)
            if application.deleted is not None or application.nodes is None:
                told = dataclasses.replace(verdict.told, rollout=application.told.rollout)
                return _soonest(await self._tell(application, told), verdict.again)
            plan = await self._rollouts.plan(application, aggregate.own(application, states), cluster, now)
            if not plan.fresh:
                return acting.SOON
            told = verdict.told
            if plan.told is not None:
                told = nodes.overlaid(application, told, plan.told, now)
            wait = await self._tell(application, told)
            await self._rollouts.act(application, plan)
        except errors.NotFound:
            return None  # its deletion will be told, or has been
        except errors.Denied as error:
            # An operator that is newer than its roles; else only its log would say why nothing happens.
            self._events.tell(_about(application), "OperatorDenied", str(error), warning=True)
            raise
        return _soonest(wait, plan.again)

    async def _tell(self, application: Application, told: records.Told) -> float | None:
        """Write the status, unless it is that already; in how many seconds, where it is too early for that."""
        if application.told_whole and application.told == told:
            return None
        key, before, now = application.key, application.told, asyncio.get_running_loop().time()
        if left := pace.wait(self._written.get(key), before, told, now):
            return left
        self._written[key] = pace.Written(at=now, before=before, told=told)
        status = told.document()
        if told.rollout is None and before.rollout is not None:
            status["rollout"] = None  # else a merge patch leaves it
        # The uid keeps it from an application of the same name that came after this one.
        await self._api.ask(
            "patch",
            view.kind_of(application.key).Status,
            application.key,
            body={"metadata": {"uid": application.uid}, "status": status},
            content_type=PatchType.MERGE.value,
            params={"fieldManager": deploy.MANAGER},
        )
        if told.type == before.type:
            return None
        kind = view.kind_of(application.key)
        log.info("%s: %s", application.key, told.message, extra={"kind": served.name(kind), "state": told.type})
        if told.type != naming.PENDING:
            self._events.tell(_about(application), told.type, told.message, warning=told.type != naming.SUCCESS)
        return None

    async def _release(self, application: Application) -> float | None:
        """Let a deleted one go, after asking once more: a state may be younger than what the watch has told."""
        states = await objects.every(
            self._api,
            view.state_kind_of(application.key),
            namespace=application.key.namespace or None,
            labels={naming.OWNED: naming.label(application.key.name)},
        )
        for state in map(records.state, states):
            if state.held and state.owner in (application.uid, ""):
                return STILL
        await self._rollouts.forget(application)
        await objects.remove_finalizer(
            self._api, view.kind_of(application.key), application.key, naming.OPERATOR_FINALIZER
        )
        return None


def _about(application: Application) -> notice.About:
    """Whom its Events are about."""
    kind = served.name(view.kind_of(application.key))
    return notice.About(api_version=kinds.API_VERSION, kind=kind, key=application.key, uid=application.uid)


def _soonest(wait: float | None, again: datetime.timedelta | None) -> float | None:
    """In how many seconds to look again, of two wishes."""
    wishes = [each for each in (wait, None if again is None else again.total_seconds()) if each is not None]
    return min(wishes, default=None)
