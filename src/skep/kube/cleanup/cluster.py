"""Takes skep out of a cluster up to what its manifests have made: applications, nodes, and what the operator made.

Each step waits for the one before it to be true in the cluster, and may be begun again after an interruption.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from lightkube import generic_resource

from skep import errors
from skep.kube import naming
from skep.kube.api import connect, objects, served
from skep.kube.api import key as keys
from skep.kube.api.connect import Api
from skep.kube.api.key import Key
from skep.kube.api.merge import Object
from skep.kube.cleanup import cleaner, telling
from skep.kube.operator import daemonset, deploy

MANAGER: Final = "skep-cleanup"
EVERY: Final = 0.5
"""Seconds between two looks."""
_CRD: Final = served.kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
_MADE: Final = (
    ("v1", "ServiceAccount", naming.ACCOUNT), ("v1", "ConfigMap", naming.CONFIG),
    ("storage.k8s.io/v1", "CSIDriver", naming.DRIVER),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", deploy.AGENT_BINDING),
)  # fmt: skip
"""What the operator makes besides the DaemonSet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``seconds``: how long each step is waited for. ``forgotten``: nodes that are gone, and are not waited for.
    ``abandon``: take finalizers off and leave the nodes as they are."""

    kubeconfig: str | None
    namespace: str
    seconds: float
    forgotten: tuple[str, ...] = ()
    abandon: bool = False


def run(options: Options, say: Callable[[str], None]) -> None:
    """Do it; ``say`` gets a line whenever something is done or waited for. Unavailable if a step takes too long."""
    asyncio.run(_run(options, say))


async def _run(options: Options, say: Callable[[str], None]) -> None:
    async with connect.connect(options.kubeconfig) as api:
        await _Cleanup(api, options, say).run()


class _Cleanup:
    def __init__(self, api: Api, options: Options, say: Callable[[str], None]) -> None:
        self._api = api
        self._options = options
        self._say = say

    async def run(self) -> None:
        """All steps, in order."""
        kinds = await self._kinds()
        await self._refuse_while_mounted()
        await self._applications(kinds)
        await self._nodes()
        for name in ("NodeBpfInventory", "ClusterBpfApplicationState", "BpfApplicationState"):
            for each in await self._every(served.own(name)):
                await objects.delete(self._api, served.own(name), keys.of(each))
        self._say("the cluster is ready for skep's manifests to be deleted")

    async def _kinds(self) -> list[tuple[str, served.Resource]]:
        """The kinds that make programs run, those of former days first, as far as this cluster has them."""
        found = []
        for each in await objects.every(self._api, _CRD):
            spec = each["spec"]
            name = spec["names"]["kind"]
            if spec["group"] in telling.GROUPS and telling.makes_programs_run(name):
                version = next(one["name"] for one in spec["versions"] if one.get("storage"))
                namespaced = spec["scope"] == "Namespaced"
                make = (
                    generic_resource.create_namespaced_resource
                    if namespaced
                    else generic_resource.create_global_resource
                )
                found.append((name, make(spec["group"], version, name, spec["names"]["plural"])))
        return sorted(found, key=lambda each: (telling.is_current(each[0]), each[0]))

    async def _refuse_while_mounted(self) -> None:
        """Without the CSI driver kubelet could not take the volumes of these pods away, and they would never end."""
        if self._options.abandon:
            return
        if pods := telling.mounting(await objects.every(self._api, served.POD), self._options.forgotten):
            raise errors.Conflict(
                "pods have maps mounted", why=", ".join(pods), do="delete these pods, or what makes them, and try again"
            )

    async def _applications(self, kinds: Sequence[tuple[str, served.Resource]]) -> None:
        async def left() -> list[Object]:
            return [{**each, "kind": name} for name, kind in kinds for each in await self._every(kind)]

        async def look() -> str:
            await self._forget()
            found = await left()
            if self._options.abandon:
                for each in found:
                    kind = next(kind for name, kind in kinds if name == each["kind"])
                    await self._let_go(kind, each)
            return telling.applications(found)

        for name, kind in kinds:
            for each in await self._every(kind):
                key = keys.of(each)
                if await objects.delete(self._api, kind, key):
                    self._say(f"deleting {name} {key}")
        await self._until(look, "applications are still there")

    async def _forget(self) -> None:
        """Let go of the states of nodes that are gone, and of all of them when nodes are abandoned."""
        forgotten = {naming.label(each) for each in self._options.forgotten}
        if not forgotten and not self._options.abandon:
            return
        for kind in (served.CLUSTER_STATE, served.STATE):
            for each in await self._every(kind):
                node = each["metadata"].get("labels", {}).get(naming.HOSTNAME)
                if self._options.abandon or node in forgotten:
                    await self._let_go(kind, each)
                    await objects.delete(self._api, kind, keys.of(each))

    async def _nodes(self) -> None:
        config = await objects.find(self._api, served.CONFIG, Key(name=naming.CONFIG))
        namespace = (config or {}).get("spec", {}).get("namespace") or self._options.namespace
        if not self._options.abandon:
            await self._until(self._unloaded, "programs are still loaded")
            await self._prepare(namespace)
        if config is not None:
            self._say(f"deleting Config {naming.CONFIG}")
            await objects.delete(self._api, served.CONFIG, Key(name=naming.CONFIG))
            await self._until(self._without_config, "the Config is still there")
        # The garbage collector does it as well, but it may not have heard of the kind Config yet.
        for version, kind, name in (("apps/v1", "DaemonSet", naming.DAEMON_SET), *_MADE):
            await self._delete_made(served.kind(version, kind), name, namespace)
        await self._until(lambda: self._ended(namespace, naming.DAEMON_SET), "the node's pods have not ended")
        await self._cleaned(namespace)

    async def _unloaded(self) -> str:
        return telling.loaded(await self._every(served.INVENTORY), self._options.forgotten)

    async def _prepare(self, namespace: str) -> None:
        """Make what cleans the nodes; it waits there until the daemon has ended."""
        key = Key(namespace=namespace, name=naming.DAEMON_SET)
        daemon = await objects.find(self._api, served.DAEMON_SET, key)
        if daemon is not None and "deletionTimestamp" not in daemon["metadata"]:
            await objects.apply(self._api, cleaner.account(namespace), manager=MANAGER)
            await objects.apply(self._api, cleaner.document(daemon), manager=MANAGER)

    async def _without_config(self) -> str:
        key = Key(name=naming.CONFIG)
        config = await objects.find(self._api, served.CONFIG, key)
        if config is not None and self._options.abandon:
            await self._let_go(served.CONFIG, config)
        return "" if config is None else "waiting for the operator to let go of the Config"

    async def _delete_made(self, kind: served.Resource, name: str, namespace: str) -> None:
        """Delete what the operator has made; what only has the same name is somebody else's."""
        key = Key(namespace=namespace if served.is_namespaced(kind) else "", name=name)
        found = await objects.find(self._api, kind, key)
        owners = (found or {}).get("metadata", {}).get("ownerReferences") or ()
        if any(each["kind"] == "Config" for each in owners):
            await objects.delete(self._api, kind, key)

    async def _cleaned(self, namespace: str) -> None:
        key = Key(namespace=namespace, name=cleaner.NAME)
        if await objects.find(self._api, served.DAEMON_SET, key) is None:
            return

        async def look() -> str:
            daemons = await objects.get(self._api, served.DAEMON_SET, key)
            return telling.cleaning(daemons, await self._pods(namespace, cleaner.NAME), self._options.forgotten)

        await self._until(look, "nodes are not clean yet")
        count = (await objects.get(self._api, served.DAEMON_SET, key))["status"].get("numberReady", 0)
        self._say(f"{count} {'node is' if count == 1 else 'nodes are'} clean")
        await objects.delete(self._api, served.DAEMON_SET, key)
        await objects.delete(self._api, served.SERVICE_ACCOUNT, key)
        await self._until(lambda: self._ended(namespace, cleaner.NAME), "the cleaning pods have not ended")

    async def _ended(self, namespace: str, name: str) -> str:
        return telling.running(await self._pods(namespace, name), self._options.forgotten)

    async def _pods(self, namespace: str, name: str) -> list[Object]:
        labels = daemonset.SELECTOR if name == naming.DAEMON_SET else {"name": name}
        return await objects.every(self._api, served.POD, namespace=namespace, labels=labels)

    async def _every(self, kind: served.Resource) -> list[Object]:
        """All objects of a kind; none where the cluster does not have it any more."""
        try:
            return await objects.every(self._api, kind)
        except errors.NotFound:
            return []

    async def _let_go(self, kind: served.Resource, document: Object) -> None:
        for each in document["metadata"].get("finalizers") or ():
            await objects.remove_finalizer(self._api, kind, keys.of(document), each)

    async def _until(self, look: Callable[[], Awaitable[str]], what: str) -> None:
        """Wait until ``look`` answers "", and say what it answers whenever that is something else than before."""
        end = time.monotonic() + self._options.seconds
        before = ""
        while told := await look():
            if told != before:
                self._say(told)
            before = told
            if time.monotonic() > end:
                raise errors.Unavailable(
                    what,
                    why=f"{told}, for {self._options.seconds:g} s",
                    do="if a node is gone for good, `kubectl delete node` it or name it with --forget-node; --abandon "
                    "takes all finalizers off and leaves the nodes as they are",
                )
            await asyncio.sleep(EVERY)
