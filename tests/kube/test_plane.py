"""The control plane itself: that it is real, and that what it was told to have is there."""

from __future__ import annotations

import subprocess

import pytest

from tests.kube.plane import ControlPlane, until


def test_it_has_our_kinds(plane: ControlPlane) -> None:
    kinds = plane.kubectl("api-resources", "--api-group=bpfman.io", "--no-headers", "-o", "name").split()
    assert "bpfapplications.bpfman.io" in kinds and "clusterbpfapplicationstates.bpfman.io" in kinds


def test_what_an_object_owns_goes_with_it(plane: ControlPlane, namespace: str) -> None:
    plane.kubectl("create", "configmap", "owner", "-n", namespace)
    owner = plane.get("configmap", "owner", namespace=namespace)
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    plane.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "owned", "namespace": namespace, "ownerReferences": [reference]},
        }
    )
    plane.kubectl("delete", "configmap", "owner", "-n", namespace)
    until("it is collected", lambda: not plane.get("configmap", "owned", namespace=namespace))


def test_a_service_account_may_nothing_at_first(plane: ControlPlane, namespace: str) -> None:
    until("its account", lambda: plane.get("serviceaccount", "default", namespace=namespace))
    nobody = plane.kubeconfig_for(namespace, "default")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        plane.kubectl("get", "bpfapplications", "-n", namespace, kubeconfig=nobody)
    assert "forbidden" in refused.value.stderr.lower()


def test_the_api_server_comes_back_with_everything(plane: ControlPlane, namespace: str) -> None:
    plane.kubectl("create", "configmap", "kept", "-n", namespace)
    plane.restart_apiserver()
    assert plane.get("configmap", "kept", namespace=namespace)
