"""The names by which objects of the cluster find each other: states, labels, finalizers, condition types. Pure.

Labels, finalizers and condition types are bpfman-operator's, so that what selects by them goes on. A state's name is
upstream's form with a digest of the node in the place of chance, so that nobody has to look for it.
"""

from __future__ import annotations

import hashlib
from typing import Final

OWNED: Final = "bpfman.io/ownedByProgram"
"""Label of a state: the application's name."""
HOSTNAME: Final = "kubernetes.io/hostname"
"""Label of a state: the node's name."""
OPERATOR_FINALIZER: Final = "bpfman.io.operator/finalizer"
"""On applications: states are still there."""
CLUSTER_FINALIZER: Final = "bpfman.io.clbpfapplicationcontroller/finalizer"
"""On a ClusterBpfApplicationState: programs are still on the node."""
NAMESPACED_FINALIZER: Final = "bpfman.io.nsbpfapplicationcontroller/finalizer"
"""On a BpfApplicationState."""
CONFIG: Final = "bpfman-config"
"""The one Config that is looked at."""
CONFIG_FINALIZER: Final = "bpfman.io/config-finalizer"
LEASE: Final = "8730d955.bpfman.io"
"""The lease that the leading operator holds; upstream's, so that both never lead at once."""
DRIVER: Final = "csi.bpfman.io"
"""The CSI driver."""
DAEMON_SET: Final = "bpfman-daemon"
ACCOUNT: Final = "bpfman-daemon"
"""The ServiceAccount of its pods; only the agent's container has the token."""
NAMESPACE: Final = "bpfman"
"""Where all of it runs unless the Config says otherwise."""
TRUST: Final = "bpfman-trust"
"""A ConfigMap beside the Config's, which the administrator may make: trust.yaml and the keys that it names."""
AGENT_ROLE: Final = "bpfman-agent-role"
"""The ClusterRole of deploy/rbac that the operator binds to the account."""
PULL_SECRETS: Final = "bpfman-pull-secrets"
"""Role and RoleBinding by which the agent may read the pull secrets that applications name, in each namespace."""
REVISION: Final = "skep.io/revision"
"""Annotation of a state: the revision that the operator has assigned to the node. Label of a stored revision: which."""
REVISION_OF: Final = "skep.io/revision-of"
"""Label of a stored revision: the UID of the application's object."""
PENDING, SUCCESS, ERROR, DELETE_ERROR = "Pending", "Success", "Error", "DeleteError"
"""Condition types of an application; the reason is the same word."""
UNLOADED, UNLOAD_ERROR = "Unloaded", "UnloadError"
"""Condition types that only states have besides."""

TRANSLATED_FROM: Final = "skep.io/translated-from"
"""Label of an application that the operator made of an object of an older kind: that kind."""
TRANSLATED_NAMESPACE, TRANSLATED_UID = "skep.io/translated-namespace", "skep.io/translated-uid"
"""Labels of a ClusterBpfApplication made of a BpfApplication in the older form, which cannot own it: where that is, and
its UID; the name is the same."""
WAITING_FOR_MAPS: Final = "waiting for the maps of spec.mapOwnerSelector"
"""How a state's message begins whose application waits for another's maps."""

LONGEST_NAME: Final = 253
"""Characters of an object's name (DNS subdomain, RFC 1123 as Kubernetes has it)."""
LONGEST_LABEL: Final = 63
"""Characters of a label's value."""


def state_name(application: str, node: str) -> str:
    """The name of an application's state on a node: at most 253 characters, different for different nodes."""
    tail = "-" + _digest(node)
    return _fitted(application, LONGEST_NAME - len(tail)) + tail


def label(value: str) -> str:
    """``value`` as a label's value: as it is where it fits, else its beginning and a digest of the whole."""
    return _fitted(value, LONGEST_LABEL)


def revision_name(application: str, revision: str) -> str:
    """The name of an application's stored revision."""
    return f"{_fitted(application, LONGEST_NAME - len(revision) - 1)}-{revision}"


def state_labels(application: str, node: str) -> dict[str, str]:
    """The labels of an application's state on a node."""
    return {OWNED: label(application), HOSTNAME: label(node)}


def agent_finalizer(*, namespaced: bool) -> str:
    """The finalizer by which an agent keeps a state until the node is clean."""
    return NAMESPACED_FINALIZER if namespaced else CLUSTER_FINALIZER


def _fitted(value: str, longest: int) -> str:
    if len(value) <= longest:
        return value
    tail = "-" + _digest(value)
    return value[: longest - len(tail)].rstrip("-._") + tail


def _digest(value: str) -> str:
    """Eight hexadecimal digits."""
    return hashlib.sha256(value.encode()).hexdigest()[:8]
