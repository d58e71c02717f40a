"""Applications -> the Roles by which the agent may read the pull secrets that they name, and no others. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skep.kube import naming
from skep.kube.api.merge import Object
from skep.kube.operator import deploy
from skep.kube.operator.records import Application
from skep.kube.operator.settings import Settings

_RBAC = "rbac.authorization.k8s.io"


def wanted(applications: Iterable[Application]) -> Mapping[str, frozenset[str]]:
    """Namespace -> the secrets in it that applications name.

    An application in a namespace may name one of its own namespace only: else whoever may write applications there
    could borrow the logins of others. The API server refuses it; one that is there nevertheless grants nothing.
    """
    found: dict[str, set[str]] = {}
    for each in applications:
        # A deleted one counts until its nodes are clean: an agent that starts anew may have to read it once more.
        if each.secret is None or each.key.namespace not in ("", each.secret[0]):
            continue
        found.setdefault(each.secret[0], set()).add(each.secret[1])
    return {namespace: frozenset(names) for namespace, names in found.items()}


def objects(namespace: str, names: frozenset[str], settings: Settings) -> tuple[Object, Object]:
    """The Role in a namespace and its binding to the agent."""
    about = {"name": naming.PULL_SECRETS, "namespace": namespace}
    role: Object = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "Role",
        "metadata": about,
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": sorted(names), "verbs": ["get"]}],
    }
    binding: Object = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": about,
        "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": naming.PULL_SECRETS},
        "subjects": [deploy.account(settings.namespace)],
    }
    return deploy.owned(role, settings), deploy.owned(binding, settings)
