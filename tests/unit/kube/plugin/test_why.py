"""Why an application is not ready: the ladder of reasons, each with the step that is most worth doing."""

from __future__ import annotations

from typing import Any

import pytest

from skep.kube.plugin import machinery, step, why
from skep.kube.plugin.machinery import Config, Operator
from tests.unit.kube.plugin import objects

ALL = ("daemon", "agent", "csi")
NODES = [objects.node("a", zone="x"), objects.node("b", zone="y")]
PODS = [objects.pod("pod-a", "a", *ALL), objects.pod("pod-b", "b", *ALL)]
OPERATOR = Operator(namespace="bpfman", ready=1, desired=1, image="i")
CONFIG = machinery.config(
    {"metadata": {"generation": 1}, "status": {"observedGeneration": 1, "conditions": [objects.condition("Success")]}}
)
WAITING = objects.application(type="Pending", message="waiting for b", counts=(2, 1, 0))
DELETED = objects.application(type="Pending", counts=(0, 0, 0), deletionTimestamp="t")
UNREADABLE = {"matchExpressions": [{"key": "a", "operator": "In"}]}
LINK = objects.link(
    status="AttachError", interfaceName="eth9", error="interface eth9: there is none (ip link shows them)"
)
FAILED = objects.program("count", "XDP", LINK, id=7, status="Error")


def answered(
    app: dict[str, Any],
    *states: dict[str, Any],
    nodes: list[Any] | None = NODES,
    pods: list[Any] | None = PODS,
    events: tuple[Any, ...] = (),
) -> why.Answer:
    return why.answer(app, states, nodes, pods, events)


def good(*nodes: str, app: dict[str, Any] = WAITING) -> list[dict[str, Any]]:
    return [objects.state(name, app) for name in nodes]


@pytest.mark.parametrize(
    ("found", "operator", "config", "reason", "command"),
    [
        (
            answered(objects.application(observed=2)), Operator(namespace="", ready=0, desired=0, image=""), CONFIG,
            "no operator is in this cluster", "kubectl apply --server-side -k deploy",
        ),
        (
            answered(objects.application(observed=2)), Operator(namespace="o", ready=0, desired=1, image=""), CONFIG,
            "the operator is not ready (0 of 1)",
            "kubectl describe pods -n o -l app.kubernetes.io/name=bpfman-operator",
        ),
        (
            answered(objects.application(selector={"matchLabels": {"zone": "z"}})), OPERATOR, CONFIG,
            "no node has the labels that it wants; nearest is a: label zone has to be 'z'; it is 'x'",
            "kubectl get nodes --show-labels",
        ),
        (
            answered(WAITING, *good("a"), pods=PODS[:1]), OPERATOR, machinery.config(None),
            "there is no Config bpfman-config", "kubectl explain config.spec --api-version=bpfman.io/v1alpha1",
        ),
        (
            answered(
                objects.application(type="Error", counts=(2, 1, 1)), *good("a"),
                objects.state("b", WAITING, FAILED, type="Error", message="count: no"),
            ),
            OPERATOR, CONFIG, "on b: program count (eth9): interface eth9: there is none",
            "kubectl skep logs b -c agent -c daemon",
        ),
        (
            answered(
                objects.application(type="Error", counts=(2, 1, 1)), *good("a"),
                objects.state("b", WAITING, type="Error", loaded="LoadError", message="image: unauthorized"),
            ),
            OPERATOR, CONFIG, "on b: image: unauthorized", "kubectl skep logs b -c agent -c daemon",
        ),
        (
            answered(WAITING, *good("a"), pods=PODS[:1]), OPERATOR, CONFIG,
            "b is selected and has no pod of bpfman-daemon", "kubectl describe daemonset -n bpfman bpfman-daemon",
        ),
        (
            answered(WAITING, *good("a"), nodes=[NODES[0], objects.node("b", ready=False)]), OPERATOR, CONFIG,
            "the node b is not ready", "kubectl describe node b",
        ),
        (
            answered(WAITING, *good("a"), pods=[PODS[0], objects.pod("pod-b", "b", "daemon", "csi")]), OPERATOR,
            CONFIG, "the agent on b is not ready: agent: its readiness probe fails",
            "kubectl describe pod -n bpfman pod-b",
        ),
        (
            answered(WAITING, *good("a")), OPERATOR, CONFIG, "the agent on b has said nothing of it yet",
            "kubectl skep logs b -c agent",
        ),
        (
            answered(WAITING, *good("a"), objects.state("b", WAITING, observed=2)), OPERATOR, CONFIG,
            "the agent on b has not done this spec yet", "kubectl skep logs b -c agent",
        ),
        (
            answered(WAITING, *good("a"), objects.state("b", WAITING, type="Pending", message="pod x has no network")),
            OPERATOR, CONFIG, "b waits: pod x has no network", "kubectl skep logs b -c agent",
        ),
        (
            answered(WAITING, *good("a", "b")), OPERATOR, CONFIG, "every node that can be seen is ready",
            "kubectl skep logs -c operator",
        ),
        (
            answered(DELETED, objects.state("b", DELETED), pods=PODS[:1]), OPERATOR, CONFIG,
            "it is being deleted, and on b nobody can remove it: agent no pod", "kubectl get node b",
        ),
        (
            answered(DELETED, objects.state("b", DELETED, type="UnloadError", message="busy")), OPERATOR, CONFIG,
            "on b: busy", "kubectl skep logs b -c agent -c daemon",
        ),
        (
            answered(DELETED, objects.state("b", DELETED, held=False)), OPERATOR, CONFIG,
            "it is being deleted, and no node has anything of it", "kubectl skep logs -c operator",
        ),
        (
            answered(objects.application(selector=UNREADABLE, type="Error")),
            OPERATOR, CONFIG, "its node selector cannot be read", "kubectl edit clusterbpfapplication firewall",
        ),
        (
            answered(WAITING, *good("a"), nodes=None, pods=None), None, None, "every node that can be seen is ready",
            "kubectl skep logs -c operator",
        ),
    ],
    ids=[
        "no-operator", "operator-down", "no-node-selected", "no-config", "link-refused", "load-refused", "no-pod",
        "kubelet-away", "agent-not-ready", "agent-silent", "agent-behind", "waits", "operator-behind",
        "delete-without-agent", "delete-refused", "delete-done", "selector", "few-rights",
    ],
)  # fmt: skip
def test_the_next_step(
    found: why.Answer, operator: Operator | None, config: Config | None, reason: str, command: str
) -> None:
    # Where no node is meant all is as it is wanted, and hardly as it was meant.
    assert found.ready is reason.startswith("no node has the labels")
    told = step.step(found, operator, config)
    assert told is not None and told.reason.startswith(reason), told
    assert told.command == command and told.do


