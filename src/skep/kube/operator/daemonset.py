"""The DaemonSet of the nodes: one pod with daemon, agent and CSI driver, each with what it needs and no more. Pure.

Only fields that say something are here. The object is applied (server-side), so what the API server adds, and what
others add with a name of their own, is neither ours nor different.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from skep import paths
from skep.kube import naming, rights
from skep.kube.api.merge import Object
from skep.kube.operator.settings import Part, Settings

SELECTOR: Final = {"name": naming.DAEMON_SET}
"""The label of its pods: upstream's, which cannot be changed on a DaemonSet that is there."""
DIGEST: Final = "bpfman.io/configuration-digest"
"""Annotation of the pods: they are replaced when the configuration is another."""
NOBODY: Final = 65532
"""The agent's user."""
SOCKETS: Final = paths.DEFAULT_SOCKET.rpartition("/")[0]
CONFIGURATION: Final = "/etc/bpfman"
KUBELET: Final = "/var/lib/kubelet"
DRIVER_DIRECTORY: Final = f"{KUBELET}/plugins/{naming.DRIVER}"

_RESOURCES: Final[Mapping[str, Mapping[str, Any]]] = {
    # No limit of memory: maps are charged to whoever made them, and a limit would refuse them rather than protect.
    "daemon": {"requests": {"cpu": "20m", "memory": "96Mi"}},
    "agent": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
    "csi": {"requests": {"cpu": "5m", "memory": "48Mi"}, "limits": {"memory": "256Mi"}},
}


def document(settings: Settings, digest: str) -> Object:
    """The DaemonSet; ``digest`` is that of the configuration which its pods shall have."""
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": naming.DAEMON_SET, "namespace": settings.namespace, "labels": dict(SELECTOR)},
        "spec": {
            "selector": {"matchLabels": dict(SELECTOR)},
            # Programs run on while a pod is replaced, but nothing is changed on its node: a tenth at a time.
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}},
            "template": {
                "metadata": {
                    "labels": dict(SELECTOR),
                    "annotations": {
                        DIGEST: digest,
                        "kubectl.kubernetes.io/default-container": "agent",
                        "bpfman.io/privileged": "container csi: Kubernetes lets only privileged containers propagate "
                        "mounts to the host, and a pod's volume is a mount",
                    },
                },
                "spec": _pod(settings),
            },
        },
    }


def _pod(settings: Settings) -> Object:
    pod: Object = {
        "serviceAccountName": naming.ACCOUNT,
        # The token is for the agent alone, which mounts it itself.
        "automountServiceAccountToken": False,
        # Programs are attached to the host's interfaces and processes, whose names and numbers mean something only in
        # the host's namespaces. A pod has these for all of its containers; without capabilities they give the agent
        # the host's network and a look at its list of processes.
        "hostNetwork": True,
        "hostPID": True,
        "dnsPolicy": "ClusterFirstWithHostNet",
        "priorityClassName": "system-node-critical",
        "terminationGracePeriodSeconds": 30,
        "nodeSelector": dict(settings.node_selector),
        "tolerations": [dict(each) for each in settings.tolerations],
        "containers": [_daemon(settings), _agent(settings), _csi(settings)],
        "volumes": _volumes(),
    }
    if settings.affinity is not None:
        pod["affinity"] = dict(settings.affinity)
    if settings.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in settings.pull_secrets]
    return pod


def _volumes() -> list[Object]:
    return [
        # The socket has the power of root over BPF. No other pod, and nobody on the host but root, sees this directory.
        {"name": "sockets", "emptyDir": {}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "configuration", "configMap": {"name": naming.CONFIG}},
        # Whose images may be loaded (trust.yaml, and keys beside it), if the administrator has made it.
        {"name": "trust", "configMap": {"name": naming.TRUST, "optional": True}},
        _host("runtime", paths.DEFAULT_RUNTIME, "DirectoryOrCreate"),
        _host("state", paths.DEFAULT_STATE, "DirectoryOrCreate"),
        _host("images", paths.DEFAULT_IMAGES, "DirectoryOrCreate"),
        _host("namespaces", "/run/netns", "DirectoryOrCreate"),
        _host("sys", "/sys", "Directory"),
        _host("cgroups", "/sys/fs/cgroup", "Directory"),
        _host("bpf", paths.HOST_BPFFS, "Directory"),
        _host("driver", DRIVER_DIRECTORY, "DirectoryOrCreate"),
        _host("registration", f"{KUBELET}/plugins_registry", "DirectoryOrCreate"),
        _host("pods", f"{KUBELET}/pods", "DirectoryOrCreate"),
        {
            "name": "token",
            "projected": {
                "sources": [
                    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {
                        "downwardAPI": {
                            "items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]
                        }
                    },
                ]
            },
        },
    ]


