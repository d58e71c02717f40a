"""Who may do what: with real tokens, asked of a real API server."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from skep.kube import kinds, naming
from tests.kube.plane import ControlPlane, until


def account(plane: ControlPlane, namespace: str, name: str) -> str:
    """A service account; what bindings call it."""
    plane.kubectl("create", "serviceaccount", name, "-n", namespace)
    return f"--serviceaccount={namespace}:{name}"


def application(kind: str, **about: str) -> dict[str, Any]:
    return {
        "apiVersion": kinds.API_VERSION,
        "kind": kind,
        "metadata": {"name": "counter", **about},
        "spec": {
            "nodeSelector": {},
            "byteCode": {"path": "/opt/count.o"},
            "programs": [{"name": "count", "type": "XDP", "xdp": {}}],
        },
    }


def state(node: str, **about: str) -> dict[str, Any]:
    return {
        "apiVersion": kinds.API_VERSION,
        "kind": "BpfApplicationState",
        "metadata": {
            "name": naming.state_name("counter", node), "labels": naming.state_labels("counter", node), **about
        },
    }  # fmt: skip


def forbidden(plane: ControlPlane, who: Path, *objects: dict[str, Any]) -> str:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        plane.apply(*objects, kubeconfig=who)
    said = str(refused.value.stderr)
    assert "forbidden" in said.lower(), said
    return said


def may(plane: ControlPlane, who: Path, *words: str) -> bool:
    return plane.kubectl("auth", "can-i", *words, kubeconfig=who, check=False).startswith("yes")


def test_a_namespaced_editor_keeps_to_its_namespace(plane: ControlPlane, namespace: str) -> None:
    whom = account(plane, namespace, "tenant")
    plane.kubectl("create", "rolebinding", "tenant", "-n", namespace, "--clusterrole=bpfapplication-editor-role", whom)
    tenant = plane.kubeconfig_for(namespace, "tenant")
    mine = application("BpfApplication", namespace=namespace)
    until("the binding is known", lambda: plane.apply(mine, kubeconfig=tenant))
    assert "counter" in plane.kubectl("get", "ba", "-n", namespace, "-o", "name", kubeconfig=tenant)
    assert may(plane, tenant, "list", "bpfapplicationstates", "-n", namespace)
    forbidden(plane, tenant, application("BpfApplication", namespace="default"))
    forbidden(plane, tenant, application("ClusterBpfApplication"))
    forbidden(plane, tenant, state("node-rbac", namespace=namespace))
    for words in (
        ("get", "bpfapplications", "-n", "default"),
        ("list", "clusterbpfapplications"),
        ("get", "configs"),
        ("get", "secrets", "-n", namespace),
        ("patch", "bpfapplications", "--subresource=status", "-n", namespace),
        ("delete", "bpfapplicationstates", "-n", namespace),
    ):
        assert not may(plane, tenant, *words), words
    plane.kubectl("delete", "ba", "counter", "-n", namespace, kubeconfig=tenant)


def test_another_namespaces_secret_is_no_way_out(plane: ControlPlane, namespace: str) -> None:
    """Upstream's agent may read every secret, and takes the namespace from the object."""
    whom = account(plane, namespace, "tenant")
    plane.kubectl("create", "rolebinding", "tenant", "-n", namespace, "--clusterrole=bpfapplication-editor-role", whom)
    tenant = plane.kubeconfig_for(namespace, "tenant")
    wanted = application("BpfApplication", namespace=namespace)
    until("the binding is known", lambda: plane.apply(wanted, kubeconfig=tenant))
    secret = {"name": "login", "namespace": "kube-system"}
    wanted["spec"]["byteCode"] = {"image": {"url": "registry.example/count", "imagePullSecret": secret}}
    with pytest.raises(subprocess.CalledProcessError) as refused:
        plane.apply(wanted, kubeconfig=tenant)
    assert "uses secrets of its own namespace" in refused.value.stderr


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: kind.name)
def test_each_kind_has_an_editor_and_a_viewer(plane: ControlPlane, namespace: str, kind: kinds.Kind) -> None:
    for who, rights in (("viewer", {"get", "list", "watch"}), ("editor", {"get", "list", "create", "patch", "delete"})):
        whom = account(plane, namespace, who)
        role = f"{kind.name.lower()}-{who}-role"
        plane.kubectl("create", "clusterrolebinding", f"{namespace}-{role}", f"--clusterrole={role}", whom)
        config = plane.kubeconfig_for(namespace, who)
        until("the binding is known", lambda config=config: may(plane, config, "get", kind.plural))  # type: ignore[misc]
        for verb in ("get", "list", "watch", "create", "patch", "delete"):
            if verb != "watch" or who == "viewer":
                assert may(plane, config, verb, kind.plural) is (verb in rights), verb
        assert may(plane, config, "get", kind.plural, "--subresource=status")
        assert not may(plane, config, "patch", kind.plural, "--subresource=status"), (
            "that is the operator's and agents'"
        )


