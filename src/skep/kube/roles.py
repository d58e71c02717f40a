"""Who may look at objects and who may change them: ``python -m skep.kube.roles deploy/rbac`` writes ``users.yaml``.

Two ClusterRoles for each kind, under upstream's names; of what only the operator writes (BpfPrograms), one to look; and
one for whoever looks at the whole cluster. What agent and operator may do is written by hand beside it.
"""

from __future__ import annotations

import sys
from typing import Any

from skep.kube import crd, kinds, naming
from skep.kube.older import bpfd
from skep.kube.older import kinds as older
from skep.kube.plugin import resource

FILE = "users.yaml"
HEADER = """\
# Made by `python -m skep.kube.roles deploy/rbac` from src/skep/kube; a test compares them.
#
# Whoever may view a namespace may view what is in it, also of these kinds. To edit a namespace is another matter: a
# probe reads kernel memory. To make its editors editors of these kinds where that is no concern:
#   kubectl label clusterrole bpfapplication-editor-role rbac.authorization.k8s.io/aggregate-to-edit=true
"""
_STATES = {
    kind.name: state
    for kind in (kinds.CLUSTER_APPLICATION, kinds.APPLICATION)
    for state in kinds.KINDS
    if state.name == f"{kind.name}State"
}
LOOK = ["get", "list", "watch"]
CHANGE = ["create", "delete", "get", "list", "patch", "update", "watch"]


def files() -> dict[str, str]:
    """File name -> YAML."""
    made = [role for kind in kinds.KINDS for role in (_role(kind, "editor", CHANGE), _role(kind, "viewer", LOOK))]
    made += [
        role for each in older.OWN for role in (_role(each.kind, "editor", CHANGE), _role(each.kind, "viewer", LOOK))
    ]
    made += [_role(kind, "viewer", LOOK) for kind in older.VIEWS]
    return {FILE: HEADER + "---\n".join(map(crd.as_yaml, [*made, _viewer()]))}


def _role(kind: kinds.Kind, who: str, verbs: list[str]) -> dict[str, Any]:  # Any: JSON
    labels = {"app.kubernetes.io/part-of": "bpfman"}
    if kind.namespaced and verbs is LOOK:
        # `view` is itself aggregated to `edit`, and that to `admin`.
        labels["rbac.authorization.k8s.io/aggregate-to-view"] = "true"
    rules = [_rule(kind, "", verbs), _rule(kind, "/status", ["get"])]
    if kind in (kinds.CLUSTER_APPLICATION, kinds.APPLICATION):
        # What became of an application on each node, and why not, is in its states.
        rules.append(_rule(_STATES[kind.name], "", LOOK))
    rules += [_rule(each.view, "", LOOK) for each in older.OWN if each.kind is kind]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": _name(kind, who), "labels": labels},
        "rules": rules,
    }


def _name(kind: kinds.Kind, who: str) -> str:
    """As upstream calls it; bpfd called it otherwise."""
    name = kind.name.lower()
    return f"bpfd-{name}-{who}" if kind.group == bpfd.GROUP else f"{name}-{who}-role"


def _rule(kind: kinds.Kind, below: str, verbs: list[str]) -> dict[str, Any]:  # Any: JSON
    return {"apiGroups": [kind.group], "resources": [kind.plural + below], "verbs": list(verbs)}


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


def main(words: list[str]) -> int:
    """Write it."""
    return crd.write("skep.kube.roles", files, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
