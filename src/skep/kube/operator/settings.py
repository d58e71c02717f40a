"""A Config as values: read from the object, checked where the API server cannot, with defaults in place. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skep import config
from skep.kube import deployment, kinds, naming, shape
from skep.kube.operator import records

LEVEL = "info"
CONFIGURATION = """\
[database]
max_retries = 30
millisec_delay = 10000

[signing]
allow_unsigned = true
verify_enabled = true
"""
"""The configuration of a Config that nobody has written: upstream's, so that both operators make the same one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One container: its image, its log level, and its resources (None: the built-in ones)."""

    image: str
    level: str = LEVEL
    resources: Mapping[str, Any] | None = None  # Any: JSON, as a container has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a Config wants. ``unmanaged``: (apiVersion, kind, namespace, name) of objects that are left alone."""

    uid: str
    name: str
    namespace: str
    generation: int
    daemon: Part
    agent: Part
    csi: Part
    health_port: int
    metrics_port: int | None
    configuration: str
    pull_policy: str
    pull_secrets: tuple[str, ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()  # Any: JSON, as a pod has it
    affinity: Mapping[str, Any] | None = None  # Any: JSON, as a pod has it
    unmanaged: frozenset[tuple[str, str, str, str]] = frozenset()

    def manages(self, document: Mapping[str, Any]) -> bool:  # Any: JSON
        """Whether the operator may touch an object; an override may name any version of its group."""
        about = document["metadata"]
        group = _group(document["apiVersion"])
        here = (document["kind"], about.get("namespace", ""), about["name"])
        return not any(_group(version) == group and tuple(rest) == here for version, *rest in self.unmanaged)


def _group(version: str) -> str:
    return version.partition("/")[0] if "/" in version else ""


_TOLERATIONS = tuple(
    {"key": f"node-role.kubernetes.io/{role}", "operator": "Exists", "effect": "NoSchedule"}
    for role in ("control-plane", "master")
)
"""Upstream's: the control plane's nodes have kernels too."""


def read(document: Mapping[str, Any]) -> Settings:  # Any: JSON
    """What a Config wants. InvalidRequest for what no node could start with."""
    about = document["metadata"]
    spec = shape.read(deployment.CONFIG, document.get("spec"), "spec")
    daemon, agent, csi = spec["daemon"], spec["agent"], spec.get("csi", {})
    check(spec["configuration"])
    for name, part in (("daemon", daemon), ("agent", agent), ("csi", csi)):
        _check_level(part.get("logLevel", LEVEL), f"spec.{name}.logLevel")
    tolerations = daemon.get("tolerations")
    return Settings(
        uid=about["uid"],
        name=about["name"],
        namespace=spec.get("namespace") or naming.NAMESPACE,
        generation=about.get("generation", 0),
        daemon=_part(daemon),
        agent=_part(agent),
        csi=_part({"image": daemon["image"]} | csi),
        health_port=agent["healthProbePort"],
        metrics_port=agent.get("metricsPort"),
        configuration=spec["configuration"],
        pull_policy=spec.get("imagePullPolicy", "IfNotPresent"),
        pull_secrets=tuple(each["name"] for each in spec.get("imagePullSecrets", ())),
        node_selector=daemon.get("nodeSelector", {"kubernetes.io/os": "linux"}),
        tolerations=_TOLERATIONS if tolerations is None else tuple(tolerations),
        affinity=daemon.get("affinity"),
        unmanaged=frozenset(
            (each["apiVersion"], each["kind"], each["namespace"], each["name"])
            for each in spec.get("overrides", ())
            if each["unmanaged"]
        ),
    )


def _part(spec: Mapping[str, Any]) -> Part:  # Any: JSON
    return Part(image=spec["image"], level=spec.get("logLevel", LEVEL), resources=spec.get("resources"))


def check(configuration: str) -> None:
    """InvalidRequest for a configuration file that the daemon would not start with."""
    config.parse(configuration, "spec.configuration")


def _check_level(level: str, path: str) -> None:
    """InvalidRequest for a level that a process would not start with."""
    for clause in filter(None, (part.strip() for part in level.split(","))):
        word = clause.rpartition("=")[2].strip()
        try:
            config.level(word)
        except ValueError as error:
            raise shape.wrong(path, level, f"{word} {error}") from None


def default(
    images: tuple[str, str], *, namespace: str = naming.NAMESPACE, policy: str = "", metrics_port: int | None = None
) -> dict[str, Any]:
    """The Config that is made when there is none. ``images``: the daemon's and the agent's."""  # Any above: JSON
    daemon, agent = images
    port = {} if metrics_port is None else {"metricsPort": metrics_port}
    return {
        "apiVersion": kinds.API_VERSION,
        "kind": "Config",
        "metadata": {"name": naming.CONFIG},
        "spec": {
            "agent": {"healthProbePort": 8175, **port, "image": agent, "logLevel": LEVEL},
            "daemon": {"image": daemon, "logLevel": LEVEL},
            "configuration": CONFIGURATION,
            "namespace": namespace,
            **({"imagePullPolicy": policy} if policy else {}),
        },
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What became of a Config: ``problem`` is why not, "" if nothing is wrong; counts are the DaemonSet's pods.

    ``current``: its controller has seen the newest template. ``updated``: pods that have it. ``faults``: what is wrong
    with the cluster's CRDs; ``remarks``: what else there is to say about them.
    """

    namespace: str
    problem: str = ""
    desired: int = 0
    ready: int = 0
    updated: int = 0
    current: bool = False
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def status(generation: int, deployed: Deployed, before: Mapping[str, Any], now: str) -> dict[str, Any]:  # Any: JSON
    """The status of a Config; ``before`` is the present one, for the time of its condition."""
    if deployed.problem:
        type, message = naming.ERROR, deployed.problem
    elif not deployed.current:
        type, message = naming.PENDING, "waiting for the DaemonSet"
    elif deployed.desired == 0:
        type, message = naming.SUCCESS, "no node is to run the daemon; see nodeSelector and tolerations"
    elif deployed.ready < deployed.desired or deployed.updated < deployed.desired:
        type = naming.PENDING
        message = f"{deployed.ready} of {deployed.desired} pods are ready, {deployed.updated} are of this version"
    else:
        type, message = naming.SUCCESS, f"runs on {deployed.desired} {'node' if deployed.desired == 1 else 'nodes'}"
    message = "; ".join((*deployed.faults, message, *deployed.remarks))
    if deployed.faults:
        type = naming.ERROR
    told = records.told(before)
    since = told.since if told.type == type and told.since else now
    return {
        "observedGeneration": generation,
        "namespace": deployed.namespace,
        "desired": deployed.desired,
        "ready": deployed.ready,
        "conditions": [records.condition(type, message, since, generation)],
    }
