"""Objects are changed against others who change them, with credentials that change, too."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from skep import errors
from skep.kube.api import connect, objects, served
from skep.kube.api.key import Key
from tests.kube.plane import ControlPlane


def application(namespace: str, name: str = "app") -> dict[str, Any]:
    return {
        "apiVersion": "bpfman.io/v1alpha1",
        "kind": "BpfApplication",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "nodeSelector": {},
            "byteCode": {"image": {"url": "registry.example/x:1"}},
            "programs": [{"name": "count", "type": "XDP", "xdp": {"links": []}}],
        },
    }


def config_map(namespace: str, name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def test_many_writers_of_one_status_lose_nothing(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        key = Key(namespace=namespace, name="app")
        async with connect.connect(str(plane.kubeconfig)) as api:
            seen = await objects.apply(api, application(namespace), manager="test")

            async def count() -> None:
                def one_more(object: dict[str, Any]) -> dict[str, Any]:
                    status = object.get("status") or {}
                    return {**status, "desired": status.get("desired", 0) + 1}

                await objects.write_status(api, served.APPLICATION, key, one_more, seen=seen)

            async with asyncio.TaskGroup() as group:
                for _ in range(5):
                    group.create_task(count())
            now = await objects.get(api, served.APPLICATION, key)
            assert now["status"]["desired"] == 5

    asyncio.run(body())


def test_a_member_that_is_gone_from_a_status_is_gone(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        key = Key(namespace=namespace, name="app")
        async with connect.connect(str(plane.kubeconfig)) as api:
            await objects.apply(api, application(namespace), manager="test")
            await objects.write_status(api, served.APPLICATION, key, lambda _: {"desired": 1, "failed": 1})
            now = await objects.write_status(api, served.APPLICATION, key, lambda _: {"desired": 1})
            assert now["status"] == {"desired": 1}

    asyncio.run(body())


def test_what_is_as_it_should_be_is_not_written(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        key = Key(namespace=namespace, name="app")
        async with connect.connect(str(plane.kubeconfig)) as api:
            await objects.apply(api, application(namespace), manager="test")
            first = await objects.write_status(api, served.APPLICATION, key, lambda _: {"desired": 1})
            await objects.write_status(api, served.APPLICATION, key, lambda _: {"desired": 1})
            await objects.add_finalizer(api, served.APPLICATION, key, "bpfman.io/test")
            second = await objects.add_finalizer(api, served.APPLICATION, key, "bpfman.io/test")
            again = await objects.apply(api, application(namespace), manager="test")
            assert first["metadata"]["resourceVersion"] != second["metadata"]["resourceVersion"]
            assert again["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
            await objects.remove_finalizer(api, served.APPLICATION, key, "bpfman.io/test")

    asyncio.run(body())


def test_whoever_is_always_slower_gets_a_conflict(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        key = Key(namespace=namespace, name="busy")
        async with connect.connect(str(plane.kubeconfig)) as api:
            await objects.create(api, config_map(namespace, "busy", n="0"))
            decided = 0

            def decide(object: dict[str, Any]) -> dict[str, Any]:
                nonlocal decided
                decided += 1
                plane.kubectl("annotate", "configmap", "busy", "-n", namespace, "--overwrite", f"n={decided}")
                return {**object, "data": {"n": "mine"}}

            with pytest.raises(errors.Conflict, match="modified"):
                await objects.change(api, served.CONFIG_MAP, key, decide)
            assert decided == objects.ATTEMPTS
            assert (await objects.get(api, served.CONFIG_MAP, key))["data"] == {"n": "0"}

    asyncio.run(body())


def test_a_finalizer_keeps_an_object_until_it_is_removed(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        key = Key(namespace=namespace, name="app")
        async with connect.connect(str(plane.kubeconfig)) as api:
            await objects.apply(api, application(namespace), manager="test")
            await objects.add_finalizer(api, served.APPLICATION, key, "bpfman.io/one")
            await objects.add_finalizer(api, served.APPLICATION, key, "bpfman.io/two")
            assert await objects.delete(api, served.APPLICATION, key)
            going = await objects.get(api, served.APPLICATION, key)
            assert going["metadata"]["deletionTimestamp"]
            late = await objects.add_finalizer(api, served.APPLICATION, key, "bpfman.io/late")
            assert late["metadata"]["finalizers"] == ["bpfman.io/one", "bpfman.io/two"]
            await objects.remove_finalizer(api, served.APPLICATION, key, "bpfman.io/one")
            assert (await objects.get(api, served.APPLICATION, key))["metadata"]["finalizers"] == ["bpfman.io/two"]
            # Decided on what was seen before: it is read and decided again.
            await objects.remove_finalizer(api, served.APPLICATION, key, "bpfman.io/two", seen=going)
            assert await objects.find(api, served.APPLICATION, key) is None
            await objects.remove_finalizer(api, served.APPLICATION, key, "bpfman.io/two")
            assert not await objects.delete(api, served.APPLICATION, key)

    asyncio.run(body())


def test_fields_of_others_stay_and_ones_own_go_with_an_apply(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        key = Key(namespace=namespace, name="shared")
        async with connect.connect(str(plane.kubeconfig)) as api:
            await objects.apply(api, config_map(namespace, "shared", mine="1", old="1"), manager="one")
            await objects.apply(api, config_map(namespace, "shared", theirs="1"), manager="two")
            await objects.apply(api, config_map(namespace, "shared", mine="2"), manager="one")
            assert (await objects.get(api, served.CONFIG_MAP, key))["data"] == {"mine": "2", "theirs": "1"}
            with pytest.raises(errors.Conflict, match="two"):
                await objects.apply(api, config_map(namespace, "shared", theirs="2"), manager="one", force=False)

    asyncio.run(body())


def test_errors_are_told_in_our_words(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        key = Key(namespace=namespace, name="none")
        async with connect.connect(str(plane.kubeconfig)) as api:
            with pytest.raises(errors.NotFound, match=f"get ConfigMap {namespace}/none"):
                await objects.get(api, served.CONFIG_MAP, key)
            await objects.create(api, config_map(namespace, "there"))
            with pytest.raises(errors.AlreadyExists):
                await objects.create(api, config_map(namespace, "there"))
            wrong = application(namespace)
            wrong["spec"]["programs"][0]["type"] = "Nonsense"
            with pytest.raises(errors.InvalidRequest, match="Nonsense"):
                await objects.create(api, wrong)
            with pytest.raises(errors.NotFound, match="did you mean BpfApplication"):
                await objects.create(api, {**wrong, "kind": "BpfAplication"})
            names = {found["metadata"]["name"] for found in await objects.every(api, served.NAMESPACE)}
            assert {namespace, "kube-system"} <= names

    asyncio.run(body())


async def myself(api: connect.Api) -> str:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    return str((await objects.create(api, review))["status"]["userInfo"]["username"])


def kubeconfig(plane: ControlPlane, path: Path, **user: str) -> str:
    """Like the control plane's own, with other credentials."""
    made = json.loads(plane.kubeconfig.read_text())
    made["users"][0]["user"] = user
    path.write_text(json.dumps(made))
    return str(path)


