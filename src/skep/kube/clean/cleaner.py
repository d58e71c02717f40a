"""The DaemonSet that removes from each node what skep's processes leave for the next ones: pins, store, images. Pure.

It goes where the daemon's pods went: same nodes, same image. It has one capability, to remove what other users own
below skep's own directories; each of its pods waits until nobody uses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from skep import paths
from skep.kube import naming
from skep.kube.api.merge import Object

NAME: Final = "bpfman-clean-node"
"""The DaemonSet, its ServiceAccount, and its pods' label ``name``."""
LABELS: Final = {"app.kubernetes.io/part-of": "bpfman", "name": NAME}
HOST: Final = "/host"
"""Where a pod sees the node's directories."""
PLUGINS: Final = "/var/lib/kubelet/plugins"
DIRECTORIES: Final = (
    f"{PLUGINS}/{naming.DRIVER}", paths.DEFAULT_PINS, paths.DEFAULT_IMAGES, paths.DEFAULT_STATE, paths.DEFAULT_RUNTIME,
)  # fmt: skip
"""What is removed, in this order: the last one has the lock."""
_MOUNTED: Final = {"plugins": PLUGINS, "bpf": paths.HOST_BPFFS, "cache": "/var/cache", "lib": "/var/lib", "run": "/run"}
"""Their parents, since a directory cannot be removed through a mount of itself."""
_STAY: Final = "import signal as s; s.pthread_sigmask(s.SIG_BLOCK, {s.SIGTERM}); s.sigwait({s.SIGTERM})"


def account(namespace: str) -> Object:
    """Its ServiceAccount: without any right in the cluster. OpenShift binds the right to be root on the node to it."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": NAME, "namespace": namespace, "labels": dict(LABELS)},
    }


def document(daemon: Mapping[str, Any]) -> Object:  # Any: JSON
    """The DaemonSet, made after the daemon's as it is in the cluster."""
    pod = daemon["spec"]["template"]["spec"]
    (like,) = (each for each in pod["containers"] if each["name"] == "daemon")
    image = {"image": like["image"], "imagePullPolicy": like["imagePullPolicy"]}
    where = {key: pod[key] for key in ("nodeSelector", "tolerations", "affinity", "imagePullSecrets") if key in pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": NAME, "namespace": daemon["metadata"]["namespace"], "labels": dict(LABELS)},
        "spec": {
            "selector": {"matchLabels": {"name": NAME}},
            # All nodes at once: nothing runs that could be interrupted.
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
            "template": {
                "metadata": {"labels": dict(LABELS)},
                "spec": {
                    **where,
                    "serviceAccountName": NAME,
                    "automountServiceAccountToken": False,
                    "terminationGracePeriodSeconds": 1,
                    "initContainers": [_clean(image)],
                    "containers": [_done(image)],
                    "volumes": [
                        {"name": name, "hostPath": {"path": path, "type": "Directory"}}
                        for name, path in _MOUNTED.items()
                    ],
                },
            },
        },
    }


def _clean(image: Object) -> Object:
    return {
        **image,
        "name": "clean",
        "command": ["skep", "kube", "clean-node", "--host", HOST],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]},
            "seccompProfile": {"type": "RuntimeDefault"},
            "seLinuxOptions": {"type": "spc_t"},
        },
        # What is unmounted on the node goes away here too, and holds nobody up.
        "volumeMounts": [
            {"name": name, "mountPath": HOST + path, "mountPropagation": "HostToContainer"}
            for name, path in sorted(_MOUNTED.items(), key=lambda each: each[1])
        ],
    }


def _done(image: Object) -> Object:
    """It runs once its node is clean: a pod of a DaemonSet has to run something."""
    return {
        **image,
        "name": "done",
        "command": ["python3", "-I", "-S", "-c", _STAY],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
