"""Images out of registries: with the logins that applications name, and on each node by itself."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.image import rig
from tests.kube import node_agents, nodes
from tests.kube.nodes import application
from tests.kube.plane import ControlPlane, until

LOGIN = base64.b64encode(f"{rig.USER}:{rig.PASSWORD}".encode()).decode()


@pytest.fixture(scope="module")
def two(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[nodes.Node, nodes.Node]]:
    """They share this host's loopback, where the registries are."""
    directory = tmp_path_factory.mktemp("nodes")
    with (
        nodes.node(plane, directory, own_network=False) as first,
        nodes.node(plane, directory, own_network=False) as second,
    ):
        yield first, second


@pytest.fixture
def name(plane: ControlPlane, two: tuple[nodes.Node, nodes.Node], request: pytest.FixtureRequest) -> Iterator[str]:
    made = request.node.name.partition("[")[0].removeprefix("test_").replace("_", "-")[:50].rstrip("-")
    yield made
    plane.kubectl("delete", "clusterbpfapplications", "--all", "--wait=false")
    nodes.gone(*two)


def pushed(one: nodes.Node, registry: rig.Real, directory: Path, login: Mapping[str, str] | None = None) -> str:
    """An image in a registry."""
    source, url = one.image(directory, "count"), f"{registry.host}/a/count:v1"
    one.daemon.cli("image", "push", source, url, check=True, **dict(login or {}))
    return url


def granted(plane: ControlPlane, name: str) -> None:
    """What the operator does for a secret that an application names."""
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": f"skep-{name}"}
    plane.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": f"skep-{name}", "namespace": "default"},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": ["get"]}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": f"skep-{name}", "namespace": "default"},
            "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", "name": node_agents.naming.ACCOUNT, "namespace": nodes.PLACE}],
        },
    )


def test_one_node_without_the_image_does_not_keep_the_others(
    plane: ControlPlane, two: tuple[nodes.Node, nodes.Node], name: str, tmp_path: Path
) -> None:
    good, bad = two
    with rig.real(tmp_path) as registry:
        url = pushed(good, registry, tmp_path)
        good.daemon.cli("image", "pull", url)
        made = application(name, url)
        made["spec"]["byteCode"]["image"]["imagePullPolicy"] = "Never"
        plane.apply(made)
        good.becomes(name, "Success", "1 program loaded")
        status = bad.becomes(name, "Error", "the pull policy Never forbids to ask its registry")
        assert status["appLoadStatus"] == "LoadError"
        assert status["programs"][0]["programLinkStatus"] == "Error"
        bad.daemon.cli("image", "pull", url)
        bad.becomes(name, "Success", "1 program loaded")


@pytest.mark.parametrize("kind", ["kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"])
def test_a_secret_logs_in(
    plane: ControlPlane, two: tuple[nodes.Node, nodes.Node], name: str, tmp_path: Path, kind: str
) -> None:
    one, _ = two
    name += kind[-3:]
    with rig.real(tmp_path, htpasswd=True) as registry:
        url = pushed(one, registry, tmp_path, {"DOCKER_CONFIG": str(_config(tmp_path, registry))})
        made = application(name, url)
        made["spec"]["byteCode"]["image"]["imagePullSecret"] = {"name": name, "namespace": "default"}
        plane.apply(made)
        one.becomes(name, "Error", "secrets")
        assert one.programs() == ()
        entry = {registry.host: {"auth": LOGIN}}
        file = {".dockercfg": entry} if kind.endswith("cfg") else {".dockerconfigjson": {"auths": entry}}
        text = {key: json.dumps(value) for key, value in file.items()}
        plane.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "stringData": text}
        )
        granted(plane, name)
        one.becomes(name, "Success", "1 program loaded")
    assert LOGIN not in one.logs.read_text()
    plane.kubectl("label", "node", one.name, "touched=yes", "--overwrite")
    until("still well", lambda: one.condition(name)[0] == "Success")


def _config(directory: Path, registry: rig.Real) -> Path:
    """The login where skep looks for the user's own."""
    place = directory / "docker"
    place.mkdir()
    (place / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": LOGIN}}}))
    return place


def test_the_registry_is_not_asked_again_for_what_is_loaded(
    plane: ControlPlane, two: tuple[nodes.Node, nodes.Node], name: str, tmp_path: Path
) -> None:
    """An image with the policy Always, whose registry is gone when a pod comes or an interface does."""
    one, _ = two
    with rig.real(tmp_path) as registry:
        made = application(name, pushed(one, registry, tmp_path))
        made["spec"]["byteCode"]["image"]["imagePullPolicy"] = "Always"
        plane.apply(made)
        before = one.becomes(name, "Success", "1 program loaded")
    plane.kubectl("label", "node", one.name, "touched=again", "--overwrite")
    one.kill()
    one.start()
    until("ready", one.ready)
    assert one.becomes(name, "Success") == before
