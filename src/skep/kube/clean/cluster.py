"""Before an uninstall: applications deleted, nodes clean, and what the operator made gone, in the order that works.

Who deletes operator or CRDs first leaves programs in kernels and objects that nobody lets go of. So: applications,
while operator and agents are there to clean up; then the operator, which would make a Config anew; then the Config, and
with it daemon, agent and CSI driver of every node; then what they leave: files of the nodes, inventories, the lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lightkube.types import PatchType

from skep import errors
from skep.kube import kinds, naming
from skep.kube.api import connect, objects, served
from skep.kube.api import key as keys
from skep.kube.api.connect import Api
from skep.kube.api.key import Key
from skep.kube.api.merge import Object
from skep.kube.clean import telling
from skep.kube.clean.nodes import Nodes
from skep.kube.operator import deploy

GROUPS: Final = ((kinds.GROUP, kinds.VERSION), ("bpfd.io", "v1alpha1"))
"""Whose kinds are applications, current and older."""
REPORTS: Final = frozenset({"BpfProgram", "BpfNsProgram", "NodeBpfInventory"})
"""Kinds that agents and operator write, besides states: they go with what they are about."""
OPERATOR: Final = {"app.kubernetes.io/name": deploy.MANAGER}
"""Labels of the operator's Deployment and pods."""
DAEMON: Final = {"name": naming.DAEMON_SET}
"""Label of the DaemonSet's pods."""
FIRST_SECONDS, LONGEST_SECONDS = 0.1, 2.0
"""How long between two looks: at first, doubling, and at most."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``namespace``: the operator's. ``seconds``: in which all of it has to be done. ``keep_applications``: they stay
    as objects, and their programs in the kernels. ``keep_operator``: somebody else stops it, as OLM does.
    ``keep_files``: of the nodes. ``forgotten``: nodes that are gone, and are not waited for. ``abandon``: wait for no
    node: finalizers are taken off, and the nodes stay as they are.
    """

    kubeconfig: str | None
    namespace: str
    seconds: float
    keep_applications: bool = False
    keep_operator: bool = False
    keep_files: bool = False
    forgotten: tuple[str, ...] = ()
    abandon: bool = False


def run(options: Options, say: Say) -> None:
    """Do it, telling each step; Unavailable when the time is over, with what it waits for."""

    async def connected() -> None:
        async with connect.connect(options.kubeconfig) as api:
            await _Clean(api, options, say).run()

    asyncio.run(connected())


def is_application(kind: str) -> bool:
    """Whether objects of this kind are somebody's wish for programs."""
    return kind not in REPORTS and kind != "Config" and not kind.endswith("State")