def _daemon(settings: Settings) -> Object:
    return {
        **_container("daemon", settings.daemon, settings),
        "command": ["skep", "serve"],
        "env": [_level("bpfman.log.level"), {"name": "SKEP_CONFIG", "value": f"{CONFIGURATION}/bpfman.toml"}],
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": [name for name, _ in rights.DAEMON]},
            # The profiles that container runtimes bring forbid to look at processes outside of the container.
            "seccompProfile": {"type": "Unconfined"},
            "appArmorProfile": {"type": "Unconfined"},
            "seLinuxOptions": {"type": "spc_t"},
        },
        "livenessProbe": {
            "exec": {"command": ["skep", "ready"]},
            "periodSeconds": 60,
            "timeoutSeconds": 20,
            "failureThreshold": 3,
        },
        "startupProbe": {
            "exec": {"command": ["skep", "ready"]},
            "periodSeconds": 2,
            "timeoutSeconds": 10,
            "failureThreshold": 60,
        },
        "volumeMounts": [
            _mount("sockets", SOCKETS),
            _mount("scratch", "/tmp"),
            _mount("configuration", CONFIGURATION, readOnly=True),
            _mount("trust", "/etc/skep", readOnly=True),
            _mount("runtime", paths.DEFAULT_RUNTIME),
            _mount("state", paths.DEFAULT_STATE),
            _mount("images", paths.DEFAULT_IMAGES),
            # What is mounted there later has to be seen: network namespaces are, by name.
            _mount("namespaces", "/run/netns", mountPropagation="HostToContainer"),
            # BTF and tracefs are the host's.
            _mount("sys", "/sys", readOnly=True, mountPropagation="HostToContainer"),
            # So are control groups, by which pods are found: the runtime mounts the container's own there, over what is
            # below /sys, unless it is told otherwise.
            _mount("cgroups", "/sys/fs/cgroup", readOnly=True, mountPropagation="HostToContainer"),
            # Pins are in the host's bpffs: what is attached outlives every container.
            _mount("bpf", paths.HOST_BPFFS, mountPropagation="HostToContainer"),
        ],
    }


def _agent(settings: Settings) -> Object:
    def probe(path: str) -> Object:
        return {"httpGet": {"path": path, "port": settings.health_port}, "periodSeconds": 20, "timeoutSeconds": 5}

    return {
        **_container("agent", settings.agent, settings),
        "command": ["skep", "kube", "agent"],
        "args": [
            "--health-probe-bind-address",
            f":{settings.health_port}",
            # In the host's network a port may be somebody else's: it is the administrator who gives one away.
            "--metrics-bind-address",
            f":{settings.metrics_port}" if settings.metrics_port else "0",
        ],
        "env": [_level("bpfman.agent.log.level"), _NODE_NAME],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NOBODY,
            # The daemon's socket is root's group's to write to; nothing else of that group is mounted here.
            "runAsGroup": 0,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "livenessProbe": {**probe("/healthz"), "initialDelaySeconds": 15},
        "readinessProbe": {**probe("/readyz"), "initialDelaySeconds": 2},
        "volumeMounts": [
            _mount("sockets", SOCKETS, readOnly=True),
            _mount("token", "/var/run/secrets/kubernetes.io/serviceaccount", readOnly=True),
        ],
    }


def _csi(settings: Settings) -> Object:
    return {
        **_container("csi", settings.csi, settings),
        "command": ["skep", "kube", "csi"],
        "env": [_level("skep.csi.log.level"), _NODE_NAME],
        "securityContext": {
            "runAsUser": 0,
            "readOnlyRootFilesystem": True,
            # Kubernetes lets only privileged containers propagate mounts to the host, and a pod's volume is a mount.
            "privileged": True,
        },
        "volumeMounts": [
            _mount("sockets", SOCKETS),
            _mount("scratch", "/tmp"),
            _mount("runtime", paths.DEFAULT_RUNTIME),
            _mount("bpf", paths.HOST_BPFFS, mountPropagation="HostToContainer"),
            _mount("driver", DRIVER_DIRECTORY, mountPropagation="Bidirectional"),
            _mount("registration", f"{KUBELET}/plugins_registry"),
            _mount("pods", f"{KUBELET}/pods", mountPropagation="Bidirectional"),
        ],
    }


_NODE_NAME: Final[Object] = {"name": "KUBE_NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}


def _container(name: str, part: Part, settings: Settings) -> Object:
    return {
        "name": name,
        "image": part.image,
        "imagePullPolicy": settings.pull_policy,
        "resources": dict(_RESOURCES[name] if part.resources is None else part.resources),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _level(key: str) -> Object:
    return {"name": "SKEP_LOG", "valueFrom": {"configMapKeyRef": {"name": naming.CONFIG, "key": key}}}


def _host(name: str, path: str, type: str) -> Object:
    return {"name": name, "hostPath": {"path": path, "type": type}}


def _mount(name: str, path: str, **more: Any) -> Object:  # Any: JSON
    return {"name": name, "mountPath": path, **more}
