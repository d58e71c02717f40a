"""Config -> the objects that it stands for, in the order in which they are made. Pure.

Each names the Config as its owner, so that the garbage collector removes them with it, namespaced or not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from skep.kube import kinds, naming
from skep.kube.api.merge import Object
from skep.kube.operator import daemonset
from skep.kube.operator.settings import Settings

MANAGER: Final = "bpfman-operator"
"""Our name as the manager of fields."""
LABELS: Final = {"app.kubernetes.io/part-of": "bpfman", "app.kubernetes.io/managed-by": MANAGER}
AGENT_BINDING: Final = "bpfman-agent-rolebinding"


def objects(settings: Settings) -> tuple[Object, ...]:
    """All that a Config stands for, without what its overrides leave alone."""
    data = {
        "bpfman.toml": settings.configuration,
        "bpfman.log.level": settings.daemon.level,
        "bpfman.agent.log.level": settings.agent.level,
        "skep.csi.log.level": settings.csi.level,
    }
    made = (
        _object("v1", "ServiceAccount", naming.ACCOUNT, settings.namespace),
        _object("v1", "ConfigMap", naming.CONFIG, settings.namespace, data=data),
        _object(
            "storage.k8s.io/v1",
            "CSIDriver",
            naming.DRIVER,
            # OpenShift asks it of drivers of ephemeral volumes: any pod may have one, whatever it is allowed otherwise.
            labels={"security.openshift.io/csi-ephemeral-volume-profile": "restricted"},
            spec={
                "attachRequired": False,
                "podInfoOnMount": True,
                # Ephemeral ones cannot be claimed, and live as long as their pod.
                "volumeLifecycleModes": ["Ephemeral"],
                # The driver gives the pod's group its maps itself: kubelet cannot, in a bpffs.
                "fsGroupPolicy": "ReadWriteOnceWithFSType",
            },
        ),
        _object(
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            AGENT_BINDING,
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": naming.AGENT_ROLE},
            subjects=[account(settings.namespace)],
        ),
        daemonset.document(settings, digest(data)),
    )
    return tuple(owned(each, settings) for each in made if settings.manages(each))


def left_behind(settings: Settings, namespace: str) -> tuple[Object, ...]:
    """What lies in ``namespace`` after a Config named another one: to be deleted, by kind and name."""
    if not namespace or namespace == settings.namespace:
        return ()
    gone = (
        _object("apps/v1", "DaemonSet", naming.DAEMON_SET, namespace),
        _object("v1", "ConfigMap", naming.CONFIG, namespace),
        _object("v1", "ServiceAccount", naming.ACCOUNT, namespace),
    )
    return tuple(each for each in gone if settings.manages(each))


def account(namespace: str) -> Object:
    """The agent as a role binding names it."""
    return {"kind": "ServiceAccount", "name": naming.ACCOUNT, "namespace": namespace}


def owned(document: Object, settings: Settings) -> Object:
    """The object with our labels and its owner."""
    about = document["metadata"]
    owner = {
        "apiVersion": kinds.API_VERSION, "kind": "Config", "name": settings.name, "uid": settings.uid,
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    labels = {**LABELS, **about.get("labels", {})}
    return {**document, "metadata": {**about, "labels": labels, "ownerReferences": [owner]}}


def digest(data: Mapping[str, str]) -> str:
    """Which configuration it is."""
    return "sha256:" + hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def fingerprint(document: Mapping[str, Any]) -> str:  # Any: JSON
    """What of an object tells that somebody has changed it: all but its status and what the server counts."""
    about = document["metadata"]
    kept = {key: value for key, value in document.items() if key not in ("metadata", "status")}
    kept |= {key: about.get(key) for key in ("uid", "labels", "annotations", "ownerReferences", "deletionTimestamp")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _object(
    version: str,
    kind: str,
    name: str,
    namespace: str = "",
    *,
    labels: Mapping[str, str] | None = None,
    **rest: Any,  # Any: JSON
) -> Object:
    about = {"name": name, **({"namespace": namespace} if namespace else {}), **({"labels": labels} if labels else {})}
    return {"apiVersion": version, "kind": kind, "metadata": about, **rest}