def test_an_errors_own_advice_is_the_step() -> None:
    state = objects.state("b", WAITING, FAILED, type="Error")
    told = step.step(answered(objects.application(type="Error"), state), OPERATOR, CONFIG)
    assert told is not None and told.do == "correct it and apply it again: ip link shows them"
    assert told.reason == "on b: program count (eth9): interface eth9: there is none"


@pytest.mark.parametrize(
    ("phase", "do"),
    [("Paused", "set spec.rollout.paused to false"), ("Returned", "correct the spec"), ("Progressing", "look again")],
)
def test_a_rollout_that_does_not_go_on_is_the_reason(phase: str, do: str) -> None:
    app = objects.application(type="Pending", counts=(2, 1, 0))
    app["status"]["rollout"] = {"phase": phase, "revision": "r2", "updated": 1, "total": 2, "message": "1 of 2 nodes"}
    found = answered(app, *good("a", app=app), objects.state("b", app, observed=2))
    told = step.step(found, OPERATOR, CONFIG)
    assert found.application.rollout == f"{phase} 1/2"
    assert told is not None and do in told.do
    assert ("1 of 2 nodes" in told.reason) is (phase != "Progressing")


def test_what_is_ready_needs_no_step() -> None:
    app = objects.application()
    found = answered(app, *good("a", "b", app=app))
    assert found.ready and step.step(found, OPERATOR, CONFIG) is None


@pytest.mark.parametrize(
    ("selector", "unmet"),
    [
        ({}, ()),
        ({"matchLabels": {"zone": "x"}}, ()),
        ({"matchLabels": {"zone": "z"}}, ("label zone has to be 'z'; it is 'x'",)),
        ({"matchLabels": {"role": "web"}}, ("label role has to be 'web'; it is missing",)),
        (
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["p", "q"]}]},
            ("label zone has to be one of p, q; it is 'x'",),
        ),
        (
            {"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["x"]}]},
            ("label zone must not be one of x; it is 'x'",),
        ),
        ({"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}, ("label gpu has to be there",)),
        (
            {"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]},
            ("label zone must not be there; it is 'x'",),
        ),
    ],
)  # fmt: skip
def test_why_a_node_is_not_meant(selector: dict[str, Any], unmet: tuple[str, ...]) -> None:
    found = answered(objects.application(selector=selector), nodes=NODES[:1])
    assert (found.nodes[0].unmet, found.nodes[0].selected) == (unmet, not unmet)


def test_another_applications_state_of_the_same_name_is_not_its() -> None:
    old = objects.state("a", objects.application())
    old["metadata"]["ownerReferences"][0]["uid"] = "another"
    assert not answered(objects.application(), old).nodes[0].state


def test_events_come_newest_first() -> None:
    made = [
        {"type": "Normal", "reason": "Attached", "message": "m", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 3},
        {"type": "Warning", "reason": "LoadFailed", "message": "n", "lastTimestamp": "2026-01-02T00:00:00Z",
         "source": {"component": "bpfman-agent", "host": "b"}},
    ]  # fmt: skip
    found = answered(objects.application(), events=tuple(made)).events
    assert [(each.reason, each.source, each.count) for each in found] == [("LoadFailed", "b", 1), ("Attached", "", 3)]
