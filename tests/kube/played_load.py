"""A cluster in use, played by one thread: somebody who makes, changes and deletes applications, and nodes that report.

What the nodes' agents would write is written within a fraction of a second, so that what an operator does under load
can be looked at without any node; what vanished although nobody had deleted it is remembered.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from skep import errors
from skep.kube import kinds, naming
from skep.kube.api import connect, objects, served
from skep.kube.api import key as keys
from skep.kube.api.connect import Api
from tests.kube import operator_rig as rig

EVERY: Final = 0.2
"""Seconds between two looks."""
STEPS: Final = 40
"""Changes that are made in all: bounded, so that the load ends whatever happens."""
KEPT: Final = 6
"""Applications that are there at once."""


class Load:
    """``steps``: changes made so far; ``names``: applications that ought to be there; ``lost``: what vanished."""

    def __init__(self, kubeconfig: Path, nodes: tuple[str, ...]) -> None:
        self._kubeconfig = kubeconfig
        self._nodes = nodes
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._states: dict[str, tuple[str, str]] = {}
        """UID -> application's UID and name, of states that are there."""
        self.steps = 0
        self.names: set[str] = set()
        self.lost: list[str] = []
        self.failed: BaseException | None = None

    @property
    def done(self) -> bool:
        """Whether all changes have been made."""
        if self.failed is not None:
            raise AssertionError(repr(self.failed))
        return self.steps >= STEPS

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End: nobody reports any more."""
        self._ending.set()
        self._thread.join(20)

    async def _run(self) -> None:
        try:
            async with connect.connect(str(self._kubeconfig)) as api:
                while not self._ending.is_set():
                    if self.steps < STEPS:
                        await self._step(api)
                    await self._report(api)
                    await asyncio.sleep(EVERY)
        except BaseException as error:  # told to whoever waits
            self.failed = error
            raise

    async def _step(self, api: Api) -> None:
        """One change: a new application, another program for one, or one fewer."""
        number, name = self.steps, f"load-{self.steps}"
        if number % 2 and self.names:
            changed = sorted(self.names)[number % len(self.names)]
            key = keys.Key(name=changed)

            def edited(document: dict[str, Any]) -> dict[str, Any]:
                document["spec"]["byteCode"] = {"path": f"/code/{number}.o"}
                return document

            await objects.change(api, served.CLUSTER_APPLICATION, key, edited, manager="user")
        elif len(self.names) >= KEPT:
            gone = sorted(self.names)[0]
            self.names.discard(gone)
            await objects.delete(api, served.CLUSTER_APPLICATION, keys.Key(name=gone))
        else:
            await objects.create(api, rig.application(name), manager="user")
            self.names.add(name)
        self.steps += 1

    async def _report(self, api: Api) -> None:
        """What the agents of all nodes do."""
        applications = {each["metadata"]["uid"]: each for each in await objects.every(api, served.CLUSTER_APPLICATION)}
        states = [
            each
            for each in await objects.every(api, served.CLUSTER_STATE)
            if each["metadata"]["labels"][naming.HOSTNAME] in map(naming.label, self._nodes)
        ]
        self._look_for_lost(applications, states)
        there = {
            (each["metadata"]["ownerReferences"][0]["uid"], each["metadata"]["labels"][naming.HOSTNAME]): each
            for each in states
        }
        for uid, application in applications.items():
            for node in self._nodes:
                try:
                    await _agent(api, application, node, there.get((uid, node)))
                except (errors.NotFound, errors.Conflict, errors.AlreadyExists):
                    continue  # the next look
        for (uid, _), state in there.items():
            if uid not in applications:
                await _let_go(api, state)

    def _look_for_lost(self, applications: dict[str, dict[str, Any]], states: list[dict[str, Any]]) -> None:
        now = {
            each["metadata"]["uid"]: (each["metadata"]["ownerReferences"][0]["uid"], each["metadata"]["name"])
            for each in states
        }
        for uid, (owner, name) in self._states.items():
            of = applications.get(owner)
            if uid not in now and of is not None and "deletionTimestamp" not in of["metadata"]:
                self.lost.append(f"the state {name}")
        self._states = now
        wanted = {each["metadata"]["name"] for each in applications.values()}
        self.lost += [f"the application {name}" for name in sorted(self.names - wanted) if name not in self.lost]


async def _agent(api: Api, application: dict[str, Any], node: str, state: dict[str, Any] | None) -> None:
    """One node's agent with one application."""
    about = application["metadata"]
    key = keys.Key(name=naming.state_name(about["name"], node))
    if "deletionTimestamp" in about:
        if state is not None:
            await _let_go(api, state)
        return
    if state is not None and state.get("status", {}).get("observedGeneration") == about["generation"]:
        return
    owner = {
        "apiVersion": kinds.API_VERSION, "kind": application["kind"], "name": about["name"], "uid": about["uid"],
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    if state is None:
        made = {
            "apiVersion": kinds.API_VERSION,
            "kind": "ClusterBpfApplicationState",
            "metadata": {
                "name": key.name,
                "labels": naming.state_labels(about["name"], node),
                "finalizers": [naming.CLUSTER_FINALIZER],
                "ownerReferences": [owner],
            },
        }
        with suppress(errors.AlreadyExists):
            await objects.create(api, made, manager="agent")
    condition = {
        "type": "Success", "status": "True", "reason": "Success", "message": "1 program loaded",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    status = {
        "updateCount": 1, "node": node, "appLoadStatus": "LoadSuccess", "observedGeneration": about["generation"],
        "conditions": [condition],
    }  # fmt: skip
    await objects.write_status(api, served.CLUSTER_STATE, key, lambda _: status, manager="agent")


async def _let_go(api: Api, state: dict[str, Any]) -> None:
    await objects.remove_finalizer(api, served.CLUSTER_STATE, keys.of(state), naming.CLUSTER_FINALIZER)


@contextmanager
def load(kubeconfig: Path, *nodes: str) -> Iterator[Load]:
    """A load that has begun, and ends with the block."""
    made = Load(kubeconfig, nodes)
    made.start()
    try:
        yield made
    finally:
        made.stop()
