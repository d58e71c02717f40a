"""Logins out of pull secrets, and whose secrets an application may name."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

import pytest

from skep import errors, model
from skep.kube import resources
from skep.kube.agent import login
from tests.unit.kube.agent import world


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def secret(entries: dict[str, Any], *, kind: str = "kubernetes.io/dockerconfigjson") -> dict[str, Any]:
    name, content = (".dockercfg", entries) if kind.endswith("cfg") else (".dockerconfigjson", {"auths": entries})
    return {
        "metadata": {"namespace": "green", "name": "pull"},
        "type": kind,
        "data": {name: encoded(json.dumps(content))},
    }


ME = model.Login(username="me", password="pa:ss")


@pytest.mark.parametrize("kind", ["kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"])
@pytest.mark.parametrize(
    ("server", "entry", "url"),
    [
        ("quay.io", {"auth": encoded("me:pa:ss")}, "quay.io/a/b:v1"),
        ("quay.io", {"username": "me", "password": "pa:ss"}, "quay.io/a/b:v1"),
        ("https://index.docker.io/v1/", {"username": "me", "password": "pa:ss"}, "a/b"),
        ("quay.io/a", {"auth": encoded("me:pa:ss")}, "quay.io/a/b@sha256:" + "0" * 64),
        ("127.0.0.1:5000", {"auth": encoded("me:pa:ss")}, "127.0.0.1:5000/b"),
    ],
)
def test_found(kind: str, server: str, entry: dict[str, str], url: str) -> None:
    others = {"other.example": {"auth": encoded("x:y")}}
    assert login.login(url, secret({**others, server: entry}, kind=kind)) == ME


def test_another_registry() -> None:
    assert login.login("quay.io/a/b", secret({"ghcr.io": {"auth": encoded("me:x")}})) is None


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({**secret({}), "type": "Opaque"}, "is no pull secret: its type is Opaque"),
        ({**secret({}), "data": {}}, "is not there or not JSON"),
        ({**secret({}), "data": {".dockerconfigjson": "%%%"}}, "is not there or not JSON"),
        ({**secret({}), "data": {".dockerconfigjson": encoded("no json")}}, "cannot be read"),
        ({**secret({}, kind="kubernetes.io/dockercfg"), "data": {".dockercfg": encoded("{")}}, "not JSON"),
        (secret({"quay.io": {"auth": "%%%"}}), "cannot be read"),
    ],
)
def test_wrong_ones_name_the_secret_and_keep_it(document: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.InvalidRequest) as told:
        login.login("quay.io/a/b", document)
    assert words in str(told.value)
    assert "green/pull" in str(told.value)


def named(kind: str, namespace: str) -> tuple[str, str] | None:
    image = {"url": "quay.io/a/b", "imagePullSecret": {"name": "pull", "namespace": namespace}}
    return login.secret(world.application(kind=kind, byteCode={"image": image}))


def test_a_namespaced_application_names_no_other_namespaces_secret() -> None:
    assert named("BpfApplication", "green") == ("green", "pull")
    assert named("ClusterBpfApplication", "blue") == ("blue", "pull")
    assert login.secret(world.application()) is None


def test_what_a_namespaced_application_may_not_name() -> None:
    """The object is refused already; should it ever get through, the login is not given out."""
    with pytest.raises(errors.SkepError):
        named("BpfApplication", "blue")
    image = resources.Image(url="quay.io/a", policy=model.PullPolicy.ALWAYS, secret=("blue", "pull"))
    with pytest.raises(errors.Denied, match="only use that namespace's"):
        login.secret(dataclasses.replace(world.application(kind="BpfApplication"), byte_code=image))
