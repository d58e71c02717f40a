"""Who may look at objects and who may change them: ``python -m skep.kube.roles deploy/rbac`` writes ``users.yaml``.

Two ClusterRoles for each kind, under upstream's names, and one for whoever looks at the whole cluster. What agent and
operator may do is written by hand beside it.
"""

from __future__ import annotations

import sys
from typing import Any

from skep.kube import crd, kinds, naming
from skep.kube.plugin import resource

FILE = "users.yaml"
HEADER = """\
# Made by `python -m skep.kube.roles deploy/rbac` from src/skep/kube; a test compares them.
#
# Whoever may view a namespace may view what is in it, also of these kinds. To edit a namespace is another matter: a
# probe reads kernel memory. To make its editors editors of these kinds where that is no concern:
#   kubectl label clusterrole bpfapplication-editor-role rbac.authorization.k8s.io/aggregate-to-edit=true
"""
LOOK = ["get", "list", "watch"]
CHANGE = ["create", "delete", "get", "list", "patch", "update", "watch"]


def files() -> dict[str, str]:
    """File name -> YAML."""
    made = [role for kind in kinds.KINDS for role in (_role(kind, "editor", CHANGE), _role(kind, "viewer", LOOK))]
    return {FILE: HEADER + "---\n".join(map(crd.as_yaml, [*made, _viewer()]))}


def _role(kind: kinds.Kind, who: str, verbs: list[str]) -> dict[str, Any]:  # Any: JSON
    labels = {"app.kubernetes.io/part-of": "bpfman"}
    if kind.namespaced and verbs is LOOK:
        # `view` is itself aggregated to `edit`, and that to `admin`.
        labels["rbac.authorization.k8s.io/aggregate-to-view"] = "true"
    rules = [_rule(kind.plural, verbs), _rule(f"{kind.plural}/status", ["get"])]
    if kind in (kinds.CLUSTER_APPLICATION, kinds.APPLICATION):
        # What became of an application on each node, and why not, is in its states.
        rules.append(_rule(kind.plural.removesuffix("s") + "states", LOOK))
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"{kind.name.lower()}-{who}-role", "labels": labels},
        "rules": rules,
    }


def _viewer() -> dict[str, Any]:  # Any: JSON
    """All that ``kubectl skep`` reads, in the whole cluster."""
    groups: dict[str, list[str]] = {}
    for each in resource.READ:
        groups.setdefault(each.group, []).append(each.plural)
    rules = [{"apiGroups": [group], "resources": found, "verbs": list(LOOK)} for group, found in groups.items()]
    rules.append({"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]})
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {
            "name": naming.VIEWER_ROLE,
            "labels": {
                "app.kubernetes.io/part-of": "bpfman",
                # OpenShift's role for whoever may look at all of a cluster.
                "rbac.authorization.k8s.io/aggregate-to-cluster-reader": "true",
            },
        },
        "rules": rules,
    }


def _rule(resource: str, verbs: list[str]) -> dict[str, Any]:  # Any: JSON
    return {"apiGroups": [kinds.GROUP], "resources": [resource], "verbs": list(verbs)}


def main(words: list[str]) -> int:
    """Write it."""
    return crd.write("skep.kube.roles", files, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