def test_who_may_view_a_namespace_views_its_applications(plane: ControlPlane, namespace: str) -> None:
    whom = account(plane, namespace, "watcher")
    plane.kubectl("create", "rolebinding", "watcher", "-n", namespace, "--clusterrole=view", whom)
    watcher = plane.kubeconfig_for(namespace, "watcher")
    until("the role is added up", lambda: may(plane, watcher, "list", "bpfapplications", "-n", namespace))
    assert may(plane, watcher, "get", "bpfapplicationstates", "-n", namespace)
    assert not may(plane, watcher, "create", "bpfapplications", "-n", namespace)
    assert not may(plane, watcher, "list", "clusterbpfapplications")


def test_who_may_edit_a_namespace_loads_programs_only_if_somebody_says_so(plane: ControlPlane, namespace: str) -> None:
    """A probe reads kernel memory, and to edit a namespace is not to read the node's."""
    whom = account(plane, namespace, "developer")
    plane.kubectl("create", "rolebinding", "developer", "-n", namespace, "--clusterrole=edit", whom)
    developer = plane.kubeconfig_for(namespace, "developer")
    create = ("create", "bpfapplications", "-n", namespace)
    until("the role is added up", lambda: may(plane, developer, "list", "bpfapplications", "-n", namespace))
    assert not may(plane, developer, *create)
    role, label = "bpfapplication-editor-role", "rbac.authorization.k8s.io/aggregate-to-edit"
    plane.kubectl("label", "clusterrole", role, f"{label}=true")
    try:
        until("the role is added up", lambda: may(plane, developer, *create))
    finally:
        plane.kubectl("label", "clusterrole", role, f"{label}-")
    until("the role is taken back", lambda: not may(plane, developer, *create))


NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-rbac"}}


def agent(plane: ControlPlane, namespace: str, bound: dict[str, str] | None = None) -> Path:
    whom = account(plane, namespace, naming.ACCOUNT)
    plane.kubectl("create", "clusterrolebinding", f"{namespace}-agent", "--clusterrole=bpfman-agent-role", whom)
    config = plane.kubeconfig_for(namespace, naming.ACCOUNT, bound)
    until("the binding is known", lambda: may(plane, config, "create", "bpfapplicationstates", "-n", namespace))
    return config


def test_an_agent_writes_of_its_own_node_only(plane: ControlPlane, namespace: str) -> None:
    plane.apply(NODE)
    mine = agent(plane, namespace, {"apiVersion": "v1", "kind": "Node", "name": "node-rbac"})
    until("the policy is in force", lambda: plane.apply(state("node-rbac", namespace=namespace), kubeconfig=mine))
    said = forbidden(plane, mine, state("node-b", namespace=namespace))
    assert "the agent of node node-rbac may not write for node node-b" in said
    plane.apply(state("node-b", namespace=namespace))
    other, status = (
        naming.state_name("counter", "node-b"),
        '{"status": {"node": "node-b", "updateCount": 1, "appLoadStatus": "NotLoaded"}}',
    )
    for words in (
        ("patch", "bas", other, "--type=merge", "-p", '{"metadata": {"finalizers": null, "labels": {"a": "b"}}}'),
        ("patch", "bas", other, "--type=merge", "--subresource=status", "-p", status),
        ("label", "bas", other, "--overwrite", f"{naming.HOSTNAME}=node-rbac"),
        ("delete", "bas", other),
    ):
        said = plane.kubectl(*words, "-n", namespace, kubeconfig=mine, check=False)
        assert "the agent of node node-rbac may not write for node" in said and "node-b" in said, words
    plane.kubectl("delete", "bas", naming.state_name("counter", "node-rbac"), "-n", namespace, kubeconfig=mine)


def test_an_agent_changes_no_application(plane: ControlPlane, namespace: str) -> None:
    mine = agent(plane, namespace)
    for kind in ("BpfApplication", "ClusterBpfApplication"):
        about = {"namespace": namespace} if kind == "BpfApplication" else {}
        forbidden(plane, mine, application(kind, **about))
    for words in (("get", "secrets"), ("list", "secrets"), ("create", "pods"), ("patch", "nodes"), ("get", "configs")):
        assert not may(plane, mine, *words, "-A"), words
