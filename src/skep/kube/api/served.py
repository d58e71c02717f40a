"""The kinds that skep speaks about to an API server, as lightkube wants to know them.

All are lightkube's generic resources, that is, dicts: its typed models refuse what an older or newer API server says
differently (the object of a bookmark, for one), and a dict of which little is kept is smaller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from lightkube import generic_resource

from skep import errors
from skep.kube import kinds
from skep.kube.older import kinds as older

Resource: TypeAlias = type[generic_resource.GenericNamespacedResource] | type[generic_resource.GenericGlobalResource]
"""A kind, as a class of lightkube's."""
Status: TypeAlias = type[generic_resource.GenericNamespacedStatus] | type[generic_resource.GenericGlobalStatus]
"""The status of a kind's objects, which is written by itself: ``APPLICATION.Status``."""

# Group and version, kind, plural, whether it lives in a namespace.
_FOREIGN = (
    ("v1", "ConfigMap", "configmaps", True),
    ("v1", "Event", "events", True),
    ("v1", "Namespace", "namespaces", False),
    ("v1", "Node", "nodes", False),
    ("v1", "Pod", "pods", True),
    ("v1", "Secret", "secrets", True),
    ("v1", "Service", "services", True),
    ("v1", "ServiceAccount", "serviceaccounts", True),
    ("apps/v1", "ControllerRevision", "controllerrevisions", True),
    ("apps/v1", "DaemonSet", "daemonsets", True),
    ("apps/v1", "Deployment", "deployments", True),
    ("authentication.k8s.io/v1", "SelfSubjectReview", "selfsubjectreviews", False),
    ("authentication.k8s.io/v1", "TokenReview", "tokenreviews", False),
    ("authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews", False),
    ("coordination.k8s.io/v1", "Lease", "leases", True),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", False),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", False),
    ("rbac.authorization.k8s.io/v1", "Role", "roles", True),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", True),
    ("storage.k8s.io/v1", "CSIDriver", "csidrivers", False),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", False),
)


def made(api_version: str, kind: str, plural: str, namespaced: bool) -> Resource:
    """A kind that is not in the table, as discovery tells it."""
    group, _, version = api_version.rpartition("/")
    if namespaced:
        return generic_resource.create_namespaced_resource(group, version, kind, plural)
    return generic_resource.create_global_resource(group, version, kind, plural)


_ALL: Final[Mapping[tuple[str, str], Resource]] = {
    (api_version, kind): made(api_version, kind, plural, namespaced)
    for api_version, kind, plural, namespaced in (
        *_FOREIGN,
        *((kind.api_version, kind.name, kind.plural, kind.namespaced) for kind in (*kinds.KINDS, *older.KINDS)),
    )
}


def kind(api_version: str, name: str) -> Resource:
    """A kind by its names ("apps/v1", "DaemonSet"); raises NotFound for one that is not in the table."""
    if found := _ALL.get((api_version, name)):
        return found
    raise errors.NotFound(
        f"kind {name} of {api_version}",
        why="skep does not speak about it",
        near=errors.near_misses(name, sorted({known for _, known in _ALL})),
    )


def own(name: str) -> Resource:
    """A kind of ``bpfman.io/v1alpha1``; raises NotFound."""
    return kind(kinds.API_VERSION, name)


def of(object: Mapping[str, Any]) -> Resource:  # Any: JSON
    """The kind of an object that says it; raises NotFound."""
    return kind(object.get("apiVersion", ""), object.get("kind", ""))


def is_namespaced(resource: Resource) -> bool:
    """Whether objects of this kind live in namespaces."""
    return issubclass(resource, generic_resource.GenericNamespacedResource)


def name(resource: Resource | Status) -> str:
    """The kind's name: ``Pod``."""
    return resource._api_info.resource.kind


CONFIG_MAP = kind("v1", "ConfigMap")
EVENT = kind("v1", "Event")
NAMESPACE = kind("v1", "Namespace")
NODE = kind("v1", "Node")
POD = kind("v1", "Pod")
SECRET = kind("v1", "Secret")
SERVICE_ACCOUNT = kind("v1", "ServiceAccount")
REVISION = kind("apps/v1", "ControllerRevision")
DAEMON_SET = kind("apps/v1", "DaemonSet")
DEPLOYMENT = kind("apps/v1", "Deployment")
LEASE = kind("coordination.k8s.io/v1", "Lease")
SELF_SUBJECT_REVIEW = kind("authentication.k8s.io/v1", "SelfSubjectReview")
TOKEN_REVIEW = kind("authentication.k8s.io/v1", "TokenReview")
SUBJECT_ACCESS_REVIEW = kind("authorization.k8s.io/v1", "SubjectAccessReview")
DEFINITION = kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
CLUSTER_APPLICATION = own("ClusterBpfApplication")
APPLICATION = own("BpfApplication")
CLUSTER_STATE = own("ClusterBpfApplicationState")
STATE = own("BpfApplicationState")
OLDER_APPLICATION = generic_resource.create_global_resource(
    kinds.GROUP, kinds.VERSION, "BpfApplication of bpfman 0.5", kinds.APPLICATION.plural
)
"""Where the CRD of bpfman 0.5 is installed, BpfApplications are in no namespace. The kind has to differ from the
current one's for lightkube, which never sends it."""
CONFIG = own("Config")
INVENTORY = own("NodeBpfInventory")