def test_a_certificate_that_is_renewed_is_used(plane: ControlPlane, tmp_path: Path) -> None:
    """As kubelet does it: the key and the certificate are replaced one after the other, by renaming."""

    async def body() -> None:
        crt, key = tmp_path / "client.crt", tmp_path / "client.key"
        crt.write_bytes((plane.directory / "admin.crt").read_bytes())
        key.write_bytes((plane.directory / "admin.key").read_bytes())
        named = {"client-certificate": str(crt), "client-key": str(key)}
        async with connect.connect(kubeconfig(plane, tmp_path / "kubeconfig", **named)) as api:
            assert await myself(api) == "admin"
            for file, newer in ((key, "scheduler.key"), (crt, "scheduler.crt")):
                (tmp_path / "new").write_bytes((plane.directory / newer).read_bytes())
                os.replace(tmp_path / "new", file)
                if file is key:
                    assert await myself(api) == "admin", "until both are there, the old pair is good"
            assert await myself(api) == "system:kube-scheduler"

    asyncio.run(body())


def test_a_token_that_is_renewed_is_used(plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    async def body() -> None:
        plane.kubectl("create", "serviceaccount", "agent", "-n", namespace)
        token = tmp_path / "token"
        token.write_text("an expired one")
        async with connect.connect(kubeconfig(plane, tmp_path / "kubeconfig", tokenFile=str(token))) as api:
            with pytest.raises(errors.Denied, match="post SelfSubjectReview"):
                await myself(api)
            token.write_text(plane.kubectl("create", "token", "agent", "-n", namespace).strip())
            assert await myself(api) == f"system:serviceaccount:{namespace}:agent"

    asyncio.run(body())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no kubeconfig"),
        ("{", "expected"),
        ("[]", "no kubeconfig"),
        ("{}", "nothing of 'clusters'"),
        ("clusters: []\ncontexts: []\nusers: []\n", "current context"),
        ("clusters: []\ncontexts: []\nusers: []\ncurrent-context: x\n", "'x' not found"),
        ("clusters: []\ncontexts: [{name: x, context: {cluster: y}}]\ncurrent-context: x\n", "nothing of 'y'"),
        (
            "clusters: [{name: y, cluster: {}}]\ncontexts: [{name: x, context: {cluster: y}}]\ncurrent-context: x\n",
            "user",
        ),
        (
            "clusters: [{name: y, cluster: {certificate-authority: none}}]\nusers: [{name: z, user: {token: t}}]\n"
            "contexts: [{name: x, context: {cluster: y, user: z}}]\ncurrent-context: x\n",
            "No such file",
        ),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(errors.InvalidRequest, match=why) as told:
        connect.connect(str(path))
    assert str(path) in told.value.what


def test_no_kubeconfig_at_all_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(errors.InvalidRequest, match="No such file"):
        connect.connect()


def test_an_api_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    async def body() -> None:
        written = {
            "clusters": [{"name": "y", "cluster": {"server": "https://127.0.0.1:1"}}],
            "users": [{"name": "z", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "y", "user": "z"}}],
            "current-context": "x",
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(written))
        async with connect.connect(str(tmp_path / "kubeconfig")) as api:
            with pytest.raises(errors.Unavailable):
                await objects.get(api, served.NODE, Key(name="x"))

    asyncio.run(body())
