"""A node's inventory in a real cluster: written once, not again while nothing changes, again on change, gone with its
Node; as the agent's account, with the rights of deploy/rbac."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from skep import errors, model
from skep.kube.api import connect, served
from skep.kube.api.informer import Informer
from skep.kube.api.key import Key
from skep.kube.inventory import write
from skep.rpc import client
from tests import instance
from tests.kernel.stranger import stranger
from tests.kube import node_agents, nodes
from tests.kube.eventually import running, until
from tests.kube.plane import ControlPlane
from tests.kube.plane import until as plane_until
from tests.unit.kube.inventory import inventories

PACE = write.Pace(ask=0.02, look=0.2, write=0.4)
Json = dict[str, Any]


class Door:
    """A daemon whose kernel is made up: what runs on the machine of a test comes and goes."""

    def __init__(self) -> None:
        self.found = inventories.inventory((inventories.program(1, inventories.OURS),))
        self.asked = 0
        self.looked = 0
        self.down = False
        self._lock = threading.Lock()

    def change(self, *ids: int) -> None:
        programs = tuple(inventories.program(id, model.Foreign()) for id in ids)
        self.found = dataclasses.replace(self.found, programs=programs, fingerprint=f"of {ids}")

    def inventory(self, unless: str = "") -> model.Inventory | None:
        with self._lock:
            self.asked += 1
            if self.down:
                raise errors.Unavailable("no skep daemon answers", do="start it")
            if unless == self.found.fingerprint:
                return None
            self.looked += 1
            return self.found


class Rig:
    """A node with an agent's account, and what the API server says of its inventory."""

    def __init__(self, plane: ControlPlane, node: str, kubeconfig: Path) -> None:
        self.plane, self.node, self.kubeconfig = plane, node, kubeconfig
        self.door = Door()
        self.writes: list[Json] = []
        self.gone = 0

    @property
    def now(self) -> Json | None:
        """The object as it is."""
        return self._informer.get(Key(name=self.node))

    @property
    def programs(self) -> list[int]:
        """Those that the object names."""
        return [one["id"] for one in ((self.now or {}).get("status") or {}).get("programs", ())]

    def run(self, body: Callable[[], Coroutine[Any, Any, None]], door: write.Door | None = None) -> None:
        """``body`` while the writer runs as the agent."""

        async def whole() -> None:
            async with (
                connect.connect(str(self.plane.kubeconfig)) as mine,
                connect.connect(str(self.kubeconfig)) as its,
            ):
                self._informer = Informer[Json](
                    mine, served.INVENTORY, fields={"metadata.name": self.node}, keep=lambda object: object,
                    changed=self._changed,
                )  # fmt: skip
                keeping = write.run(its, door or self.door, self.node, lambda: (), pace=PACE)
                async with running(self._informer.run(), keeping):
                    await body()

        asyncio.run(whole())

    async def asked(self, times: int) -> None:
        """Until the daemon has been asked so many times more."""
        before = self.door.asked
        await until("the daemon is asked", lambda: self.door.asked >= before + times)

    def _changed(self, key: Key, old: Json | None, new: Json | None) -> None:
        if new is None:
            self.gone += 1
        elif "status" in new:
            self.writes.append(new["status"])


@pytest.fixture
def rig(plane: ControlPlane, namespace: str) -> Iterator[Rig]:
    node_agents.account(plane, namespace)
    node = f"node-of-{namespace}"
    plane.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    yield Rig(plane, node, node_agents.agent(plane, namespace, node))
    plane.kubectl("delete", "node", node, "--ignore-not-found")  # others count nodes


def test_it_is_written_once_and_not_again_while_nothing_changes(rig: Rig) -> None:
    async def body() -> None:
        await until("the inventory", lambda: rig.programs == [1])
        await rig.asked(40)  # so long that it was looked at whole more than once, too
        assert len(rig.writes) == 1
        (owner,) = rig.now["metadata"]["ownerReferences"]  # type: ignore[index]
        node = rig.plane.get("node", rig.node)
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Node", rig.node, node["metadata"]["uid"])

    rig.run(body)
    looked = rig.door.looked
    assert looked >= 2

    async def restarted() -> None:
        await rig.asked(10)

    version = rig.plane.get("nodebpfinventories", rig.node)["metadata"]["resourceVersion"]
    rig.run(restarted)  # an agent that starts again finds what it wrote
    assert rig.plane.get("nodebpfinventories", rig.node)["metadata"]["resourceVersion"] == version