class _Clean:
    def __init__(self, api: Api, options: Options, say: Say) -> None:
        self._api = api
        self._options = options
        self._say = say
        self._end = asyncio.get_running_loop().time() + options.seconds
        self._nodes = Nodes(api, options.forgotten)
        self._files = not (options.keep_files or options.keep_applications or options.abandon)

    async def run(self) -> None:
        known = [kind for group in GROUPS for kind in await self._kinds(*group)]
        if not (self._options.keep_applications or self._options.abandon):
            await self._nodes.refuse_while_mounted()
        if not self._options.keep_applications:
            await self._applications([kind for kind in known if is_application(served.name(kind))])
        names = {served.name(kind) for kind in known}
        if self._files and "NodeBpfInventory" in names:
            await self._until("programs are loaded that no application has", self._nodes.loaded)
        if not self._options.keep_operator:
            await self._stop_operator()
        if "Config" in names:
            for config in await objects.every(self._api, served.CONFIG):
                await self._config(config)
        if self._files:
            await self._remove_files()
        if "NodeBpfInventory" in names:
            for each in await objects.every(self._api, served.INVENTORY):
                await objects.delete(self._api, served.INVENTORY, keys.of(each))
        lease = Key(namespace=self._options.namespace, name=naming.LEASE)
        if not self._options.keep_operator and await objects.delete(self._api, served.LEASE, lease):
            self._say(f"deleted the lease {lease}")

    async def _kinds(self, group: str, version: str) -> list[served.Resource]:
        return [
            served.made(f"{group}/{version}", each["kind"], each["name"], bool(each["namespaced"]))
            for each in await self._api.kinds(group, version)
            if "/" not in each["name"]
        ]

    async def _applications(self, known: list[served.Resource]) -> None:
        async def left() -> list[Held]:
            found = []
            for kind in known:
                found += [Held(kind=kind, object=each) for each in await objects.every(self._api, kind)]
            return found

        there = await left()
        for each in there:
            await objects.delete(self._api, each.kind, each.key)
        if there:
            self._say(f"deleting {counted(len(there), 'application')}")

        async def holding() -> list[str]:
            held = await left()
            if held:
                await self._nodes.forget()
            if self._options.abandon:
                await self._abandon(held)
            elif held and not await self._pods(self._options.namespace, OPERATOR, ready=True):
                await self._let_go(held)
            return [each.told() for each in held]

        await self._until("applications are still there", holding)
        self._say("applications are abandoned" if self._options.abandon else "no node has a program of an application")

    async def _abandon(self, held: Iterable[Held]) -> None:
        """Take off what keeps applications and states, whatever is on the nodes."""
        states = []
        for kind in (served.CLUSTER_STATE, served.STATE):
            states += [Held(kind=kind, object=each) for each in await objects.every(self._api, kind)]
        for one in (*states, *held):
            for finalizer in one.object["metadata"].get("finalizers") or ():
                await objects.remove_finalizer(self._api, one.kind, one.key, finalizer)
        for one in states:
            await objects.delete(self._api, one.kind, one.key)

    async def _let_go(self, held: Iterable[Held]) -> None:
        """Do the operator's last step where none runs: of applications that no node has anything of."""
        states = []
        for kind in (served.CLUSTER_STATE, served.STATE):
            states += await objects.every(self._api, kind)
        busy = {
            owner["uid"]
            for each in states
            if each["metadata"].get("finalizers")
            for owner in each["metadata"].get("ownerReferences") or ()
        }
        for one in held:
            if one.object["metadata"]["uid"] not in busy:
                await objects.remove_finalizer(self._api, one.kind, one.key, naming.OPERATOR_FINALIZER)

    async def _stop_operator(self) -> None:
        namespace = self._options.namespace
        deployments = await objects.every(self._api, served.DEPLOYMENT, namespace=namespace, labels=OPERATOR)
        running = [each for each in deployments if each["spec"].get("replicas", 1)]
        for each in running:
            await self._api.ask(
                "patch",
                served.DEPLOYMENT,
                keys.of(each),
                body={"spec": {"replicas": 0}},
                content_type=PatchType.MERGE.value,
                params={"fieldManager": "skep-clean"},
            )

        async def ending() -> list[str]:
            return [f"pod {name}" for name in await self._pods(namespace, OPERATOR)]

        await self._until("the operator does not end", ending)
        if running:
            self._say("stopped the operator")

    async def _config(self, config: Object) -> None:
        key, uid = keys.of(config), config["metadata"]["uid"]
        said, told = config.get("spec") or {}, config.get("status") or {}
        namespaces = {said.get("namespace") or naming.NAMESPACE, told.get("namespace") or naming.NAMESPACE}
        if self._files:
            for namespace in sorted(namespaces):
                await self._nodes.prepare(namespace)
        await objects.delete(self._api, served.CONFIG, key)

        async def there() -> list[str]:
            if not self._options.keep_operator or self._options.abandon:
                await objects.remove_finalizer(self._api, served.CONFIG, key, naming.CONFIG_FINALIZER)
            found = await objects.find(self._api, served.CONFIG, key)
            return [] if found is None or found["metadata"]["uid"] != uid else [f"Config {key}"]

        async def running() -> list[str]:
            left = []
            for kind, name, namespace in made(namespaces):
                found = await objects.find(self._api, kind, Key(namespace=namespace, name=name))
                if found is not None and uid in owners(found):
                    # The garbage collector does it too, but looks for new kinds, such as Config, every half minute.
                    await objects.delete(self._api, kind, keys.of(found))
                    left.append(f"{served.name(kind)} {keys.of(found)}")
            for namespace in sorted(namespaces):
                left += [f"pod {name}" for name in await self._pods(namespace, DAEMON)]
            return left

        await self._until("the Config is still there", there)
        await self._until("what the Config stood for is still there", running)
        self._say(f"deleted the Config {key}, and what it stood for")

    async def _remove_files(self) -> None:
        """Remove what the daemon has left on the nodes."""
        for namespace in {self._options.namespace, naming.NAMESPACE}:
            await self._nodes.prepare(namespace)  # also what was prepared before an interruption
        await self._until("nodes are not clean", self._nodes.unclean)
        if await self._nodes.cleaned():
            await self._until("pods that cleaned the nodes are still there", self._nodes.finish)
            self._say("no node has a file of skep's")

    async def _pods(self, namespace: str, labels: Mapping[str, str], *, ready: bool = False) -> list[str]:
        """Names of pods, of those that are ready alone."""
        found = await objects.every(self._api, served.POD, namespace=namespace, labels=labels)
        return [
            each["metadata"]["name"]
            for each in found
            if not self._nodes.is_forgotten(each) and (not ready or is_ready(each))
        ]

    async def _until(self, what: str, left: Callable[[], Awaitable[list[str]]]) -> None:
        """Wait until nothing is left; Unavailable when the time is over."""
        loop, pause, said = asyncio.get_running_loop(), FIRST_SECONDS, ""
        while names := await left():
            now = telling.some(names)
            rest = self._end - loop.time()
            if rest <= 0:
                raise errors.Unavailable(
                    f"clean the cluster: {what} after {self._options.seconds:g} s",
                    why=now,
                    do="correct what it says, or give it longer (--wait), and run it again; name a node that has gone "
                    "for good with --forget-node",
                )
            if now != said and pause >= LONGEST_SECONDS:
                self._say(f"waiting: {now}")
                said = now
            await asyncio.sleep(min(pause, rest))
            pause = min(pause * 2, LONGEST_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An application that is not gone yet."""

    kind: served.Resource
    object: Object

    @property
    def key(self) -> Key:
        """Its name."""
        return keys.of(self.object)

    def told(self) -> str:
        """It, and why it is still there, as its status says."""
        conditions = (self.object.get("status") or {}).get("conditions") or [{}]
        why = conditions[-1].get("message") or "nothing says why"
        return f"{served.name(self.kind)} {self.key} ({why})"


def made(namespaces: Iterable[str]) -> list[tuple[served.Resource, str, str]]:
    """What a Config stands for: kind, name, namespace."""
    there: list[tuple[served.Resource, str, str]] = [
        (served.kind("storage.k8s.io/v1", "CSIDriver"), naming.DRIVER, ""),
        (served.kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"), deploy.AGENT_BINDING, ""),
    ]
    for namespace in sorted(namespaces):
        there += [
            (served.DAEMON_SET, naming.DAEMON_SET, namespace),
            (served.CONFIG_MAP, naming.CONFIG, namespace),
            (served.SERVICE_ACCOUNT, naming.ACCOUNT, namespace),
        ]
    return there


def owners(object: Mapping[str, Any]) -> set[str]:  # Any: JSON
    """The uids of an object's owners."""
    return {each["uid"] for each in object["metadata"].get("ownerReferences") or ()}


def is_ready(pod: Mapping[str, Any]) -> bool:  # Any: JSON
    """Whether a pod's containers do their work."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def counted(number: int, noun: str) -> str:
    """ "1 application", "3 applications"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
