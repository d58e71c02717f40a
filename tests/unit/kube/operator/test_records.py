"""What is kept of objects, also of those that somebody else made."""

from __future__ import annotations

from typing import Any

import pytest

from skep.kube import naming
from skep.kube.api.key import Key
from skep.kube.operator import records


def test_a_state_in_a_namespace() -> None:
    kept = records.state(
        {
            "metadata": {
                "name": "counter-0a1b2c3d", "namespace": "acme", "uid": "s",
                "labels": naming.state_labels("counter", "node-a"),
                "finalizers": [naming.NAMESPACED_FINALIZER],
                "ownerReferences": [{"uid": "other"}, {"uid": "app", "controller": True}],
            },
            "status": {
                "node": "node-a", "observedGeneration": 4,
                "conditions": [{"type": "Error", "message": "x" * 5000}],
                "programs": [{"name": "a", "links": ["many"]}],
            },
        }
    )  # fmt: skip
    assert (kept.key, kept.of, kept.owner, kept.node) == (
        Key(namespace="acme", name="counter-0a1b2c3d"), "counter", "app", "node-a",
    )  # fmt: skip
    assert kept.held and not kept.deleted
    assert len(kept.message) == records.MESSAGE and kept.generation == 4


def test_the_other_scopes_finalizer_holds_nothing() -> None:
    kept = records.state({"metadata": {"name": "a", "uid": "s", "finalizers": [naming.NAMESPACED_FINALIZER]}})
    assert not kept.held and kept.type == ""


def test_a_state_whose_labels_are_gone_is_known_by_its_node() -> None:
    long = "n" * 200
    kept = records.state({"metadata": {"name": "a", "uid": "s"}, "status": {"node": long}})
    assert kept.node == naming.label(long)


PODS: dict[str, tuple[dict[str, Any], str]] = {
    "bound": ({"nodeName": "a"}, "a"),
    "not bound yet": (
        {
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}
                        ]
                    }
                }
            }
        },
        "b",
    ),
    "meant for nobody": ({}, ""),
}


@pytest.mark.parametrize(("spec", "node"), PODS.values(), ids=PODS.keys())
def test_where_a_pod_is_at_home(spec, node) -> None:
    assert records.home({"spec": spec}) == node


def test_a_status_that_is_told_whole() -> None:
    told = records.Told(generation=1, desired=2, ready=2, type="Success", message="m", since="2026-01-31T12:00:00Z")
    about = {"name": "a", "uid": "u"}
    assert records.application({"metadata": about, "status": told.document()}).told_whole
    assert records.application({"metadata": about, "status": told.document()}).told == told
    # Upstream's operator tells the condition alone.
    upstream = {"conditions": told.document()["conditions"]}
    assert not records.application({"metadata": about, "status": upstream}).told_whole
    assert not records.application({"metadata": about}).told_whole


@pytest.mark.parametrize(
    ("names", "text"),
    [([], ""), (["a"], "a"), (list("abcde"), "a, b, c, d, e"), (list("abcdef"), "a, b, c, d, e and 1 more")],
)
def test_a_list_of_names(names, text) -> None:
    assert records.listed(names) == text