def test_a_change_is_written_and_many_are_written_together(rig: Rig) -> None:
    async def body() -> None:
        clock = asyncio.get_running_loop().time
        await until("the inventory", lambda: rig.programs == [1])
        began = clock()
        for id in range(2, 42):
            rig.door.change(1, id)
            await rig.asked(1)
        await until("the last change", lambda: rig.programs == [1, 41])
        took = clock() - began
        assert 2 <= len(rig.writes) <= 2 + took / PACE.write

    rig.run(body)


def test_it_goes_with_its_node_and_comes_with_the_next_of_that_name(rig: Rig) -> None:
    async def body() -> None:
        await until("the inventory", lambda: rig.programs == [1])
        await asyncio.to_thread(rig.plane.kubectl, "delete", "node", rig.node)
        await until("the garbage collector", lambda: rig.gone == 1)
        await rig.asked(3)
        assert rig.now is None
        await asyncio.to_thread(rig.plane.apply, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": rig.node}})
        await until("the next one", lambda: rig.programs == [1])
        (owner,) = rig.now["metadata"]["ownerReferences"]  # type: ignore[index]
        assert owner["uid"] == rig.plane.get("node", rig.node)["metadata"]["uid"]

    rig.run(body)


def test_what_somebody_else_did_to_it_is_put_right(rig: Rig) -> None:
    async def body() -> None:
        await until("the inventory", lambda: rig.programs == [1])
        await asyncio.to_thread(rig.plane.kubectl, "delete", "nbi", rig.node)
        await until("it is back", lambda: rig.gone == 1 and rig.programs == [1])
        await asyncio.to_thread(
            rig.plane.kubectl, "patch", "nbi", rig.node, "--subresource=status", "--type=merge", "-p",
            '{"status":{"programs":null}}',
        )  # fmt: skip
        await until("its status is back", lambda: len(rig.writes) >= 4 and rig.programs == [1])

    rig.run(body)


def test_it_goes_on_when_the_daemon_and_the_api_server_are_back(rig: Rig) -> None:
    async def body() -> None:
        rig.door.down = True
        await rig.asked(2)
        assert rig.now is None
        rig.door.down = False
        await until("the inventory", lambda: rig.programs == [1])
        await asyncio.to_thread(rig.plane.stop_apiserver)
        rig.door.change(1, 7)
        await rig.asked(2)
        await asyncio.to_thread(rig.plane.start_apiserver)
        await until("what changed meanwhile", lambda: rig.programs == [1, 7], 60)

    rig.run(body)


def test_kubectl_shows_what_runs_in_a_real_kernel_and_who_put_it_there(rig: Rig) -> None:
    with (
        instance.network("nbi") as network,
        instance.instance("nbi", enter=network.enter) as daemon,
        client.Client(daemon.layout.socket) as door,
        stranger("program") as told,
    ):

        def owner() -> Json | None:
            programs = ((rig.now or {}).get("status") or {}).get("programs", ())
            return next((one["owner"] for one in programs if one["id"] == told["program"]), None)

        def row() -> list[str]:
            return rig.plane.kubectl("get", "nbi", rig.node, "-o", "wide", "--no-headers").split()[:7]

        def columns() -> list[str]:
            told = rig.plane.get("nbi", rig.node)["status"]
            numbers = [str(told["counts"][name]) for name in ("programs", "managed", "foreign")]
            clean = told["conditions"][0]["status"]
            return [rig.node, *numbers, clean, told["memory"], told["kernel"]]

        async def body() -> None:
            await until("the stranger's program", owner)
            (process,) = owner()["processes"]  # type: ignore[index]
            assert process["pid"] == told["pid"]
            # What else comes and goes on this machine may be written between the two.
            await until("the row of the object", lambda: row() == columns())
            assert "programs" in rig.plane.kubectl("explain", "nbi.status")

        rig.run(body, door)


def test_the_agents_process_tells_the_pod_whose_container_holds_a_program(
    plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    with nodes.node(plane, tmp_path, start=False) as node:
        pod = node.pod(namespace, "flowlog")
        pod.run()
        assert pod.container is not None
        enter = ["sh", "-c", f'echo $$ > {pod.container.place}/cgroup.procs && exec "$@"', "sh"]
        with stranger("program", enter=enter) as told:
            node.start()

            def owners() -> list[Json]:
                programs = plane.get("nbi", node.name)["status"]["programs"]
                return [one["owner"] for one in programs if one["id"] == told["program"]]

            (owner,) = plane_until("the stranger's program", owners)
        (process,) = owner["processes"]
        known = {"uid": pod.uid, "namespace": namespace, "name": "flowlog", "container": "main"}
        assert (process["pid"], process["pod"]) == (told["pid"], known)
