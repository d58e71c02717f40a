"""Every object of deploy/ is applied to a real API server, to which OpenShift's and Prometheus' kinds are added.

deploy/openshift has all that deploy has, and monitoring; test_install.py lives with the rest.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from skep.kube import naming
from skep.kube.clean import cleaner
from tests import instance
from tests.kube import install_rig
from tests.kube.plane import ControlPlane
from tests.parts import CHECKOUT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of its own: what is applied here is all of it, and is deleted again."""
    with ControlPlane(tmp_path_factory.mktemp("manifests"), empty=True) as made:
        yield made


def make(plane: ControlPlane, *words: str) -> subprocess.CompletedProcess[str]:
    """``make``, for this cluster."""
    environment = {**instance.environment(), "KUBECONFIG": str(plane.kubeconfig), "SKEP": str(_skep(plane.directory)),
                   "KUBECTL": str(plane.programs / "kubectl")}  # fmt: skip
    return subprocess.run(
        ["make", "--no-print-directory", *words],
        capture_output=True, text=True, check=False, env=environment, cwd=CHECKOUT,
    )  # fmt: skip


def _skep(directory: Path) -> Path:
    script = directory / "skep"
    words = " ".join(f"'{word}'" for word in instance.command())
    script.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    os.chmod(script, 0o755)
    return script


def foreign(
    kind: str, group: str, *, namespaced: bool, required: tuple[str, ...], more: tuple[str, ...] = ()
) -> dict[str, Any]:
    """A CRD for somebody else's kind with the fields that the real one requires, and some more; no others are taken."""
    anything = {"x-kubernetes-preserve-unknown-fields": True}
    schema = {
        "type": "object", "properties": dict.fromkeys((*required, *more), anything), "required": list(required),
    }  # fmt: skip
    plural = kind.lower() if kind.endswith("s") else f"{kind.lower()}s"
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural},
            "scope": "Namespaced" if namespaced else "Cluster",
            "versions": [version],
        },
    }


REQUIRED = (
    "allowHostDirVolumePlugin", "allowHostIPC", "allowHostNetwork", "allowHostPID", "allowHostPorts",
    "allowPrivilegedContainer", "allowedCapabilities", "defaultAddCapabilities", "priority", "readOnlyRootFilesystem",
    "requiredDropCapabilities", "volumes",
)  # fmt: skip
"""Of SecurityContextConstraints (openshift/api, security/v1)."""
MORE = (
    "users", "groups", "allowPrivilegeEscalation", "defaultAllowPrivilegeEscalation", "runAsUser", "seLinuxContext",
    "fsGroup", "supplementalGroups", "seccompProfiles",
)  # fmt: skip
FOREIGN = (
    foreign("SecurityContextConstraints", "security.openshift.io", namespaced=False, required=REQUIRED, more=MORE),
    foreign("ServiceMonitor", "monitoring.coreos.com", namespaced=True, required=("spec",)),
    foreign("PrometheusRule", "monitoring.coreos.com", namespaced=True, required=("spec",)),
)


def test_every_object_is_taken_and_goes_again(empty: ControlPlane) -> None:
    empty.apply(*FOREIGN)
    empty.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    before = set(install_rig.objects(empty))
    directory = str(CHECKOUT / "deploy/openshift")
    empty.kubectl("apply", "--server-side", "--validate=strict", "-k", directory)
    wanted = [each for each in yaml.safe_load_all(empty.kubectl("kustomize", directory)) if each]
    there = set(install_rig.objects(empty))
    for each in wanted:
        about = each["metadata"]
        name = f"{each['kind']}.{each['apiVersion']} {about.get('namespace', '')}/{about['name']}"
        assert name in there, name
    _same_again(empty, directory)
    _may_use(empty)
    done = make(empty, "undeploy")
    assert done.returncode == 0, done.stderr
    after = set(install_rig.objects(empty))
    assert after == before, (after - before, before - after)


def _same_again(plane: ControlPlane, directory: str) -> None:
    """To apply it again changes nothing: no field is one that the API server writes otherwise."""
    asked = (
        "get",
        "-k",
        directory,
        "-o",
        "jsonpath={range .items[*]}{.metadata.name} {.metadata.generation}{'\\n'}{end}",
    )
    first = plane.kubectl(*asked)
    plane.kubectl("apply", "--server-side", "-k", directory)
    assert plane.kubectl(*asked) == first


def _may_use(plane: ControlPlane) -> None:
    """Who is given bpfman-user may use the constraints, and the nodes' accounts are bound to OpenShift's privileged."""
    plane.kubectl("create", "rolebinding", "reader", "--clusterrole=bpfman-user", "--serviceaccount=default:reader")
    asked = (
        "auth",
        "can-i",
        "use",
        "securitycontextconstraints.security.openshift.io/bpfman-restricted",
        "-n",
        "default",
    )
    for account, answer in (("reader", "yes"), ("other", "no")):
        said = plane.kubectl(*asked, f"--as=system:serviceaccount:default:{account}", check=False)
        assert answer in said.split(), said
    plane.kubectl("delete", "rolebinding", "reader")
    binding = plane.get("clusterrolebinding", "bpfman-privileged-scc")
    assert {each["name"] for each in binding["subjects"]} == {naming.ACCOUNT, cleaner.NAME}


def test_kinds_alone_and_an_application_that_keeps_them(empty: ControlPlane) -> None:
    assert make(empty, "install-crds").returncode == 0
    empty.kubectl("create", "-f", str(CHECKOUT / "deploy/samples/clusterbpfapplication-xdp.yaml"))
    refused = make(empty, "uninstall-crds")
    assert refused.returncode and "make undeploy" in refused.stderr, refused.stderr
    empty.kubectl("delete", "clusterbpfapplications", "--all")
    done = make(empty, "uninstall-crds")
    assert done.returncode == 0 and "bpfman.io" not in empty.kubectl("get", "crds", "-o", "name"), done.stderr
