"""Applications in a real cluster: agents' reports are added up; deletion waits for them, and no longer than needed."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from skep.kube import naming
from tests.kube import operator_rig as rig
from tests.kube.plane import ControlPlane, until

A, B, TAINTED = "app-node-a", "app-node-b", "app-node-tainted"
NAMESPACE = "operator-applications"


@pytest.fixture(scope="module")
def cluster(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Operator]:
    """Two nodes with a daemon's pod each, a tainted one without, and an operator."""
    tainted = rig.node(TAINTED)
    tainted["spec"] = {"taints": [{"key": "example.com/other", "effect": "NoSchedule"}]}
    directory = tmp_path_factory.mktemp("operator")
    with rig.cluster(plane, directory, NAMESPACE, rig.node(A, role="web"), rig.node(B), tainted) as made:
        yield made


@pytest.fixture
def agents(plane: ControlPlane, cluster: rig.Operator) -> tuple[rig.Agent, rig.Agent]:
    return rig.Agent(plane, A, NAMESPACE), rig.Agent(plane, B, NAMESPACE)


@pytest.fixture(params=["cluster", "namespaced"])
def app(request: pytest.FixtureRequest, plane: ControlPlane, namespace: str, cluster: rig.Operator) -> dict[str, Any]:
    """An application of either kind, as the API server has it, with the operator's finalizer."""
    made = rig.application(f"counter-{namespace}", namespace if request.param == "namespaced" else "")
    return created(plane, made)


def created(plane: ControlPlane, document: dict[str, Any]) -> dict[str, Any]:
    plane.apply(document)

    def look() -> dict[str, Any]:
        now = rig.seen(plane, document)
        assert naming.OPERATOR_FINALIZER in now["metadata"]["finalizers"] and rig.condition(now)
        return now

    return until("it is looked after", look)


def gone(plane: ControlPlane, document: dict[str, Any]) -> None:
    until("it is gone", lambda: not rig.seen(plane, document))


def delete(plane: ControlPlane, document: dict[str, Any]) -> None:
    about = document["metadata"]
    where = ("-n", about["namespace"]) if about.get("namespace") else ()
    plane.kubectl("delete", document["kind"], about["name"], *where, "--wait=false")


def test_from_the_first_look_to_the_last(
    plane: ControlPlane, agents: tuple[rig.Agent, rig.Agent], app: dict[str, Any]
) -> None:
    one, two = agents
    told = rig.wait_for(plane, app, "Pending", f"waiting for {A}, {B}")
    assert [told["status"].get(name) for name in ("desired", "ready", "failed")] == [2, 0, 0]
    one.report(app, "Success")
    rig.wait_for(plane, app, "Pending", f"applied on 1 of 2 nodes; waiting for {B}")
    two.report(app, "Error", "the verifier said no")
    told = rig.wait_for(plane, app, "Error", f"failed on 1 of 2 nodes: {B}: the verifier said no")
    since = rig.condition(told)["lastTransitionTime"]
    two.report(app, "Error", "it still says no")
    told = rig.wait_for(plane, app, "Error", "it still says no")
    assert rig.condition(told)["lastTransitionTime"] == since, "the type has not changed"
    two.report(app, "Success")
    told = rig.wait_for(plane, app, "Success", "applied on 2 nodes")
    assert [told["status"].get(name) for name in ("desired", "ready", "failed")] == [2, 2, 0]
    assert told["status"]["observedGeneration"] == told["metadata"]["generation"]

    delete(plane, app)
    told = rig.wait_for(plane, app, "Pending", f"being deleted; waiting for {A}, {B}")
    one.let_go(app)
    rig.wait_for(plane, app, "Pending", f"being deleted; waiting for {B}")
    two.let_go(app)
    gone(plane, app)
    until(
        "its states are collected",
        lambda: not plane.list(app["kind"] + "State", labels=f"{naming.OWNED}={app['metadata']['name']}"),
    )


