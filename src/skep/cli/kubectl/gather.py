"""The lists that several verbs ask for, each with what may not be seen of it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skep import errors
from skep.kube import naming
from skep.kube.plugin import application, machinery, member, overview, part, resource
from skep.kube.plugin.door import Door
from skep.kube.plugin.part import Part


def parts(opened: Door, where: str | None) -> overview.Parts:
    """What ``status`` is made of. ``where`` None: applications of all namespaces."""
    config, nodes, cluster, own = opened.together(
        lambda: config_of(opened),
        lambda: part.seen(lambda: opened.every(resource.NODE)),
        lambda: part.seen(lambda: opened.every(resource.CLUSTER_APPLICATION)),
        lambda: part.seen(lambda: opened.every(resource.APPLICATION, namespace=where)),
    )
    there = home_of(config)
    deployments, pods = opened.together(
        lambda: operators(opened, there),
        lambda: part.seen(lambda: opened.every(resource.POD, namespace=there, labels=machinery.DAEMON_LABELS)),
    )
    return overview.Parts(
        config=config, deployments=deployments, pods=pods, nodes=nodes, cluster_applications=cluster, applications=own
    )


def config_of(opened: Door) -> Part:
    """The Config; a cluster without one is a part without objects."""
    return part.seen(lambda: [opened.find(resource.CONFIG, naming.CONFIG)])


def home_of(config: Part) -> str:
    """The namespace of the DaemonSet's pods."""
    found = machinery.config(next(iter(config.objects), None))
    return found.namespace or naming.NAMESPACE


def operators(opened: Door, there: str) -> Part:
    """The operator's Deployment: beside the DaemonSet, or wherever it is."""
    labels = machinery.OPERATOR_LABELS
    near = part.seen(lambda: opened.every(resource.DEPLOYMENT, namespace=there, labels=labels))
    if near.objects:
        return near
    anywhere = part.seen(lambda: opened.every(resource.DEPLOYMENT, labels=labels))
    return anywhere if anywhere.known else near if not near.known else anywhere


def find(opened: Door, word: str, where: str) -> Mapping[str, Any]:  # Any: JSON
    """The application that a person means. NotFound with names that look like it; Denied where none may be seen."""
    cluster, own = opened.together(
        lambda: part.seen(lambda: opened.every(resource.CLUSTER_APPLICATION)),
        lambda: part.seen(lambda: opened.every(resource.APPLICATION, namespace=where)),
    )
    try:
        return application.named(word, (*cluster.objects, *own.objects), where)
    except errors.NotFound:
        for each in (own, cluster):
            if each.error is not None:
                raise each.error from None
        raise


def states(opened: Door, document: Mapping[str, Any]) -> Part:  # Any: JSON
    """The states of an application."""
    about = document["metadata"]
    kind = resource.STATE if about.get("namespace") else resource.CLUSTER_STATE
    labels = {naming.OWNED: naming.label(about["name"])}
    return part.seen(lambda: opened.every(kind, namespace=about.get("namespace"), labels=labels))


def states_on(opened: Door, node: str, where: str | None) -> tuple[Part, Part]:
    """All states of a node: of cluster-wide applications, and of those in a namespace, None: in all."""
    labels = {naming.HOSTNAME: naming.label(node)}
    cluster, own = opened.together(
        lambda: part.seen(lambda: opened.every(resource.CLUSTER_STATE, labels=labels)),
        lambda: part.seen(lambda: opened.every(resource.STATE, namespace=where, labels=labels)),
    )
    return cluster, own


def pods(opened: Door, config: Part) -> Part:
    """The DaemonSet's pods."""
    there = home_of(config)
    return part.seen(lambda: opened.every(resource.POD, namespace=there, labels=machinery.DAEMON_LABELS))


def on_node(opened: Door, node: str) -> machinery.OnNode:
    """The DaemonSet's pod on a node. NotFound with names that look like it, or saying that skep is not there."""
    found = pods(opened, config_of(opened))
    if found.error is not None:
        raise found.error
    there = {each.node: each for each in machinery.nodes(found.objects, None)}
    if node in there:
        return there[node]
    raise errors.NotFound(
        f"skep on node {node}",
        why="no pod of the DaemonSet bpfman-daemon is there",
        near=errors.near_misses(node, sorted(there)),
        do="" if errors.near_misses(node, sorted(there)) else "kubectl skep status shows the nodes that have one",
    )


