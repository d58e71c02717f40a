"""The pod of each node, and how it is."""

from __future__ import annotations

from typing import Any

import pytest

from skep.kube.plugin import machinery, overview
from skep.kube.plugin.part import Part
from tests.unit.kube.plugin import objects

ALL = ("daemon", "agent", "csi")
PULL = {"reason": "ImagePullBackOff", "message": "no such image"}


@pytest.mark.parametrize(
    ("pods", "nodes", "words"),
    [
        ([objects.pod("p", "a", *ALL)], [objects.node("a")], {"a": ("ready", "")}),
        ([objects.pod("p", "a", *ALL)], [objects.node("a", ready=False)], {"a": ("node not ready", "")}),
        ([objects.pod("p", "a", *ALL)], None, {"a": ("ready", "")}),
        ([], [objects.node("a")], {"a": ("no pod", "")}),
        (
            [objects.pod("p", "a", "daemon", "csi", waiting=PULL)],
            [objects.node("a")],
            {"a": ("not ready", "agent: ImagePullBackOff: no such image")},
        ),
        (
            [objects.pod("p", "a", "daemon", "csi")],
            [objects.node("a")],
            {"a": ("not ready", "agent: its readiness probe fails")},
        ),
        (
            [objects.pod("old", "a", *ALL, deletionTimestamp="t"), objects.pod("new", "a", *ALL)],
            [objects.node("a")],
            {"a": ("ready", "")},
        ),
        ([objects.pod("p", "gone", *ALL)], [objects.node("a")], {"a": ("no pod", "")}),
    ],
    ids=["ready", "kubelet-away", "nodes-unseen", "no-pod", "no-image", "probe", "handing-over", "node-gone"],
)
def test_nodes(pods: list[Any], nodes: list[Any] | None, words: dict[str, tuple[str, str]]) -> None:
    assert {each.node: (each.word, each.waiting) for each in machinery.nodes(pods, nodes)} == words


def test_a_pod_that_nobody_has_scheduled_is_its_nodes() -> None:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    pod = {
        "metadata": {"name": "p", "namespace": "bpfman"},
        "spec": {"affinity": affinity, "containers": [{"name": "agent"}]},
        "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "too full"}]},
    }
    (found,) = machinery.nodes([pod], [objects.node("a")])
    assert (found.pod, found.word, found.waiting) == ("p", "not ready", "not scheduled: too full")


def test_what_may_not_be_seen_is_not_said_to_be_absent() -> None:
    from skep import errors

    denied = Part(error=errors.Denied("list nodes", why="nodes is forbidden", do="ask"))
    nothing = Part()
    found = overview.overview(
        overview.Parts(
            config=denied, deployments=denied, pods=denied, nodes=denied, cluster_applications=denied,
            applications=Part(objects=(objects.application("counter", "web"),)),
        )
    )  # fmt: skip
    assert (found.operator, found.config, found.nodes) == (None, None, None)
    assert [each.name for each in found.applications] == ["counter"]
    assert found.untold == ("nodes is forbidden (ask)",)
    empty = overview.overview(
        overview.Parts(
            config=nothing, deployments=nothing, pods=nothing, nodes=nothing, cluster_applications=nothing,
            applications=nothing,
        )
    )  # fmt: skip
    assert empty.operator is not None and empty.operator.namespace == ""
    assert empty.config is not None and "there is no Config" in empty.config.message
    assert (empty.nodes, empty.untold) == ((), ())
