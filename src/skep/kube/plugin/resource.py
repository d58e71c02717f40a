"""The kinds that the plugin reads, where an API server has them, and which role lets a person read them. Pure."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from skep import errors
from skep.kube import naming


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind as the API server's paths have it. ``group`` "": the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def full(self) -> str:
        """As kubectl takes it: "daemonsets.apps"."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, *, namespace: str | None = None, name: str = "", query: Mapping[str, str] | None = None) -> str:
        """Of the list, or of one object. ``namespace`` None: the list of all namespaces."""
        words = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            words += ["namespaces", namespace]
        words += [self.plural, *([name] if name else [])]
        asked = f"?{urllib.parse.urlencode(query)}" if query else ""
        return "/" + "/".join(urllib.parse.quote(word, safe="") for word in words) + asked


def _own(plural: str, kind: str, *, namespaced: bool = False) -> Resource:
    return Resource(group="bpfman.io", version="v1alpha1", plural=plural, kind=kind, namespaced=namespaced)


CLUSTER_APPLICATION: Final = _own("clusterbpfapplications", "ClusterBpfApplication")
APPLICATION: Final = _own("bpfapplications", "BpfApplication", namespaced=True)
CLUSTER_STATE: Final = _own("clusterbpfapplicationstates", "ClusterBpfApplicationState")
STATE: Final = _own("bpfapplicationstates", "BpfApplicationState", namespaced=True)
CONFIG: Final = _own("configs", "Config")
INVENTORY: Final = _own("nodebpfinventories", "NodeBpfInventory")
NODE: Final = Resource(group="", version="v1", plural="nodes", kind="Node", namespaced=False)
POD: Final = Resource(group="", version="v1", plural="pods", kind="Pod", namespaced=True)
EVENT: Final = Resource(group="", version="v1", plural="events", kind="Event", namespaced=True)
DEPLOYMENT: Final = Resource(group="apps", version="v1", plural="deployments", kind="Deployment", namespaced=True)
DAEMON_SET: Final = Resource(group="apps", version="v1", plural="daemonsets", kind="DaemonSet", namespaced=True)

READ: Final = (
    CLUSTER_APPLICATION, APPLICATION, CLUSTER_STATE, STATE, CONFIG, INVENTORY,
    NODE, POD, EVENT, DEPLOYMENT, DAEMON_SET,
)  # fmt: skip
"""All that the plugin reads: what the role ``naming.VIEWER_ROLE`` allows."""


class UnknownKind(errors.NotFound):
    """The cluster does not know a kind: its CRD is not there."""


def application_of(kind: str) -> Resource:
    """The resource of an application's kind."""
    return APPLICATION if kind == APPLICATION.kind else CLUSTER_APPLICATION


def refused(what: str, code: int, status: Mapping[str, object] | None, text: str) -> errors.SkepError:
    """The error for an answer that is none. ``status``: the API server's, None where something on the way answered with
    ``text``."""
    if status is None and code == 404:
        status = {
            "message": _UNKNOWN
        }  # of a kind that it does not know, an API server says no more than "page not found"
    if status is None:
        return unreachable(what, text)
    why = str(status.get("message") or f"HTTP status {code}")
    match code:
        case 401:
            return errors.Denied(what, why=why, do="log in again: kubectl auth whoami shows who you are")
        case 403:
            return errors.Denied(what, why=why, do=allowing(why))
        case 404 if _UNKNOWN in why:
            return UnknownKind(
                what,
                why="this cluster does not know the kind: skep's CRDs are not in it",
                do="an administrator installs them with: kubectl apply --server-side -k deploy",
            )
        case 404:
            return errors.NotFound(what, why=why, do="kubectl skep status -A shows what there is")
        case 410:
            return errors.Conflict(what, why=why, do="ask again: the list changed while it was read")
        case _:
            return errors.Unavailable(what, why=why, do="ask again; if this stays, look at the API server")


_UNKNOWN = "could not find the requested resource"
"""What an API server says of a kind in a group that it knows."""


def allowing(why: str) -> str:
    """Which role gives a right that an API server's refusal names."""
    if "pods/exec" in why:
        return (
            "an administrator of the cluster may; no role of skep's gives it, for running commands in the daemon's "
            "container is root's power on its node"
        )
    if "at the cluster scope" in why or "in the namespace" not in why:
        return f"the ClusterRole {naming.VIEWER_ROLE} gives it, bound with: kubectl create clusterrolebinding"
    return f"the ClusterRoles view and {naming.VIEWER_ROLE} give it, bound with: kubectl create rolebinding"


def unreachable(what: str, text: str) -> errors.SkepError:
    """The error for what kubectl says when it cannot reach, or does not know, the cluster."""
    said = " ".join(text.split()) or "kubectl says nothing"
    for word, do in _ADVICE:
        if word in said:
            return errors.InvalidRequest(what, why=said, do=do)
    return errors.Unavailable(
        what, why=said, do="kubectl cluster-info shows whether kubectl reaches it; --context chooses another cluster"
    )


_ADVICE = (
    (":8080: connect: connection refused", "kubectl knows no cluster: name a kubeconfig with --kubeconfig"),
    ("does not exist", "kubectl config get-contexts shows the contexts"),
    ("no such file", "name a kubeconfig with --kubeconfig, or in KUBECONFIG"),
    ("unknown flag", "this kubectl is too old: take 1.26 or newer"),
    ("error loading config file", "correct the kubeconfig"),
)
"""What kubectl says of a configuration that it cannot use, and what to do then."""
