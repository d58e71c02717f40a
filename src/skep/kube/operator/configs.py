"""The Config: made when there is none, made real, and told what became of it."""

from __future__ import annotations

import datetime
import logging
from dataclasses import replace
from typing import Final

from lightkube.types import PatchType

from skep import errors
from skep.kube import naming
from skep.kube.api import key as keys
from skep.kube.api import notice, objects, served
from skep.kube.api.connect import Api
from skep.kube.api.events import Events
from skep.kube.api.merge import Object
from skep.kube.operator import aggregate, definitions, deploy, making, records, settings, view

log = logging.getLogger("skep.kube.operator.configs")

INSTALLER: Final = "skep-install"
"""As whom the fields of a Config that came with the installation are set: what it no longer names is taken back."""
DEFINITIONS: Final = "CustomResourceDefinitions"
"""The reason of Events about them."""


class Configs:
    """What is done for the one Config that is looked at. ``default``: made if there is none at the start; with ``kept``
    its fields are set at the start if there is one, too."""

    def __init__(self, api: Api, seen: view.View, events: Events, default: Object | None, *, kept: bool) -> None:
        self._api = api
        self._seen = seen
        self._events = events
        self._default = default
        self._kept = kept
        self._maker = making.Maker(api, seen)
        self._logged: tuple[str, ...] = ()
        """What was logged last about the CRDs."""
        self._told: tuple[str, ...] = ()
        """What an Event was made of."""

    async def handle(self) -> None:
        """Bring it up to date. Raises the error that keeps it from that, after telling it in its status."""
        document = self._seen.config()
        self._look_at_definitions(document)
        if document is None:
            await self._create()
            return
        about = document["metadata"]
        if self._kept and self._default is not None and "deletionTimestamp" not in about:
            document = await self._installed(self._default)
            about = document["metadata"]
        self._default = None  # who deletes it later means it
        held = naming.CONFIG_FINALIZER in about.get("finalizers", ())
        if "deletionTimestamp" in about:
            # What it stands for goes by its owner, with the garbage collector.
            if held:
                await objects.remove_finalizer(self._api, served.CONFIG, view.CONFIG, naming.CONFIG_FINALIZER)
            return
        if not held:
            await objects.add_finalizer(self._api, served.CONFIG, view.CONFIG, naming.CONFIG_FINALIZER)
        # Until something is made in the namespace that it names now, it runs where it ran.
        before = (document.get("status") or {}).get("namespace") or ""
        try:
            wanted = settings.read(document)
        except errors.InvalidRequest as error:
            await self._tell(document, settings.Deployed(namespace=before, problem=str(error)))
            return
        try:
            for each in deploy.objects(wanted):
                if each["kind"] == "DaemonSet":
                    # The others are there, so the namespace is: until then the old pods had to stay.
                    await self._leave(wanted, before)
                await self._maker.make(each)
            await self._leave(wanted, before)
        except errors.SkepError as error:
            await self._tell(document, settings.Deployed(namespace=before, problem=_problem(error, wanted)))
            raise
        await self._tell(document, self._deployed(wanted))

    async def _leave(self, wanted: settings.Settings, namespace: str) -> None:
        """Clean up where it ran before."""
        for each in deploy.left_behind(wanted, namespace):
            await self._maker.remove(each, wanted.uid)

    async def _create(self) -> None:
        """Make the Config for those who have written none."""
        if self._default is None:
            return
        if self._kept:
            await self._installed(self._default)
            return
        try:
            await objects.create(self._api, self._default, manager=deploy.MANAGER)
        except errors.AlreadyExists:
            return
        log.info("made the Config %s, since there was none", naming.CONFIG)

    async def _installed(self, wanted: Object) -> Object:
        """Make the Config as the installation says; the object as it is then."""
        made = await objects.apply(self._api, wanted, manager=INSTALLER)
        log.info("the Config %s is as the installation says", naming.CONFIG)
        return made

    def _deployed(self, wanted: settings.Settings) -> settings.Deployed:
        there = self._seen.made("DaemonSet", keys.Key(namespace=wanted.namespace, name=naming.DAEMON_SET))
        if there is None:
            return settings.Deployed(namespace=wanted.namespace)
        return settings.Deployed(
            namespace=wanted.namespace,
            desired=there.desired,
            ready=there.ready,
            updated=there.updated,
            current=there.observed >= there.generation,
        )

    def _look_at_definitions(self, document: view.Document | None) -> None:
        """Say what is wrong with the CRDs, once; while there is no Config to be told about, in the log."""
        there = self._seen.definitions()
        wrong = (*definitions.faults(there), *definitions.remarks(there))
        for text in wrong:
            if text not in self._logged:
                log.warning("%s", text)
            if document is not None and text not in self._told:
                self._events.tell(notice.about(document), DEFINITIONS, text, warning=True)
        if self._logged and not wrong:
            log.info("the CRDs are as they should be")
        self._logged, self._told = wrong, wrong if document is not None else self._told

    async def _tell(self, document: view.Document, deployed: settings.Deployed) -> None:
        before = document.get("status") or {}
        there = self._seen.definitions()
        deployed = replace(deployed, faults=definitions.faults(there), remarks=definitions.remarks(there))
        now = aggregate.stamp(datetime.datetime.now(datetime.UTC))
        told = settings.status(document["metadata"].get("generation", 0), deployed, before, now)
        if told == before:
            return
        (condition,) = told["conditions"]
        if condition["type"] != records.told(before).type and condition["type"] != naming.PENDING:
            warning = condition["type"] != naming.SUCCESS
            self._events.tell(notice.about(document), condition["type"], condition["message"], warning=warning)
        await self._api.ask(
            "patch",
            served.CONFIG.Status,
            view.CONFIG,
            body={"metadata": {"uid": document["metadata"]["uid"]}, "status": told},
            content_type=PatchType.MERGE.value,
            params={"fieldManager": deploy.MANAGER},
        )


def _problem(error: errors.SkepError, wanted: settings.Settings) -> str:
    """What a person reads who has written the Config."""
    if isinstance(error, errors.NotFound) and f'namespaces "{wanted.namespace}" not found' in str(error):
        return (
            f"there is no namespace {wanted.namespace}; create it, with the label "
            "pod-security.kubernetes.io/enforce: privileged"
        )
    return str(error)
