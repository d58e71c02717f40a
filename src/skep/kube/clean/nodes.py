"""The steps of cleaning a cluster that are about what lies on its nodes: looked at before, removed after the daemon."""

from __future__ import annotations

from typing import Final

from skep import errors
from skep.kube import naming
from skep.kube.api import key as keys
from skep.kube.api import objects, served
from skep.kube.api.connect import Api
from skep.kube.api.key import Key
from skep.kube.clean import cleaner, telling

MANAGER: Final = "skep-clean"


class Nodes:
    """``forgotten``: names of nodes that are gone, of which nothing is expected."""

    def __init__(self, api: Api, forgotten: tuple[str, ...]) -> None:
        self._api = api
        self._forgotten = forgotten
        self._prepared: set[str] = set()

    async def refuse_while_mounted(self) -> None:
        """Conflict while pods have maps mounted: without the CSI driver kubelet could not take these volumes away, and
        the pods would never end."""
        if pods := telling.mounting(await objects.every(self._api, served.POD), self._forgotten):
            raise errors.Conflict(
                "pods have maps mounted",
                why=telling.some(pods),
                do="delete these pods, or what makes them, and run it again",
            )

    async def forget(self) -> None:
        """Let go of the states of the nodes that are gone, as the operator does once their Node is deleted."""
        gone = {naming.label(each) for each in self._forgotten}
        for kind in (served.CLUSTER_STATE, served.STATE) if gone else ():
            for each in await objects.every(self._api, kind):
                if each["metadata"].get("labels", {}).get(naming.HOSTNAME) in gone:
                    finalizer = naming.agent_finalizer(namespaced=kind is served.STATE)
                    await objects.remove_finalizer(self._api, kind, keys.of(each), finalizer)
                    await objects.delete(self._api, kind, keys.of(each))

    async def loaded(self) -> list[str]:
        """Nodes that have programs which no application has loaded."""
        return telling.loaded(await objects.every(self._api, served.INVENTORY), self._forgotten)

    async def prepare(self, namespace: str) -> None:
        """Make what removes the files; on each node it waits until the daemon has ended."""
        daemon = await objects.find(self._api, served.DAEMON_SET, Key(namespace=namespace, name=naming.DAEMON_SET))
        if daemon is not None and "deletionTimestamp" not in daemon["metadata"]:
            await objects.apply(self._api, cleaner.account(namespace), manager=MANAGER)
            await objects.apply(self._api, cleaner.document(daemon), manager=MANAGER)
        self._prepared.add(namespace)

    async def unclean(self) -> list[str]:
        """Nodes whose files are still there."""
        left: list[str] = []
        for namespace in sorted(self._prepared):
            key = Key(namespace=namespace, name=cleaner.NAME)
            daemons = await objects.find(self._api, served.DAEMON_SET, key)
            if daemons is not None:
                pods = await objects.every(self._api, served.POD, namespace=namespace, labels={"name": cleaner.NAME})
                left += telling.cleaning(daemons, pods, self._forgotten)
        return left

    async def cleaned(self) -> bool:
        """Whether anything was there to clean nodes with."""
        made = [Key(namespace=each, name=cleaner.NAME) for each in self._prepared]
        return any([await objects.find(self._api, served.DAEMON_SET, key) for key in made])

    async def finish(self) -> list[str]:
        """Delete what has removed the files; which of its pods have not ended."""
        left: list[str] = []
        for namespace in sorted(self._prepared):
            key = Key(namespace=namespace, name=cleaner.NAME)
            await objects.delete(self._api, served.DAEMON_SET, key)
            await objects.delete(self._api, served.SERVICE_ACCOUNT, key)
            pods = await objects.every(self._api, served.POD, namespace=namespace, labels={"name": cleaner.NAME})
            left += [f"pod {each['metadata']['name']}" for each in pods if not self.is_forgotten(each)]
        return left

    def is_forgotten(self, pod: telling.Document) -> bool:
        """Whether a pod is on a node that is gone."""
        return (pod.get("spec") or {}).get("nodeName") in self._forgotten
