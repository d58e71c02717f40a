"""What the agent makes of news: whom it looks at again, and whom it leaves alone for a while."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from skep import errors, model
from skep.kube.agent import agent, known, records, turn
from skep.kube.agent.metrics import Numbers
from skep.kube.api.connect import Api
from tests.unit.kube.agent import world

EVERYWHERE = {
    "interfaceSelector": {"interfacesDiscoveryConfig": {"interfaceAutoDiscovery": True, "excludeInterfaces": ["lo"]}}
}
MORE = model.HostSeen(namespaces=(*world.HOST.namespaces, world.namespace("/run/netns/x", model.NetnsInode(99), "lo")))


class Cluster:
    """What the agent knows: one application."""

    def __init__(self) -> None:
        self.one = records.wish(world.document(EVERYWHERE))

    def wishes(self) -> tuple[records.Wish, ...]:
        return (self.one,)


def handled_after(news: int, *, failing: bool) -> int:
    """How often the application is handled when it comes, and then so many interfaces come and go."""

    async def run() -> int:
        one = agent.Agent(
            cast(Api, None),
            cast(turn.Door, None),
            "n1",
            cast(known.Known, Cluster()),
            lambda *_: None,
            Numbers(tuple, bool),
        )

        async def handle(key: str) -> float | None:
            if failing:
                raise errors.Unavailable("the API server says no", do="wait")
            return None

        working = asyncio.create_task(one.queue.run(handle, workers=1))
        try:
            one.wish_changed(None, Cluster().one)
            while not one.queue.handled:
                await asyncio.sleep(0)
            for number in range(news):
                one.host_changed(world.HOST, MORE if number % 2 else world.HOST)
                for _ in range(10):
                    await asyncio.sleep(0)
            return one.queue.handled
        finally:
            working.cancel()

    return asyncio.run(run())


def test_interfaces_that_come_and_go_are_looked_at() -> None:
    assert handled_after(5, failing=False) == 6


def test_but_they_do_not_hurry_what_waits_after_a_failure() -> None:
    assert handled_after(5, failing=True) == 1


class Nothing:
    """What the agent knows where the CRD of applications is missing; ``told``: the API server knows the kind."""

    node = None
    host = world.HOST

    def __init__(self, *, told: bool) -> None:
        self.told = told

    def wish(self, key: str) -> None:
        return None

    def state(self, key: str) -> None:
        return None

    def sees(self, key: str) -> bool:
        return self.told


class Asked(Exception):
    """The daemon was asked what is there to be removed."""


class Door:
    def programs(self, *_: object) -> None:
        raise Asked


@pytest.mark.parametrize("told", [False, True], ids=["its CRD is missing", "nobody wants it"])
def test_what_cannot_be_known_is_not_removed(told: bool) -> None:
    one = agent.Agent(
        cast(Api, None),
        cast(turn.Door, Door()),
        "n1",
        cast(known.Known, Nothing(told=told)),
        lambda *_: None,
        Numbers(tuple, bool),
    )
    if told:
        with pytest.raises(Asked):
            asyncio.run(one.handle("ClusterBpfApplication/counter"))
    else:
        assert asyncio.run(one.handle("ClusterBpfApplication/counter")) is None
