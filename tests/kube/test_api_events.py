"""Events are counted, kept within bounds, shown by kubectl describe, and never in anybody's way."""

from __future__ import annotations

import asyncio
from typing import Any

from skep.kube.api import connect, notice
from skep.kube.api.events import Events
from tests.kube.eventually import running, until
from tests.kube.plane import ControlPlane


def seen(plane: ControlPlane, namespace: str) -> list[dict[str, Any]]:
    return plane.list("events", namespace=namespace)


def made(plane: ControlPlane, namespace: str, name: str = "about") -> notice.About:
    plane.kubectl("create", "configmap", name, "-n", namespace)
    return notice.about(plane.get("configmap", name, namespace=namespace))


def test_what_is_told_again_is_counted_by_a_later_process_too(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        about = made(plane, namespace)
        async with connect.connect(str(plane.kubeconfig)) as api:
            for _ in range(2):
                events = Events(api, component="skep-agent", host="node-1")
                async with running(events.run()):
                    for _ in range(10):
                        events.tell(about, "LoadFailed", "no such image", warning=True)
                    events.tell(about, "Loaded", "two programs")
            found = {each["reason"]: each for each in seen(plane, namespace)}
            assert {reason: each["count"] for reason, each in found.items()} == {"LoadFailed": 20, "Loaded": 2}
            assert found["LoadFailed"]["type"] == "Warning"
            text = plane.kubectl("describe", "configmap", "about", "-n", namespace)
            assert "no such image" in text and "skep-agent" in text and "(x20 over" in text

    asyncio.run(body())


def test_an_object_that_is_told_about_too_often_gets_its_share(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        about, other = made(plane, namespace), made(plane, namespace, "other")
        async with connect.connect(str(plane.kubeconfig)) as api:
            events = Events(api, component="c", host="h", budget=notice.Budget(burst=5, seconds=1000))
            for number in range(50):
                events.tell(about, "Noise", f"number {number}")
            events.tell(other, "Word", "heard")
            await events.flush()
            assert events.left_out == 45
            assert sorted(each["reason"] for each in seen(plane, namespace)) == ["Noise"] * 5 + ["Word"]

    asyncio.run(body())


def test_a_cluster_scoped_object_has_its_events_shown(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        about = notice.about(plane.get("namespace", namespace))
        async with connect.connect(str(plane.kubeconfig)) as api:
            events = Events(api, component="c", host="h")
            events.tell(about, "Seen", "🐝" * 1000)
            await events.flush()
            assert events.left_out == 0
            found = [each for each in seen(plane, "default") if each["involvedObject"]["name"] == namespace]
            assert len(found[0]["message"].encode()) <= notice.LONGEST

    asyncio.run(body())


def test_what_is_told_while_the_api_server_is_away_is_written_later(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        about = made(plane, namespace)
        async with connect.connect(str(plane.kubeconfig)) as api:
            events = Events(api, component="c", host="h")
            await asyncio.to_thread(plane.stop_apiserver)
            async with running(events.run()):
                events.tell(about, "Said", "nobody hears")
                await asyncio.to_thread(plane.start_apiserver)
                await until("it is written", lambda: seen(plane, namespace))
                assert (seen(plane, namespace)[0]["count"], events.left_out) == (1, 0)

    asyncio.run(body())


def test_whoever_may_not_write_events_goes_on(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        about = made(plane, namespace)
        plane.kubectl("create", "serviceaccount", "mute", "-n", namespace)
        async with connect.connect(str(plane.kubeconfig_for(namespace, "mute"))) as api:
            events = Events(api, component="c", host="h")
            async with running(events.run()):
                events.tell(about, "Said", "in vain")
                await until("it is left out", lambda: events.left_out == 1)
            assert seen(plane, namespace) == []

    asyncio.run(body())
