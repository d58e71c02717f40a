"""OLM as a way to install: what it makes out of the bundle, made in its stead, since OLM itself cannot run here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from skep.kube import bundle
from tests.kube import images
from tests.kube.install_rig import Way
from tests.kube.plane import until
from tests.kube.story_rig import SYSTEM, Story
from tests.parts import CHECKOUT

DEPLOY = CHECKOUT / "deploy"
POLICIES = (f"-f={DEPLOY / 'policies'}", f"-f={DEPLOY / 'rbac/node-restriction.yaml'}")
"""What a bundle cannot hold, applied as the documentation says."""
RBAC = "rbac.authorization.k8s.io"

Object = dict[str, Any]  # Any: JSON


def made() -> list[Object]:
    """What OLM makes of the bundle: its objects, and for each account of the install strategy its roles."""
    files = bundle.files(DEPLOY, images.SKEP)
    objects = [yaml.safe_load(text) for path, text in files.items() if path.startswith("manifests/")]
    (version,) = (each for each in objects if each["kind"] == "ClusterServiceVersion")
    return [
        json.loads(version["metadata"]["annotations"]["operatorframework.io/suggested-namespace-template"]),
        *(each for each in objects if each is not version),
        *_strategy(version["metadata"]["name"], version["spec"]["install"]["spec"]),
    ]


def _strategy(version: str, install: Object) -> Iterator[Object]:
    accounts = {each["serviceAccountName"] for name in ("permissions", "clusterPermissions") for each in install[name]}
    for account in sorted(accounts):
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": SYSTEM}}
    for name, cluster in (("permissions", ""), ("clusterPermissions", "Cluster")):
        for number, each in enumerate(install[name]):
            about: Object = {
                "name": f"{version}-{cluster.lower()}{number}",
                **({} if cluster else {"namespace": SYSTEM}),
            }
            subject = {"kind": "ServiceAccount", "name": each["serviceAccountName"], "namespace": SYSTEM}
            role = {"apiGroup": RBAC, "kind": f"{cluster}Role", "name": about["name"]}
            common: Object = {"apiVersion": f"{RBAC}/v1", "metadata": about}
            yield {**common, "kind": f"{cluster}Role", "rules": each["rules"]}
            yield {**common, "kind": f"{cluster}RoleBinding", "roleRef": role, "subjects": [subject]}
    for each in install["deployments"]:
        about = {"name": each["name"], "namespace": SYSTEM, "labels": {**each["label"], "olm.owner": version}}
        yield {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": about, "spec": each["spec"]}


def _written() -> str:
    return "\n---\n".join(map(json.dumps, made()))


def install(story: Story) -> None:
    """In OLM's order: CRDs and roles, then the Deployment."""
    story.kubectl("apply", "--server-side", "-f", "-", input=_written())
    story.kubectl("apply", "--server-side", *POLICIES)
    story.kubectl("rollout", "status", "-n", SYSTEM, "deployment/bpfman-operator", "--timeout=90s")
    until("the DaemonSet is there", lambda: story.plane.get("daemonset", "bpfman-daemon", namespace=SYSTEM), 60)
    story.kubectl("rollout", "status", "-n", SYSTEM, "daemonset/bpfman-daemon", "--timeout=90s")


def uninstall(story: Story) -> None:
    """The operator stays until OLM removes it, which also leaves CRDs."""
    story.skep("kube", "clean", "--keep-operator")
    story.kubectl("delete", *POLICIES)
    story.kubectl("delete", "-f", "-", "--timeout=90s", input=_written())


WAY = Way(install=install, uninstall=uninstall)
