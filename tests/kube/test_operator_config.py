"""A Config becomes objects in a real cluster, and stays so whatever others do to them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skep.kube import naming
from skep.kube.operator import records
from tests.kube import operator_rig as rig
from tests.kube.plane import ControlPlane, until

MADE = (
    ("serviceaccount", naming.ACCOUNT, True),
    ("configmap", naming.CONFIG, True),
    ("csidriver", naming.DRIVER, False),
    ("clusterrolebinding", "bpfman-agent-rolebinding", False),
    ("daemonset", naming.DAEMON_SET, True),
)


@pytest.fixture(scope="module", autouse=True)
def prepared(plane: ControlPlane) -> None:
    rig.prepare(plane)


@pytest.fixture
def clean(plane: ControlPlane) -> Iterator[None]:
    """No Config and none of its objects, before and after."""
    yield
    plane.kubectl(
        "patch", "config", naming.CONFIG, "--type=merge", "-p", '{"metadata":{"finalizers":null}}', check=False
    )
    plane.kubectl("delete", "config", naming.CONFIG, "--ignore-not-found")
    until("all is collected", lambda: not there(plane, None))


def there(plane: ControlPlane, namespace: str | None) -> dict[str, dict[str, Any]]:
    """Kind -> object, of what the operator makes; with None in every namespace."""
    found = {}
    for kind, name, namespaced in MADE:
        for each in plane.list(kind, namespace=namespace if namespaced else None):
            owners = [owner["kind"] for owner in each["metadata"].get("ownerReferences", [])]
            if each["metadata"]["name"] == name and owners == ["Config"]:
                found[kind] = each
    return found


def all_there(plane: ControlPlane, namespace: str) -> dict[str, dict[str, Any]]:
    found = there(plane, namespace)
    assert len(found) == len(MADE), sorted(found)
    return found


def test_a_config_becomes_objects_and_pods(plane: ControlPlane, namespace: str, tmp_path: Path, clean: None) -> None:
    plane.apply(rig.config(namespace))
    with rig.nodes(plane, rig.node("config-a"), rig.node("config-b")), rig.operator(plane, tmp_path):
        until("all of it", lambda: all_there(plane, namespace))

        def homes() -> list[str]:
            pods = plane.list("pod", namespace=namespace, labels="name=bpfman-daemon")
            found = sorted(map(records.home, pods))
            assert found == ["config-a", "config-b"], found
            return [each["metadata"]["name"] for each in pods]

        pods = until("a pod for each node", homes)
        config = rig.wait_for(plane, rig.config(namespace), "Pending", "0 of 2 pods are ready")
        assert config["status"]["namespace"] == namespace
        assert config["status"]["observedGeneration"] == config["metadata"]["generation"]
        assert naming.CONFIG_FINALIZER in config["metadata"]["finalizers"]
        for pod in pods:
            ready = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}
            plane.kubectl(
                "patch", "pod", pod, "-n", namespace, "--subresource=status", "--type=merge",
                "-p", json.dumps({"status": ready}),
            )  # fmt: skip
        config = rig.wait_for(plane, config, "Success", "runs on 2 nodes")
        assert config["status"]["desired"] == config["status"]["ready"] == 2


def test_the_default_config(plane: ControlPlane, tmp_path: Path, clean: None) -> None:
    with rig.operator(plane, tmp_path, "--image", "quay.io/example/skep:1", "--image-pull-policy", "Never"):
        until("all of it", lambda: all_there(plane, naming.NAMESPACE))
    spec = plane.get("config", naming.CONFIG)["spec"]
    assert spec["daemon"]["image"] == spec["agent"]["image"] == "quay.io/example/skep:1"
    assert spec["imagePullPolicy"] == "Never" and spec["namespace"] == naming.NAMESPACE


def test_what_is_there_stays_as_it_is_at_the_next_start(
    plane: ControlPlane, namespace: str, tmp_path: Path, clean: None
) -> None:
    plane.apply(rig.config(namespace))
    with rig.operator(plane, tmp_path, "--image", "another:1"):
        before = until("all of it", lambda: all_there(plane, namespace))
        rig.wait_for(plane, rig.config(namespace), "Success", "no node")
    with rig.operator(plane, tmp_path, "--image", "another:1") as second:
        until("it has looked", lambda: second.said("seeing all"))
        time.sleep(2)  # nothing can be waited for where nothing is to happen
        after = all_there(plane, namespace)
    assert versions(before) == versions(after)
    assert plane.get("config", naming.CONFIG)["spec"]["daemon"]["image"] == rig.IMAGE


def test_a_config_that_comes_with_the_installation(
    plane: ControlPlane, namespace: str, tmp_path: Path, clean: None
) -> None:
    """What it names is set at each start, what it no longer names is taken back, and what others have set stays."""
    written = tmp_path / "config.yaml"

    def installed(**spec: Any) -> Path:
        written.write_text(json.dumps(rig.config(namespace, **spec)))
        return written

    with rig.operator(plane, tmp_path, "--config-object", str(installed(csi={"logLevel": "debug"}))):
        before = until("all of it", lambda: all_there(plane, namespace))["daemonset"]["metadata"]["uid"]
    change = {"spec": {"agent": {"metricsPort": 9100}, "csi": {"logLevel": "warning"}, "imagePullPolicy": "Always"}}
    plane.kubectl("patch", "config", naming.CONFIG, "--type=merge", "-p", json.dumps(change))
    with rig.operator(plane, tmp_path, "--config-object", str(installed(daemon={"image": "another:1"}))):

        def now() -> dict[str, Any]:
            spec: dict[str, Any] = plane.get("config", naming.CONFIG)["spec"]
            assert spec["daemon"]["image"] == "another:1"
            return spec

        spec = until("it is as the installation says", now)
        assert spec["imagePullPolicy"] == "Never" and spec["agent"]["metricsPort"] == 9100
        assert all_there(plane, namespace)["daemonset"]["metadata"]["uid"] == before
        plane.kubectl("delete", "config", naming.CONFIG, "--timeout=30s")
        time.sleep(1)  # nothing can be waited for where nothing is to happen
        assert not plane.get("config", naming.CONFIG), "who deletes it means it"


def versions(objects: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {kind: each["metadata"]["resourceVersion"] for kind, each in objects.items()}


def test_what_somebody_deletes_is_made_again(plane: ControlPlane, namespace: str, tmp_path: Path, clean: None) -> None:
    plane.apply(rig.config(namespace))
    with rig.operator(plane, tmp_path):
        before = until("all of it", lambda: all_there(plane, namespace))
        for kind, name, namespaced in MADE:
            plane.kubectl("delete", kind, name, *(("-n", namespace) if namespaced else ()))
        after = until("all of it, anew", lambda: _all_new(before, all_there(plane, namespace)))
    assert set(after) == set(before)


def _all_new(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    same = [kind for kind, each in after.items() if each["metadata"]["uid"] == before[kind]["metadata"]["uid"]]
    assert not same, same
    return after


def test_what_somebody_changes_is_changed_back_and_what_is_theirs_is_left(
    plane: ControlPlane, namespace: str, tmp_path: Path, clean: None
) -> None:
    plane.apply(rig.config(namespace))

    def patch(kind: str, name: str, document: object, *, namespaced: bool = True) -> None:
        where = ("-n", namespace) if namespaced else ()
        # JSON's merge patch, as somebody who edits the object.
        plane.kubectl("patch", kind, name, *where, "--type=merge", "-p", json.dumps(document))

    with rig.operator(plane, tmp_path):
        until("all of it", lambda: all_there(plane, namespace))
        theirs = {"annotations": {"example.com/note": "theirs"}}
        patch("configmap", naming.CONFIG, {"metadata": theirs, "data": {"bpfman.toml": "", "more": "theirs"}})
        patch("csidriver", naming.DRIVER, {"metadata": theirs, "spec": {"podInfoOnMount": False}}, namespaced=False)
        patch(
            "clusterrolebinding", "bpfman-agent-rolebinding",
            {"subjects": [{"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}]},
            namespaced=False,
        )  # fmt: skip
        patch(
            "daemonset", naming.DAEMON_SET,
            {"metadata": theirs, "spec": {"template": {"spec": {"hostPID": False, "runtimeClassName": "theirs"}}}},
        )  # fmt: skip

        def repaired() -> bool:
            now = all_there(plane, namespace)
            assert now["configmap"]["data"]["bpfman.toml"] == 'lock_timeout = "20s"\n'
            assert now["csidriver"]["spec"]["podInfoOnMount"] is True
            assert [each["name"] for each in now["clusterrolebinding"]["subjects"]] == [naming.ACCOUNT]
            pod = now["daemonset"]["spec"]["template"]["spec"]
            assert pod["hostPID"] is True
            # Not named by us, so not ours.
            assert pod["runtimeClassName"] == "theirs" and now["configmap"]["data"]["more"] == "theirs"
            for kind in ("configmap", "csidriver", "daemonset"):
                assert now[kind]["metadata"]["annotations"]["example.com/note"] == "theirs"
            return True

        until("all is as it should be", repaired)


def template(plane: ControlPlane, namespace: str) -> dict[str, Any]:
    found = plane.get("daemonset", naming.DAEMON_SET, namespace=namespace)
    made: dict[str, Any] = found["spec"]["template"]
    return made


def test_a_changed_config_changes_the_pods(plane: ControlPlane, namespace: str, tmp_path: Path, clean: None) -> None:
    plane.apply(rig.config(namespace))
    with rig.operator(plane, tmp_path):
        until("all of it", lambda: all_there(plane, namespace))
        before = template(plane, namespace)
        tolerations = [{"key": "gpu", "operator": "Exists"}]
        affinity = {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "pool", "operator": "Exists"}]}]
                }
            }
        }
        daemon = {
            "image": "localhost/skep:2", "logLevel": "debug", "tolerations": tolerations, "affinity": affinity,
            "nodeSelector": {"pool": "a"}, "resources": {"limits": {"memory": "1Gi"}},
        }  # fmt: skip
        plane.apply(rig.config(namespace, daemon=daemon, configuration='lock_timeout = "9s"\n'))

        def changed() -> dict[str, Any]:
            now = template(plane, namespace)
            assert now["spec"]["containers"][0]["image"] == "localhost/skep:2"
            return now

        after = until("the new image", changed)
        assert after["spec"]["tolerations"] == tolerations and after["spec"]["affinity"] == affinity
        assert after["spec"]["nodeSelector"] == {"pool": "a"}
        assert after["spec"]["containers"][0]["resources"] == {"limits": {"memory": "1Gi"}}
        digest = "bpfman.io/configuration-digest"
        assert after["metadata"]["annotations"][digest] != before["metadata"]["annotations"][digest]
        assert "lock_timeout" not in json.dumps(after), "the pods' annotations hold no configuration"


def test_a_configuration_that_cannot_be_read_rolls_nothing(
    plane: ControlPlane, namespace: str, tmp_path: Path, clean: None
) -> None:
    plane.apply(rig.config(namespace))
    with rig.operator(plane, tmp_path):
        rig.wait_for(plane, rig.config(namespace), "Success")
        before = versions(all_there(plane, namespace))
        wrong = rig.config(namespace, configuration="[signing\n", daemon={"image": "never:1"})
        plane.apply(wrong)
        told = rig.wait_for(plane, wrong, "Error", "not TOML")
        assert told["status"]["observedGeneration"] == told["metadata"]["generation"]
        assert versions(all_there(plane, namespace)) == before
        plane.apply(rig.config(namespace))
        rig.wait_for(plane, wrong, "Success")


def test_another_namespace(plane: ControlPlane, namespace: str, tmp_path: Path, clean: None) -> None:
    plane.apply(rig.config(namespace))
    other = f"{namespace}-other"
    with rig.operator(plane, tmp_path):
        rig.wait_for(plane, rig.config(namespace), "Success")
        plane.apply(rig.config(other))
        rig.wait_for(plane, rig.config(other), "Error", f"there is no namespace {other}; create it")
        assert plane.list("daemonset", namespace=namespace), "until then it runs where it ran"
        plane.kubectl("create", "namespace", other)
        until("all of it there", lambda: all_there(plane, other))
        assert rig.wait_for(plane, rig.config(other), "Success")["status"]["namespace"] == other
        until("nothing is left", lambda: not plane.list("daemonset", namespace=namespace))
        assert [each["namespace"] for each in all_there(plane, other)["clusterrolebinding"]["subjects"]] == [other]


def test_what_is_unmanaged_is_left_alone(plane: ControlPlane, namespace: str, tmp_path: Path, clean: None) -> None:
    override = {
        "apiVersion": "v1", "kind": "ConfigMap", "namespace": namespace, "name": naming.CONFIG, "unmanaged": True,
    }  # fmt: skip
    plane.apply(rig.config(namespace, overrides=[override]))
    with rig.operator(plane, tmp_path):
        until("the rest", lambda: len(there(plane, namespace)) == len(MADE) - 1)
        rig.wait_for(plane, rig.config(namespace), "Success")
        assert "configmap" not in there(plane, namespace)
        plane.apply(rig.config(namespace))
        until("all of it", lambda: all_there(plane, namespace))


def test_a_deleted_config_takes_everything_with_it(
    plane: ControlPlane, namespace: str, tmp_path: Path, clean: None
) -> None:
    plane.apply(rig.config(namespace))
    with rig.operator(plane, tmp_path):
        until("all of it", lambda: all_there(plane, namespace))
        plane.kubectl("delete", "config", naming.CONFIG, "--timeout=20s")
        until("all is collected", lambda: not there(plane, None))
        # and the operator goes on
        plane.apply(rig.config(namespace))
        until("all of it", lambda: all_there(plane, namespace))


def test_a_pod_that_the_api_server_would_refuse_is_told(
    plane: ControlPlane, namespace: str, tmp_path: Path, clean: None
) -> None:
    plane.apply(rig.config(namespace, daemon={"image": rig.IMAGE, "affinity": {"nodeAffinity": {"wrong": 1}}}))
    with rig.operator(plane, tmp_path):
        rig.wait_for(plane, rig.config(namespace), "Error", "wrong")