def check_exec(opened: Door, place: machinery.OnNode) -> None:
    """Denied where the user may not run commands in a node's pod, with what that right means."""
    words = opened.command("auth", "can-i", "create", "pods/exec", "-n", place.namespace, "--quiet")
    if subprocess.run(words, capture_output=True, check=False).returncode:
        why = f"you may not create pods/exec in the namespace {place.namespace}"
        raise errors.Denied(f"run skep in {place.pod}", why=why, do=resource.allowing(why))


def check_node(opened: Door, node: str) -> None:
    """NotFound, with names that look like it, where the cluster has no such node. Nothing if nodes may not be seen."""
    nodes = part.seen(lambda: opened.every(resource.NODE))
    names = [each["metadata"]["name"] for each in nodes.objects]
    if nodes.known and node not in names:
        near = errors.near_misses(node, names)
        raise errors.NotFound(
            f"node {node}", why="the cluster has no such node", near=near,
            do="" if near else "kubectl get nodes lists them",
        )  # fmt: skip


def inventory_of(opened: Door, node: str) -> Mapping[str, Any]:  # Any: JSON
    """A node's NodeBpfInventory; NotFound."""
    found = opened.find(resource.INVENTORY, node)
    if found is None:
        check_node(opened, node)
        raise errors.NotFound(
            f"NodeBpfInventory {node}",
            why="no agent of skep's has written it: none runs there, or not yet",
            do="kubectl skep status shows how the node is",
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A container whose log is wanted. ``label``: its node, or "operator"."""

    label: str
    namespace: str
    pod: str
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Containers whose logs are wanted, and the application that they are wanted for."""

    sources: tuple[Source, ...]
    application: Mapping[str, Any] | None = None  # Any: JSON


def sources(opened: Door, word: str, containers: tuple[str, ...], namespace: str) -> Sources:
    """The containers that a word means: a node's, or those that have to do with an application; "": of all nodes.

    NotFound for what is neither, and where nothing of skep runs.
    """
    config = config_of(opened)
    found = pods(opened, config)
    if found.error is not None:
        raise found.error
    there = {each.node: each for each in machinery.nodes(found.objects, None)}
    application = None
    chosen = list(there.values())
    if word in there:
        chosen = [there[word]]
        containers = containers or ("daemon", "agent")
    elif word:
        application = _node_or_application(opened, word, namespace, sorted(there))
        on = {member.node(state) for state in states(opened, application).objects}
        chosen = [each for each in chosen if each.node in on]
        containers = containers or ("operator", "agent", "daemon")
    containers = containers or ("operator", "agent")
    made = _operators(opened, config) if "operator" in containers else []
    made += [
        Source(label=each.node, namespace=each.namespace, pod=each.pod, container=name)
        for each in chosen
        for name in containers
        if name in each.containers
    ]
    if not made:
        raise errors.NotFound(
            f"logs of {' and '.join(containers)}",
            why="no such container runs" + (" where the application is" if application is not None else ""),
            do="kubectl skep status shows what runs",
        )
    return Sources(sources=tuple(made), application=application)


def _node_or_application(
    opened: Door, word: str, namespace: str, nodes: Sequence[str]
) -> Mapping[str, Any]:  # Any: JSON
    try:
        return find(opened, word, namespace or opened.namespace())
    except errors.NotFound as error:
        near = (*errors.near_misses(word, list(nodes)), *error.near)
        raise errors.NotFound(
            f"{word!r}", why="no node that runs skep, and no application, is called so", near=near,
            do="" if near else "kubectl skep status -A shows both",
        ) from None  # fmt: skip


def _operators(opened: Door, config: Part) -> list[Source]:
    """The operator's pods, wherever it is."""
    near = operators(opened, home_of(config))
    if near.error is not None:
        raise near.error
    found = machinery.operator(near.objects)
    if not found.namespace:
        return []
    running = opened.every(resource.POD, namespace=found.namespace, labels=machinery.OPERATOR_LABELS)
    return [
        Source(label="operator", namespace=found.namespace, pod=each["metadata"]["name"], container="operator")
        for each in running
    ]
