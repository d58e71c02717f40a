"""Agents as the API server sees them: the operator's account and role, and a token of a pod on a node."""

from __future__ import annotations

from pathlib import Path

from skep.kube import naming
from tests.kube.plane import ControlPlane, until


def account(plane: ControlPlane, namespace: str) -> None:
    """The agents' account in a namespace, with their role."""
    plane.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": naming.ACCOUNT, "namespace": namespace}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"{namespace}-agents"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bpfman-agent-role"},
            "subjects": [{"kind": "ServiceAccount", "name": naming.ACCOUNT, "namespace": namespace}],
        },
    )


def agent(plane: ControlPlane, namespace: str, node: str) -> Path:
    """A kubeconfig with the token of the agent's pod on a node; ``account`` comes first.

    The pod is over, so that nobody who looks for pods finds it; its token goes on.
    """
    name = f"agent-{node}"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "nodeName": node,
            "hostNetwork": True,
            "serviceAccountName": naming.ACCOUNT,
            "containers": [{"name": "agent", "image": "localhost/none"}],
        },
    }
    until("the agent's pod", lambda: plane.apply(pod))
    over = '{"status":{"phase":"Succeeded"}}'
    plane.kubectl("patch", "pod", name, "-n", namespace, "--subresource=status", "--type=merge", "-p", over)
    made = plane.kubeconfig_for(namespace, naming.ACCOUNT, {"apiVersion": "v1", "kind": "Pod", "name": name})
    return made.rename(made.with_name(f"{namespace}-{name}.kubeconfig"))
