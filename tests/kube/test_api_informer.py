"""An informer knows what the API server knows: after restarts, compactions and strange characters, too."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest

from skep.kube.api import connect, objects, served
from skep.kube.api.informer import Informer
from skep.kube.api.key import Key
from tests.kube.eventually import running, until
from tests.kube.plane import ControlPlane


def config_map(namespace: str, name: str, **data: str) -> dict[str, Any]:
    labels = {"made-by": "test"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "data": data,
    }


class Heard:
    """What an informer told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str | None, str | None]] = []

    def __call__(self, key: Key, old: str | None, new: str | None) -> None:
        self.told.append((key.name, old, new))


def value(object: dict[str, Any]) -> str:
    return str(object.get("data", {}).get("value"))


@contextlib.asynccontextmanager
async def watched(
    plane: ControlPlane, namespace: str, heard: Heard
) -> AsyncIterator[tuple[connect.Api, Informer[str]]]:
    """An informer of the namespace's ConfigMaps with our label."""
    async with connect.connect(str(plane.kubeconfig)) as api:
        made = Informer(
            api, served.CONFIG_MAP, namespace=namespace, labels={"made-by": "test"}, keep=value, changed=heard
        )
        async with running(made.run()):
            await made.synced()
            yield api, made


def test_it_tells_what_is_there_and_what_happens(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        heard = Heard()
        plane.apply(config_map(namespace, "first", value="1"))
        async with watched(plane, namespace, heard) as (api, made):
            assert heard.told == [("first", None, "1")]
            await objects.create(api, config_map(namespace, "second", value="2"))
            await objects.apply(api, config_map(namespace, "first", value="3"), manager="test")
            await objects.delete(api, served.CONFIG_MAP, Key(namespace=namespace, name="second"))
            await until("the deletion", lambda: len(heard.told) == 4)
            assert heard.told[1:] == [("second", None, "2"), ("first", "1", "3"), ("second", "2", None)]
            assert dict(made.all()) == {Key(namespace=namespace, name="first"): "3"}
            assert made.trouble == ""

    asyncio.run(body())


def test_it_tells_nothing_of_what_it_does_not_keep(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        heard = Heard()
        async with watched(plane, namespace, heard) as (api, _):
            await objects.apply(api, config_map(namespace, "one", value="1", other="a"), manager="test")
            await objects.apply(api, config_map(namespace, "one", value="1", other="b"), manager="test")
            await objects.apply(api, config_map(namespace, "last", value="1"), manager="test")
            await until("the last", lambda: heard.told[-1:] == [("last", None, "1")])
            assert [name for name, _, _ in heard.told] == ["one", "last"]

    asyncio.run(body())


@pytest.mark.parametrize("strange", ["\x85", "\u2028", "\u2029", "\x1c", "a\nb", "🐝"], ids=ascii)
def test_no_character_in_an_object_ends_a_watch(plane: ControlPlane, namespace: str, strange: str) -> None:
    """Python's str.splitlines, on which lightkube's watch stands, ends lines at five characters that JSON may hold."""

    async def body() -> None:
        heard = Heard()
        async with watched(plane, namespace, heard) as (api, made):
            await objects.create(api, config_map(namespace, "strange", value=f"x{strange}y"))
            await until("the strange one", lambda: heard.told)
            await objects.create(api, config_map(namespace, "plain", value="z"))
            await until("the plain one", lambda: len(heard.told) == 2)
            assert heard.told == [("strange", None, f"x{strange}y"), ("plain", None, "z")]
            assert made.trouble == ""

    asyncio.run(body())


def test_it_survives_a_restart_of_the_api_server(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        heard = Heard()
        plane.apply(config_map(namespace, "before", value="1"), config_map(namespace, "going", value="1"))
        async with watched(plane, namespace, heard) as (api, made):
            await asyncio.to_thread(plane.stop_apiserver)
            await until("it says that it cannot see", lambda: made.trouble)
            assert made.get(Key(namespace=namespace, name="before")) == "1", "what was known is still known"
            await asyncio.to_thread(plane.start_apiserver)
            await objects.delete(api, served.CONFIG_MAP, Key(namespace=namespace, name="going"))
            await objects.create(api, config_map(namespace, "after", value="2"))
            await until("the new one", lambda: len(heard.told) == 4, 60)
            assert heard.told[2:] == [("going", "1", None), ("after", None, "2")]
            assert (made.lists, made.trouble) == (1, "")

    asyncio.run(body())


def compact(plane: ControlPlane) -> None:
    """Let etcd forget all versions but the newest."""

    def ask(path: str, **body: Any) -> dict[str, Any]:
        url = f"http://127.0.0.1:{plane._etcd_port}/v3/kv/{path}"
        with urllib.request.urlopen(url, data=json.dumps(body).encode(), timeout=10) as answer:
            read: dict[str, Any] = json.load(answer)
            return read

    newest = ask("range", key=base64.b64encode(b"/registry").decode())["header"]["revision"]
    ask("compaction", revision=newest, physical=True)


def test_a_version_that_is_forgotten_is_listed_again(plane: ControlPlane, namespace: str) -> None:
    """A node that was away for longer than the API server remembers: 410, and all that happened is told as if seen."""

    async def body() -> None:
        heard = Heard()
        plane.apply(config_map(namespace, "stays", value="1"), config_map(namespace, "goes", value="1"))
        async with connect.connect(str(plane.kubeconfig)) as api:
            made = Informer(api, served.CONFIG_MAP, namespace=namespace, keep=value, changed=heard)
            async with running(made.run()):
                await made.synced()
                old = made._version
            # Nobody watches while this happens; the API server's window starts anew with it.
            plane.kubectl("delete", "configmap", "goes", "-n", namespace)
            plane.apply(config_map(namespace, "new", value="2"))
            compact(plane)
            await asyncio.to_thread(plane.restart_apiserver)
            assert made._version == old
            heard.told.clear()
            async with running(made.run()):
                await until("the new one", lambda: ("new", None, "2") in heard.told)
                assert ("goes", "1", None) in heard.told
                assert not [told for told in heard.told if told[0] == "stays"]
                assert made.lists == 2

    asyncio.run(body())


def test_what_cannot_be_read_is_left_out_and_hides_no_other(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        def keep(object: dict[str, Any]) -> str:
            return str(object["data"]["value"])

        async with connect.connect(str(plane.kubeconfig)) as api:
            made = Informer(
                api, served.CONFIG_MAP, namespace=namespace, labels={"made-by": "test"}, keep=keep, changed=Heard()
            )
            plane.apply(config_map(namespace, "bad"), config_map(namespace, "good", value="1"))
            async with running(made.run()):
                await made.synced()
                assert dict(made.all()) == {Key(namespace=namespace, name="good"): "1"}

    asyncio.run(body())


def test_whoever_may_not_list_is_told_so_and_tries_on(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        plane.kubectl("create", "serviceaccount", "nobody", "-n", namespace)
        kubeconfig = plane.kubeconfig_for(namespace, "nobody")
        async with connect.connect(str(kubeconfig)) as api:
            made = Informer(api, served.CONFIG_MAP, namespace=namespace, keep=value, changed=Heard())
            async with running(made.run()):
                await until("the refusal", lambda: "forbidden" in made.trouble)
                assert not made.is_synced
                plane.kubectl("create", "role", "see", "-n", namespace, "--verb=list,watch", "--resource=configmaps")
                plane.kubectl(
                    "create",
                    "rolebinding",
                    "see",
                    "-n",
                    namespace,
                    "--role=see",
                    f"--serviceaccount={namespace}:nobody",
                )
                await made.synced()
                await until("no trouble", lambda: not made.trouble)

    asyncio.run(body())


def test_a_thousand_objects_come_in_pages(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        async with connect.connect(str(plane.kubeconfig)) as api:
            slots = asyncio.Semaphore(20)

            async def create(number: int) -> None:
                async with slots:
                    await objects.create(api, config_map(namespace, f"m-{number}", value=str(number)))

            async with asyncio.TaskGroup() as group:
                for number in range(1000):
                    group.create_task(create(number))
            pages = [len(page) async for _, page in api.pages(served.CONFIG_MAP, namespace=namespace)]
            assert sum(pages) >= 1000 and max(pages) == connect.PAGE
            heard = Heard()
            made = Informer(
                api, served.CONFIG_MAP, namespace=namespace, labels={"made-by": "test"}, keep=value, changed=heard
            )
            async with running(made.run()):
                await made.synced()
                assert len(made.all()) == len(heard.told) == 1000

    asyncio.run(body())


def test_a_watch_goes_on_after_the_api_server_ended_it(plane: ControlPlane, namespace: str) -> None:
    """The API server ends each after minutes; here after a few seconds, and without listing again."""

    async def body() -> None:
        heard = Heard()
        async with connect.connect(str(plane.kubeconfig)) as api:
            made = Informer(
                api, served.CONFIG_MAP, namespace=namespace, labels={"made-by": "test"}, keep=value, changed=heard,
                seconds=(2, 2),
            )  # fmt: skip
            async with running(made.run()):
                await until("the third watch", lambda: made.watches >= 3)
                await objects.create(api, config_map(namespace, "late", value="1"))
                await until("the object", lambda: heard.told)
                assert heard.told == [("late", None, "1")]
                assert (made.lists, made.trouble) == (1, "")

    asyncio.run(body())


def test_what_happens_to_others_moves_its_version_on(plane: ControlPlane, namespace: str) -> None:
    """Bookmarks: else a quiet selection in a busy cluster would come back with a version that is long forgotten, and
    list all again.
    """

    async def body() -> None:
        heard = Heard()
        async with connect.connect(str(plane.kubeconfig)) as api:
            made = Informer(
                api, served.CONFIG_MAP, namespace=namespace, labels={"made-by": "nobody"}, keep=value, changed=heard,
                seconds=(4, 4),
            )  # fmt: skip
            async with running(made.run()):
                await made.synced()
                other = await objects.create(api, config_map(namespace, "other", value="1"))
                version = int(other["metadata"]["resourceVersion"])
                await until("a bookmark", lambda: int(made._version) >= version)
                assert (heard.told, made.lists) == ([], 1)

    asyncio.run(body())
