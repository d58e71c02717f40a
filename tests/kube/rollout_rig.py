"""Agents that are played, many by one process: each runs what its node is assigned, and refuses what it is told to."""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from lightkube.types import PatchType

from skep import errors
from skep.kube import kinds, naming, revisions
from skep.kube.api import connect, objects, served
from skep.kube.api.connect import Api
from skep.kube.api.key import Key
from tests.kube.plane import ControlPlane

T = TypeVar("T")
READY = {"conditions": [{"type": "Ready", "status": "True", "reason": "Played", "message": ""}]}
MERGE = PatchType.MERGE.value


def heartbeat(plane: ControlPlane, *nodes: str) -> None:
    """The kubelets of these nodes say that they are well; that is believed for half a minute."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = f'{{"type":"Ready","status":"True","reason":"Played","message":"","lastHeartbeatTime":"{now}"}}'
    for each in nodes:
        words = ("--subresource=status", "--type=merge", "-p", f'{{"status":{{"conditions":[{condition}]}}}}')
        plane.kubectl("patch", "node", each, *words)


class Fleet:
    """The nodes ``names`` and their agents, of one BpfApplication in ``namespace``, as long as the block lasts."""

    def __init__(self, namespace: str, application: str, names: list[str]) -> None:
        self.namespace = namespace
        self.application = application
        self.names = names
        self.refusing: set[str] = set()
        self.most = 0
        """The most nodes that were being changed at any time, by what their states said."""
        self.states: dict[str, dict[str, Any]] = {}
        self.problem: BaseException | None = None
        self._loop = asyncio.new_event_loop()

    def do(self, work: Callable[[Api], Coroutine[Any, Any, T]]) -> T:
        """Have the loop of the agents do something."""
        if self.problem:
            raise self.problem
        return asyncio.run_coroutine_threadsafe(work(self._api), self._loop).result(60)

    def vanish(self, *names: str) -> None:
        """Nodes are deleted, and their agents with them."""
        self.names = [each for each in self.names if each not in names]

        async def work(api: Api) -> None:
            for each in names:
                await objects.delete(api, served.NODE, Key(name=each))

        self.do(work)

    def running(self) -> dict[str, int]:
        """How many nodes run each revision."""
        found: dict[str, int] = {}
        for each in self.states.values():
            revision = each.get("status", {}).get("revision", "")
            found[revision] = found.get(revision, 0) + 1
        return found

    def assigned(self) -> set[str]:
        """The revisions that nodes are assigned."""
        return {_assigned(each) for each in self.states.values()}

    def stored(self) -> list[str]:
        """The stored revisions of the application."""
        labels = {naming.OWNED: self.application}
        found = self.do(lambda api: objects.every(api, served.REVISION, namespace=naming.NAMESPACE, labels=labels))
        return [revisions.stored(each).revision for each in found]

    async def run(self, kubeconfig: Path) -> None:
        """Be all of them until cancelled."""
        async with connect.connect(str(kubeconfig)) as self._api:
            for name in self.names:
                labels = {"kubernetes.io/hostname": name, "fleet": self.namespace}
                node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
                await objects.create(self._api, node)
                body = {"status": READY}
                await self._api.ask("patch", served.NODE.Status, Key(name=name), body=body, content_type=MERGE)
            while True:
                await self._turn()
                await asyncio.sleep(0.05)

    async def _turn(self) -> None:
        key = Key(namespace=self.namespace, name=self.application)
        application = await objects.find(self._api, served.APPLICATION, key)
        found = await objects.every(self._api, served.STATE, namespace=self.namespace)
        self.states = {each["metadata"]["labels"][naming.HOSTNAME]: each for each in found}
        if application is None:
            return
        rolled = (application.get("status") or {}).get("rollout") or {}
        target = rolled.get("revision", "")
        if rolled.get("phase") in ("Progressing", "Paused"):
            changing = [each for each in self.states.values() if _assigned(each) == target and not _well(each, target)]
            self.most = max(self.most, len(changing))
        for name in self.names:
            state = self.states.get(name)
            if "deletionTimestamp" in application["metadata"]:
                if state is not None:
                    finalizer = naming.agent_finalizer(namespaced=True)
                    where = Key(namespace=self.namespace, name=state["metadata"]["name"])
                    await objects.remove_finalizer(self._api, served.STATE, where, finalizer)
            elif state is None:
                await objects.create(self._api, self._state(application, name))
            else:
                await self._report(application, name, state)

    def _state(self, application: dict[str, Any], node: str) -> dict[str, Any]:
        about = application["metadata"]
        owner = {
            "apiVersion": kinds.API_VERSION, "kind": "BpfApplication", "name": about["name"], "uid": about["uid"],
            "controller": True,
        }  # fmt: skip
        return {
            "apiVersion": kinds.API_VERSION,
            "kind": "BpfApplicationState",
            "metadata": {
                "name": naming.state_name(about["name"], node),
                "namespace": self.namespace,
                "labels": naming.state_labels(about["name"], node),
                "finalizers": [naming.agent_finalizer(namespaced=True)],
                "ownerReferences": [owner],
            },
        }

    async def _report(self, application: dict[str, Any], node: str, state: dict[str, Any]) -> None:
        before = state.get("status") or {}
        spec = revisions.of(application)
        staged = "rollout" in application["spec"]
        wanted = (_assigned(state) or before.get("revision", "")) if staged else spec
        generation = application["metadata"]["generation"]
        if not wanted:
            type, running = "Pending", ""
        elif wanted == spec and node in self.refusing:
            type, running = "Error", before.get("revision", "")
        else:
            type, running = "Success", wanted
        told = (type, running, wanted, generation)
        said = next((each["type"] for each in before.get("conditions") or ()), "")
        if told == (
            said,
            before.get("revision", ""),
            before.get("observedRevision", ""),
            before.get("observedGeneration"),
        ):
            return
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {
            "type": type, "status": "True", "reason": type, "lastTransitionTime": now,
            "message": "the verifier said no" if type == "Error" else "",
        }  # fmt: skip
        status = {
            "updateCount": before.get("updateCount", 0) + 1, "node": node,
            "appLoadStatus": "LoadSuccess" if type == "Success" else "LoadError", "observedGeneration": generation,
            "revision": running, "observedRevision": wanted, "conditions": [condition],
        }  # fmt: skip
        key = Key(namespace=self.namespace, name=state["metadata"]["name"])
        try:
            await self._api.ask("patch", served.STATE.Status, key, body={"status": status}, content_type=MERGE)
        except errors.NotFound:
            return

    @contextmanager
    def playing(self, plane: ControlPlane) -> Iterator[Fleet]:
        """The agents run meanwhile; afterwards the nodes are gone."""
        work = self._loop.create_task(self.run(plane.kubeconfig))

        def run() -> None:
            try:
                self._loop.run_until_complete(work)
            except asyncio.CancelledError:
                return
            except BaseException as error:
                self.problem = error

        thread = threading.Thread(target=run, name="fleet")
        thread.start()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(work.cancel)
            thread.join(30)
            plane.kubectl("delete", "node", "-l", f"fleet={self.namespace}", "--wait=false")
        if self.problem:
            raise self.problem


def _assigned(state: dict[str, Any]) -> str:
    return str((state["metadata"].get("annotations") or {}).get(naming.REVISION, ""))


def _well(state: dict[str, Any], revision: str) -> bool:
    status = state.get("status") or {}
    said = next((each["type"] for each in status.get("conditions") or ()), "")
    return bool(said == "Success" and status.get("observedRevision") == revision)