def test_a_new_spec_is_waited_for(
    plane: ControlPlane, agents: tuple[rig.Agent, rig.Agent], app: dict[str, Any]
) -> None:
    for each in agents:
        each.report(app, "Success")
    before = rig.wait_for(plane, app, "Success")
    app["spec"]["byteCode"] = {"path": "/another.o"}
    plane.apply({key: app[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": _bare(app)})
    now = rig.wait_for(plane, app, "Pending", "waiting for")
    assert now["status"]["observedGeneration"] == before["metadata"]["generation"] + 1
    for each in agents:
        each.report(now, "Success")
    rig.wait_for(plane, app, "Success")


def _bare(document: dict[str, Any]) -> dict[str, Any]:
    return {key: document["metadata"][key] for key in ("name", "namespace") if key in document["metadata"]}


def test_a_node_that_refuses_to_let_go_is_told(
    plane: ControlPlane, agents: tuple[rig.Agent, rig.Agent], app: dict[str, Any]
) -> None:
    one, two = agents
    one.report(app, "Success")
    two.report(app, "Success")
    delete(plane, app)
    one.let_go(app)
    two.report(app, "UnloadError", "pin is busy")
    rig.wait_for(plane, app, "DeleteError", f"cannot be removed from {B}: pin is busy")
    two.let_go(app)
    gone(plane, app)


def test_an_application_that_nobody_has_is_gone_at_once(plane: ControlPlane, app: dict[str, Any]) -> None:
    delete(plane, app)
    gone(plane, app)


def test_a_node_that_vanishes_holds_nothing(
    plane: ControlPlane, agents: tuple[rig.Agent, rig.Agent], app: dict[str, Any]
) -> None:
    """Nobody on a node that is gone lets go of its state, which would keep the application for ever."""
    one, two = agents
    name = f"gone-{app['metadata']['name']}"
    with rig.nodes(plane, rig.node(name)):
        third = rig.Agent(plane, name, NAMESPACE)
        for each in (one, two, third):
            each.report(app, "Success")
        rig.wait_for(plane, app, "Success", "applied on 3 nodes")
        plane.kubectl("delete", "node", name)
        rig.wait_for(plane, app, "Success", "applied on 2 nodes")
        labels = ",".join(f"{key}={value}" for key, value in naming.state_labels(app["metadata"]["name"], name).items())
        until("its state is gone", lambda: not plane.list(app["kind"] + "State", labels=labels))
    one.let_go(app)
    two.let_go(app)
    delete(plane, app)
    gone(plane, app)


@pytest.mark.parametrize("app", ["cluster"], indirect=True)
def test_a_node_that_vanishes_while_its_application_is_deleted(
    plane: ControlPlane, agents: tuple[rig.Agent, rig.Agent], app: dict[str, Any]
) -> None:
    name = f"going-{app['metadata']['name']}"
    with rig.nodes(plane, rig.node(name)):
        rig.Agent(plane, name, NAMESPACE).report(app, "Success")
        delete(plane, app)
        rig.wait_for(plane, app, "Pending", f"being deleted; waiting for {name}")
        plane.kubectl("delete", "node", name)
        gone(plane, app)


def test_labels_of_nodes_decide_where_it_is_expected(
    plane: ControlPlane, agents: tuple[rig.Agent, rig.Agent], namespace: str
) -> None:
    one, two = agents
    app = created(plane, rig.application(f"web-{namespace}", nodeSelector={"matchLabels": {"role": "web"}}))
    rig.wait_for(plane, app, "Pending", f"waiting for {A}")
    one.report(app, "Success")
    rig.wait_for(plane, app, "Success", "applied on 1 node")
    plane.kubectl("label", "node", B, "role=web")
    try:
        rig.wait_for(plane, app, "Pending", f"applied on 1 of 2 nodes; waiting for {B}")
        plane.kubectl("label", "node", TAINTED, "role=web")
        two.report(app, "Success")
        rig.wait_for(plane, app, "Success", "applied on 2 nodes")
    finally:
        plane.kubectl("label", "node", B, TAINTED, "role-")
    told = rig.wait_for(plane, app, "Success", "applied on 1 node")
    assert told["status"]["desired"] == 1
    nowhere = created(plane, rig.application(f"no-{namespace}", nodeSelector={"matchLabels": {"role": "none"}}))
    told = rig.wait_for(plane, nowhere, "Success", "no node has the labels")
    assert told["status"]["desired"] == 0


def test_an_application_of_the_same_name_starts_anew(
    plane: ControlPlane, agents: tuple[rig.Agent, rig.Agent], app: dict[str, Any]
) -> None:
    one, two = agents
    one.report(app, "Success")
    two.report(app, "Success")
    rig.wait_for(plane, app, "Success")
    delete(plane, app)
    one.let_go(app)
    two.let_go(app)
    gone(plane, app)
    anew = {key: app[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": _bare(app)}
    again = created(plane, anew)
    assert again["metadata"]["uid"] != app["metadata"]["uid"]
    rig.wait_for(plane, again, "Pending", f"waiting for {A}, {B}")


def test_what_kubectl_shows(plane: ControlPlane, agents: tuple[rig.Agent, rig.Agent], app: dict[str, Any]) -> None:
    agents[0].report(app, "Error", "the verifier said no")
    rig.wait_for(plane, app, "Error")
    where = ("-n", app["metadata"]["namespace"]) if "namespace" in app["metadata"] else ()
    shown = plane.kubectl("get", app["kind"], app["metadata"]["name"], *where, "-o", "wide")
    header, row = shown.strip().splitlines()
    assert header.split()[:6] == ["NAME", "NODESELECTOR", "DESIRED", "READY", "FAILED", "STATUS"]
    assert row.split()[1:6] == ["{}", "2", "0", "1", "Error"]
    assert "the verifier said no" in row


def can(plane: ControlPlane, verb: str, kind: str, *words: str) -> bool:
    """What the API server says that the agents' account may do."""
    who = f"--as=system:serviceaccount:{NAMESPACE}:{naming.ACCOUNT}"
    return plane.kubectl("auth", "can-i", verb, kind, who, *words, check=False).strip().startswith("yes")


def test_agents_may_change_no_spec_and_read_no_other_secret(
    plane: ControlPlane, agents: tuple[rig.Agent, rig.Agent], app: dict[str, Any], namespace: str
) -> None:
    where = ("-n", app["metadata"]["namespace"]) if "namespace" in app["metadata"] else ()
    with pytest.raises(subprocess.CalledProcessError) as refused:
        plane.kubectl(
            "patch", app["kind"], app["metadata"]["name"], *where, "--type=merge",
            "-p", '{"spec":{"nodeSelector":{"matchLabels":{"a":"b"}}}}', kubeconfig=agents[0].kubeconfig,
        )  # fmt: skip
    assert "forbidden" in refused.value.stderr.lower()
    assert not can(plane, "get", "secrets", "-n", namespace)
    assert not can(plane, "list", "secrets", "-A")
    assert not can(plane, "patch", app["kind"], "--subresource=status", "-A")
    assert can(plane, "get", app["kind"], "-A")


@pytest.mark.parametrize("app", ["cluster"], indirect=True)
def test_events_tell_what_happened(
    plane: ControlPlane, agents: tuple[rig.Agent, rig.Agent], app: dict[str, Any]
) -> None:
    where = ("-n", app["metadata"]["namespace"]) if "namespace" in app["metadata"] else ()
    agents[0].report(app, "Error", "the verifier said no")

    def described() -> str:
        text = plane.kubectl("describe", app["kind"], app["metadata"]["name"], *where)
        assert "Warning" in text.partition("Events:")[2], text
        return text

    assert f"failed on 1 of 2 nodes: {A}: the verifier said no" in until("an Event", described).partition("Events:")[2]


def test_pull_secrets_are_granted_by_name(plane: ControlPlane, cluster: rig.Operator, namespace: str) -> None:
    def image(secret: str, of: str = namespace) -> dict[str, Any]:
        return {"image": {"url": "localhost/a:1", "imagePullSecret": {"namespace": of, "name": secret}}}

    first = created(plane, rig.application("first", namespace, byteCode=image("login")))
    until("it may be read", lambda: can(plane, "get", "secrets/login", "-n", namespace))
    assert not can(plane, "get", "secrets/other", "-n", namespace)
    assert not can(plane, "list", "secrets", "-n", namespace)
    second = created(plane, rig.application(f"second-{namespace}", byteCode=image("other")))
    until("both may be read", lambda: can(plane, "get", "secrets/other", "-n", namespace))
    assert can(plane, "get", "secrets/login", "-n", namespace)

    plane.kubectl("delete", "role", naming.PULL_SECRETS, "-n", namespace)
    until("the role is there again", lambda: plane.get("role", naming.PULL_SECRETS, namespace=namespace))
    delete(plane, second)
    until("the second may not", lambda: not can(plane, "get", "secrets/other", "-n", namespace))
    assert can(plane, "get", "secrets/login", "-n", namespace)
    delete(plane, first)
    until("nothing is left", lambda: not plane.get("rolebinding", naming.PULL_SECRETS, namespace=namespace))
    until("nothing is left", lambda: not plane.get("role", naming.PULL_SECRETS, namespace=namespace))


@pytest.mark.parametrize("app", ["cluster"], indirect=True)
def test_an_idle_cluster_is_written_to_by_nobody(
    plane: ControlPlane, agents: tuple[rig.Agent, rig.Agent], app: dict[str, Any]
) -> None:
    for each in agents:
        each.report(app, "Success")
    rig.wait_for(plane, app, "Success")
    kinds = (
        "clusterbpfapplications,bpfapplications,clusterbpfapplicationstates,bpfapplicationstates,configs,daemonsets,"
        "configmaps,serviceaccounts,csidrivers,roles,rolebindings,clusterrolebindings,events"
    )  # not nodes: the control plane itself tells when no kubelet answers

    def versions() -> dict[str, str]:
        items = json.loads(plane.kubectl("get", kinds, "-A", "-o", "json"))["items"]
        return {each["metadata"]["uid"]: each["metadata"]["resourceVersion"] for each in items}

    def settled() -> bool:
        before = versions()
        time.sleep(1)
        return before == versions()

    until("it has come to rest", settled)
    before = versions()
    time.sleep(5)  # nothing can be waited for where nothing is to happen
    assert versions() == before


@pytest.mark.parametrize("app", ["cluster"], indirect=True)
def test_an_api_server_that_goes_away_and_comes_back(
    plane: ControlPlane, agents: tuple[rig.Agent, rig.Agent], cluster: rig.Operator, app: dict[str, Any]
) -> None:
    agents[0].report(app, "Success")
    rig.wait_for(plane, app, "Pending", f"waiting for {B}")
    plane.restart_apiserver()
    agents[1].report(app, "Success")
    rig.wait_for(plane, app, "Success", "applied on 2 nodes")
    assert cluster.process.poll() is None


@pytest.mark.parametrize("app", ["cluster"], indirect=True)
def test_somebody_who_writes_the_status_too(
    plane: ControlPlane, agents: tuple[rig.Agent, rig.Agent], app: dict[str, Any]
) -> None:
    for each in agents:
        each.report(app, "Success")
    rig.wait_for(plane, app, "Success")
    where = ("-n", app["metadata"]["namespace"]) if "namespace" in app["metadata"] else ()
    wrong = {
        "status": {
            "desired": 99,
            "conditions": [
                {
                    "type": "Wrong", "status": "False", "reason": "Wrong", "message": "theirs",
                    "lastTransitionTime": "2026-01-31T12:00:00Z",
                }
            ],
        }
    }  # fmt: skip
    plane.kubectl(
        "patch", app["kind"], app["metadata"]["name"], *where, "--subresource=status", "--type=merge",
        "-p", json.dumps(wrong),
    )  # fmt: skip
    assert rig.wait_for(plane, app, "Success", "applied on 2 nodes")["status"]["desired"] == 2


def test_upstreams_objects_with_lists_of_bytes(
    plane: ControlPlane, agents: tuple[rig.Agent, rig.Agent], namespace: str
) -> None:
    """globalData as every sample of upstream's writes it: nothing that the operator writes may stumble over it."""
    app = created(
        plane, rig.application(f"bytes-{namespace}", globalData={"GLOBAL_u8": [1], "GLOBAL_u32": [1, 2, 3, 4]})
    )
    agents[0].report(app, "Success")
    rig.wait_for(plane, app, "Pending", "applied on 1 of 2 nodes")
    agents[0].let_go(app)
    delete(plane, app)
    gone(plane, app)
