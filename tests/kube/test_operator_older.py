"""Objects of older kinds in a real cluster: each becomes the current one, and says in its own words what came of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skep.kube import crd, kinds, naming
from skep.kube.older import kinds as older_kinds
from skep.kube.older import rewrite
from skep.kube.operator import definitions
from tests.kube import nodes as real
from tests.kube import operator_rig as rig
from tests.kube.plane import ControlPlane, until
from tests.unit.kube.older import samples

A, B = "older-node-a", "older-node-b"
NAMESPACE = "operator-older"
PRIMARY = {"interfaceselector": {"interfaces": ["eth0"]}, "priority": 50}
NOWHERE = {"nodeselector": {"matchLabels": {"no": "node"}}}
XDP = {"type": "XDP", "xdp": {"links": []}}
WEB = {"containers": {"pods": {"matchLabels": {"app": "web"}}}}
EVERY = (
    samples.older("XdpProgram", PRIMARY, name="every-xdp"),
    samples.older("TcProgram", {**PRIMARY, "direction": "ingress"}, name="every-tc"),
    samples.older("TcxProgram", {**PRIMARY, "direction": "egress"}, name="every-tcx"),
    samples.older("TracepointProgram", {"names": ["sched/sched_switch"]}, name="every-tracepoint"),
    samples.older("KprobeProgram", {"func_name": "do_unlinkat"}, name="every-kprobe"),
    samples.older("UprobeProgram", {"target": "libc", "func_name": "malloc"}, name="every-uprobe"),
    samples.older("FentryProgram", {"func_name": "do_unlinkat"}, name="every-fentry"),
    samples.older("FexitProgram", {"func_name": "do_unlinkat"}, name="every-fexit"),
    samples.older(
        "BpfProgramConfig",
        {
            "name": "pass", "type": "TRACEPOINT", "attachpoint": {"singleattach": {"name": "sched/sched_switch"}},
            "bytecode": {"path": "/opt/x.o"},
        },
        name="every-config",
    ),
    samples.older("XdpNsProgram", {**PRIMARY, **WEB}, name="every-xdp-ns"),
    samples.older("TcNsProgram", {**PRIMARY, **WEB, "direction": "ingress"}, name="every-tc-ns"),
    samples.older("TcxNsProgram", {**PRIMARY, **WEB, "direction": "ingress"}, name="every-tcx-ns"),
    samples.older("UprobeNsProgram", {**WEB, "target": "libc", "func_name": "malloc"}, name="every-uprobe-ns"),
    samples.older(
        "BpfNsApplication",
        {"programs": [{"type": "XDP", "xdp": {**PRIMARY, **WEB, "bpffunctionname": "pass"}}]},
        name="every-app-ns",
    ),
)  # fmt: skip
APPLICATION = samples.older(
    "BpfApplication", {"programs": [{"type": "XDP", "xdp": {**PRIMARY, "bpffunctionname": "pass"}}]}, name="older-app"
)


@pytest.fixture(scope="module")
def cluster(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Operator]:
    """Two nodes with a daemon's pod each, and an operator."""
    directory = tmp_path_factory.mktemp("older")
    with rig.cluster(plane, directory, NAMESPACE, rig.node(A, played="yes"), rig.node(B, played="yes")) as made:
        yield made


@pytest.fixture
def agents(plane: ControlPlane, cluster: rig.Operator) -> tuple[rig.Agent, rig.Agent]:
    return rig.Agent(plane, A, NAMESPACE), rig.Agent(plane, B, NAMESPACE)


def named(document: dict[str, Any]) -> str:
    """The kind as kubectl finds it, whatever else is called so."""
    group = document["apiVersion"].partition("/")[0]
    return f"{document['kind'].lower()}s.{group}"


def seen(plane: ControlPlane, document: dict[str, Any]) -> dict[str, Any]:
    about = document["metadata"]
    return plane.get(named(document), about["name"], namespace=about.get("namespace"))


def becomes(plane: ControlPlane, document: dict[str, Any], type: str, text: str = "") -> dict[str, Any]:
    """An older object as soon as its condition is of a type, with a message that holds ``text``."""

    def look() -> dict[str, Any]:
        now = seen(plane, document)
        told = rig.condition(now)
        assert told.get("type") == type and text in told["message"], told
        return now

    return until(f"{type} of {document['metadata']['name']}", look)


def current(plane: ControlPlane, document: dict[str, Any]) -> dict[str, Any]:
    """The application that was made of an older object, as soon as it is there."""
    about = document["metadata"]
    kind = "bpfapplication" if about.get("namespace") else "clusterbpfapplication"

    def look() -> dict[str, Any]:
        found = plane.get(kind, about["name"], namespace=about.get("namespace"))
        assert found["metadata"]["labels"][naming.TRANSLATED_FROM] == document["kind"]
        return found

    return until(f"what is made of {about['name']}", look)


def delete(plane: ControlPlane, *documents: dict[str, Any]) -> None:
    text = "\n---\n".join(map(json.dumps, documents))
    plane.kubectl("delete", "-f", "-", "--wait=false", "--ignore-not-found", input=text)


def gone(plane: ControlPlane, *documents: dict[str, Any]) -> None:
    """Wait until objects, and what was made of them, are there no more."""
    for each in documents:
        name, namespace = each["metadata"]["name"], each["metadata"].get("namespace")
        until(f"{name} is gone", lambda each=each: not seen(plane, each))  # type: ignore[misc]
        kind = "bpfapplication" if namespace else "clusterbpfapplication"
        assert not plane.get(kind, name, namespace=namespace)


def pods_see(name: str, program: str = "pass", id: int = 7) -> list[dict[str, Any]]:
    """What an agent reports of one XDP program at one interface."""
    link = {
        "interfaceName": "eth0", "priority": 0, "proceedOn": ["Pass", "DispatcherReturn"], "shouldAttach": True,
        "uuid": f"{name}-{program}", "linkId": 3, "linkStatus": "Attached",
    }  # fmt: skip
    return [
        {
            "name": program, "type": "XDP", "programLinkStatus": "Success", "programId": id, "xdp": {"links": [link]},
            "maps": {"xdp_stats_map": f"/sys/fs/bpf/skep/sets/{id}/xdp_stats_map"},
        }
    ]  # fmt: skip


def rows(text: str) -> list[list[str]]:
    """The words of each line of a table."""
    return [line.split() for line in text.splitlines()]


def test_the_sample_of_its_time(plane: ControlPlane, agents: tuple[rig.Agent, rig.Agent]) -> None:
    """What bpfman-operator's instructions do, with what they show."""
    document = samples.parsed(samples.SEED)
    plane.apply(document)
    app = current(plane, document)
    becomes(plane, document, "NotYetLoaded", "waiting for")
    for number, agent in enumerate(agents):
        agent.report(app, "Success", programs=pods_see(agent.node, id=7 + number))
    now = becomes(plane, document, "ReconcileSuccess")
    (condition,) = now["status"]["conditions"]
    condition.pop("lastTransitionTime")
    assert condition == {
        "message": "bpfProgramReconciliation Succeeded on all nodes",
        "reason": "ReconcileSuccess", "status": "True", "type": "ReconcileSuccess",
    }  # fmt: skip
    assert now["metadata"]["finalizers"] == ["bpfman.io.operator/finalizer"]
    shown = plane.kubectl("get", "xdpprogram", "-o", "wide")
    assert rows(shown)[:2] == [
        ["NAME", "BPFFUNCTIONNAME", "NODESELECTOR", "PRIORITY", "INTERFACESELECTOR", "PROCEEDON"],
        ["xdp-pass-all-nodes", "pass", "{}", "0", '{"primarynodeinterface":true}', '["pass","dispatcher_return"]'],
    ]

    def look() -> list[dict[str, Any]]:
        found = plane.list("bpfprograms.bpfman.io", labels=f"{naming.OWNED}=xdp-pass-all-nodes")
        assert len(found) == 2 and all(each.get("status") for each in found)
        return found

    views = until("a BpfProgram for each node", look)
    assert sorted(each["metadata"]["labels"][naming.HOSTNAME] for each in views) == [A, B]
    for id, each in enumerate(sorted(views, key=lambda each: each["metadata"]["labels"][naming.HOSTNAME]), 7):
        assert each["spec"] == {"type": "xdp", "maps": {"xdp_stats_map": f"/sys/fs/bpf/skep/sets/{id}/xdp_stats_map"}}
        assert each["metadata"]["annotations"]["bpfman.io/ProgramId"] == str(id)
        assert each["metadata"]["annotations"]["bpfman.io.xdpprogramcontroller/interface"] == "eth0"
        assert rig.condition(each)["reason"] == "bpfmanLoaded"
    assert "bpfmanLoaded" in plane.kubectl("get", "bpfprograms")
    versions = {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in views}
    agents[0].report(app, "Success", "said otherwise", programs=pods_see(A))
    agents[1].report(app, "Error", "the verifier said no", programs=[])
    becomes(plane, document, "ReconcileError", f"failed on 1 of 2 nodes: {B}: the verifier said no")

    def one_is_left() -> bool:
        found = plane.list("bpfprograms.bpfman.io", labels=f"{naming.OWNED}=xdp-pass-all-nodes")
        assert len(found) == 1
        left = found[0]
        assert left["metadata"]["labels"][naming.HOSTNAME] == A
        assert versions[left["metadata"]["name"]] == left["metadata"]["resourceVersion"], "nothing new was written"
        return True

    until("nothing of the node where it no longer is", one_is_left)

    delete(plane, document)
    until("it is being deleted", lambda: "deletionTimestamp" in rig.seen(plane, app)["metadata"])
    assert seen(plane, document), "it waits for its nodes"
    for agent in agents:
        agent.let_go(app)
    gone(plane, document)
    until("its BpfPrograms are collected", lambda: not plane.list("bpfprograms.bpfman.io"))
    reasons = {each["reason"] for each in plane.list("events") if each["involvedObject"]["kind"] == "XdpProgram"}
    assert {"Translated", "ReconcileSuccess", "ReconcileError"} <= reasons


def test_of_bpfd(plane: ControlPlane, agents: tuple[rig.Agent, rig.Agent]) -> None:
    document = samples.parsed(samples.BPFD)
    document["metadata"]["name"] = "of-bpfd"
    plane.apply(document)
    app = current(plane, document)
    for agent in agents:
        agent.report(app, "Success", programs=pods_see(agent.node))
    becomes(plane, document, "ReconcileSuccess")

    def look() -> dict[str, Any]:
        found = plane.get("bpfprograms.bpfd.io", f"of-bpfd-{A}")
        assert found["metadata"]["labels"]["owningConfig"] == "of-bpfd"
        told = rig.condition(found)
        assert (told["type"], told["reason"]) == ("Loaded", "bpfdLoaded")
        return found

    found = until("its BpfProgram", look)
    (program,) = found["spec"]["programs"].values()
    assert program == {
        "attachpoint": {"interface": "eth0"}, "maps": {"xdp_stats_map": "/sys/fs/bpf/skep/sets/7/xdp_stats_map"},
    }  # fmt: skip
    until("one for each node", lambda: len(plane.list("bpfprograms.bpfd.io")) == 2)
    delete(plane, document)
    until("it is being deleted", lambda: "deletionTimestamp" in rig.seen(plane, app)["metadata"])
    for agent in agents:
        agent.let_go(app)
    gone(plane, document)


def test_every_older_kind(plane: ControlPlane, cluster: rig.Operator, namespace: str) -> None:
    documents = [json.loads(json.dumps(each)) for each in EVERY]
    for each in documents:
        each["spec"].update(NOWHERE)
        if older_kinds.by_name(each["apiVersion"], each["kind"]).kind.namespaced:  # type: ignore[union-attr]
            each["metadata"]["namespace"] = namespace
    assert {each["kind"] for each in documents} == {each.kind.name for each in older_kinds.OWN}
    plane.apply(*documents)
    for each in documents:
        made = current(plane, each)
        (owner,) = made["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == (each["kind"], seen(plane, each)["metadata"]["uid"])
        becomes(plane, each, "ReconcileSuccess", "bpfProgramReconciliation Succeeded on all nodes: no node has")
    delete(plane, *documents)
    gone(plane, *documents)


def test_names_that_two_claim(plane: ControlPlane, cluster: rig.Operator) -> None:
    one = samples.older("XdpProgram", {**PRIMARY, **NOWHERE}, name="claimed")
    two = samples.older("TracepointProgram", {"names": ["sched/sched_switch"], **NOWHERE}, name="claimed")
    mine = rig.application("claimed", nodeSelector={"matchLabels": {"no": "node"}})
    # The current one was there first.
    plane.apply(mine)
    rig.wait_for(plane, mine, "Success")
    before = rig.seen(plane, mine)
    plane.apply(one)
    now = becomes(plane, one, "ReconcileError", "there is ClusterBpfApplication claimed already")
    assert "rename this XdpProgram" in rig.condition(now)["message"]
    assert "finalizers" not in now["metadata"]
    assert rig.seen(plane, mine)["spec"] == before["spec"]
    # It goes: the name is free.
    plane.kubectl("delete", "clusterbpfapplication", "claimed")
    becomes(plane, one, "ReconcileSuccess")
    # Another older kind of that name, and a current one over what was made.
    plane.apply(two)
    becomes(plane, two, "ReconcileError", "it is made of the XdpProgram of that name")
    assert "already exists" in plane.kubectl("create", "-f", "-", input=json.dumps(mine), check=False)
    app = current(plane, one)
    # Another source, which does not go together with the one that is there, and a program more.
    image = {"image": {"url": "localhost/somebody-elses:1"}, "path": None}
    change = {"spec": {"byteCode": image, "programs": [*app["spec"]["programs"], {**XDP, "name": "more"}]}}
    plane.kubectl("patch", "clusterbpfapplication", "claimed", "--type=merge", "-p", json.dumps(change))
    until("it is as it was", lambda: rig.seen(plane, app)["spec"] == app["spec"])
    events = until("an Event", lambda: [each for each in plane.list("events") if each["reason"] == "Reverted"])
    assert "it is made of XdpProgram claimed; change that" in events[0]["message"]
    # The first of the two goes: the other's turn.
    delete(plane, one)
    until("the other's", lambda: current(plane, two))
    becomes(plane, two, "ReconcileSuccess")
    assert not seen(plane, one)
    delete(plane, two)
    gone(plane, two)


def test_changes_go_through(plane: ControlPlane, agents: tuple[rig.Agent, rig.Agent]) -> None:
    document = samples.older("XdpProgram", PRIMARY, name="edited", labels={"team": "a"})
    plane.apply(document)
    app = current(plane, document)
    link = app["spec"]["programs"][0]["xdp"]["links"][0]
    assert (link["priority"], app["metadata"]["labels"]["team"]) == (50, "a")
    for agent in agents:
        agent.report(app, "Success", programs=pods_see(agent.node))
    becomes(plane, document, "ReconcileSuccess")
    document["spec"]["priority"] = 7
    document["metadata"]["labels"]["team"] = "b"
    plane.apply(document)

    def look() -> dict[str, Any]:
        now = current(plane, document)
        assert now["spec"]["programs"][0]["xdp"]["links"][0]["priority"] == 7
        assert now["metadata"]["labels"]["team"] == "b"
        return now

    now = until("the change", look)
    becomes(plane, document, "NotYetLoaded")
    for agent in agents:
        agent.report(now, "Success", programs=pods_see(agent.node))
    becomes(plane, document, "ReconcileSuccess")
    # What its kind allows and the current one does not: said, and what was made before stays.
    document["spec"]["interfaceselector"] = {"primarynodeinterface": False}
    plane.apply(document)
    becomes(plane, document, "ReconcileError", "primary")
    assert current(plane, document)["spec"] == now["spec"]
    # A deletion that hangs.
    delete(plane, document)
    agents[1].let_go(app)
    agents[0].report(app, "UnloadError", "the program is in use")
    becomes(plane, document, "DeleteError", f"cannot be removed from {A}: the program is in use")
    agents[0].let_go(app)
    gone(plane, document)


def test_bpfapplications_in_both_forms(plane: ControlPlane, cluster: rig.Operator, namespace: str) -> None:
    """The CRD is the current, namespaced one; the older form means the whole cluster, and is served in one place."""
    here = {**APPLICATION, "metadata": {"name": "older-form", "namespace": naming.NAMESPACE}}
    here["spec"] = {**here["spec"], **NOWHERE}
    there = {**here, "metadata": {"name": "older-form", "namespace": namespace}}
    plane.apply(here, there)
    becomes(plane, there, "ReconcileError", "skep kube convert")
    becomes(plane, here, "ReconcileSuccess")
    made = plane.get("clusterbpfapplication", "older-form")
    labels = made["metadata"]["labels"]
    assert (labels[naming.TRANSLATED_FROM], labels[naming.TRANSLATED_NAMESPACE]) == ("BpfApplication", "bpfman")
    assert "ownerReferences" not in made["metadata"]
    # Written anew in its current form it is what it says, and no longer what it was.
    plane.kubectl("delete", "bpfapplication", "older-form", "-n", namespace)
    new = rig.application("older-form", naming.NAMESPACE, nodeSelector={"matchLabels": {"no": "node"}})
    plane.kubectl("replace", "-f", "-", input=json.dumps(new))
    until("nothing of it for the cluster", lambda: not plane.get("clusterbpfapplication", "older-form"))
    rig.wait_for(plane, new, "Success")
    plane.kubectl("replace", "-f", "-", input=json.dumps(here))
    becomes(plane, here, "ReconcileSuccess")
    made = plane.get("clusterbpfapplication", "older-form")
    agent = rig.Agent(plane, A, NAMESPACE)
    agent.report(made, "Success", programs=pods_see("older-form"))
    (view,) = until("a BpfProgram", lambda: plane.list("bpfprograms.bpfman.io"))
    (owner,) = view["metadata"]["ownerReferences"]
    assert owner["kind"] == "ClusterBpfApplication", "what is in a namespace cannot own what is not"
    delete(plane, here)
    until("it is being deleted", lambda: "deletionTimestamp" in rig.seen(plane, made)["metadata"])
    agent.let_go(made)
    gone(plane, here)
    until("nothing of it for the cluster", lambda: not plane.get("clusterbpfapplication", "older-form"))
    until("its BpfProgram is collected", lambda: not plane.list("bpfprograms.bpfman.io"))


def install(plane: ControlPlane, document: dict[str, Any]) -> None:
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=json.dumps(document))
    name = document["metadata"]["name"]
    plane.kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=20s")


def forget(plane: ControlPlane) -> str:
    """Have kubectl look again which kinds are in namespaces: it remembers that for hours."""
    shutil.rmtree(Path.home() / f".kube/cache/discovery/{plane.address}_{plane.port}", ignore_errors=True)
    return ""


def config_says(plane: ControlPlane, type: str | None, *texts: str) -> None:
    def look() -> bool:
        told = rig.condition(plane.get("config", naming.CONFIG))
        assert type in (None, told["type"]) and all(each in told["message"] for each in texts), told
        return True

    until(f"the Config says {texts}", look)


def test_crds_that_come_and_go(plane: ControlPlane, cluster: rig.Operator, namespace: str) -> None:
    """Without a restart: one that lacks fields, one that is missing, one of an older kind, and bpfman 0.5's own."""
    tcx = crd.definition(next(each.kind for each in older_kinds.OWN if each.kind.name == "TcxNsProgram"))
    cut = json.loads(json.dumps(crd.definition(kinds.CLUSTER_APPLICATION)))
    del cut["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["mapPolicy"]
    install(plane, cut)
    plane.kubectl("delete", "crd", tcx["metadata"]["name"])
    plane.kubectl("delete", "crd", "nodebpfinventories.bpfman.io")
    lacks = "CRD clusterbpfapplications.bpfman.io lacks spec.mapPolicy, and the API server drops what it lacks"
    config_says(plane, "Error", lacks, "CRD nodebpfinventories.bpfman.io is not installed")
    until("an Event", lambda: [each for each in plane.list("events") if lacks in each["message"]])
    until("it is no longer asked for", lambda: cluster.said("no longer serving tcxnsprograms.bpfman.io"))
    # All else goes on.
    one = samples.older("XdpProgram", {**PRIMARY, **NOWHERE}, name="meanwhile")
    plane.apply(one)
    becomes(plane, one, "ReconcileSuccess")
    install(plane, crd.definition(kinds.CLUSTER_APPLICATION))
    install(plane, crd.definition(next(each for each in kinds.KINDS if each.name == "NodeBpfInventory")))
    install(plane, tcx)
    until("it is well again", lambda: cluster.said("the CRDs are as they should be"))
    config_says(plane, None, "pods are ready")
    two = samples.older(
        "TcxNsProgram", {**PRIMARY, **WEB, "direction": "ingress", **NOWHERE},
        name="afterwards", namespace=namespace,
    )  # fmt: skip
    plane.apply(two)
    becomes(plane, two, "ReconcileSuccess")
    delete(plane, one, two)
    gone(plane, one, two)


def test_the_crd_of_bpfman_05_is_still_there(plane: ControlPlane, cluster: rig.Operator) -> None:
    """BpfApplications are of the cluster then; what that means is said, and they are served."""
    plane.kubectl("delete", "crd", definitions.APPLICATIONS)
    install(plane, crd.definition(older_kinds.APPLICATION.kind))
    try:
        config_says(plane, None, "is the one of bpfman 0.5", "no BpfApplication in a namespace")
        document = {**APPLICATION, "spec": {**APPLICATION["spec"], **NOWHERE}}
        until("kubectl knows where they are", lambda: forget(plane) or plane.apply(document))
        becomes(plane, document, "ReconcileSuccess")
        (owner,) = current(plane, document)["metadata"]["ownerReferences"]
        assert owner["kind"] == "BpfApplication"
        delete(plane, document)
        gone(plane, document)
    finally:
        plane.kubectl("delete", "crd", definitions.APPLICATIONS)
        install(plane, crd.definition(kinds.APPLICATION))
    config_says(plane, None, "pods are ready")
    app = rig.application("namespaced-again", naming.NAMESPACE, nodeSelector={"matchLabels": {"no": "node"}})
    until("kubectl knows where they are", lambda: forget(plane) or plane.apply(app))
    rig.wait_for(plane, app, "Success")
    delete(plane, app)
    until("it is gone", lambda: not rig.seen(plane, app))


def test_on_a_node(plane: ControlPlane, cluster: rig.Operator, tmp_path: Path) -> None:
    """A daemon and an agent: an XdpProgram that counts packets, and is gone after its deletion."""
    with real.node(plane, tmp_path, older="really") as node:
        document = samples.older(
            "XdpProgram",
            {
                "bpffunctionname": "count", "interfaceselector": {"interfaces": ["near"]}, "priority": 50,
                "nodeselector": {"matchLabels": {"older": "really"}},
                "bytecode": {"image": {"url": node.image(tmp_path, "count")}},
            },
            name="really",
        )  # fmt: skip
        plane.apply(document)
        becomes(plane, document, "ReconcileSuccess")
        node.send(20)
        (counts,) = node.chain()
        assert counts.runs == 20

        def look() -> dict[str, Any]:
            found = plane.list("bpfprograms.bpfman.io", labels=f"{naming.OWNED}=really")
            assert rig.condition(found[0])["reason"] == "bpfmanLoaded" and len(found) == 1
            return found[0]

        view = until("its BpfProgram", look)
        (program,) = node.programs()
        assert view["metadata"]["annotations"]["bpfman.io/ProgramId"] == str(program.record.id)
        assert view["metadata"]["annotations"]["bpfman.io/bpfProgramAttachPoint"].startswith("near")
        assert view["spec"]["maps"] == {each.name: each.pin for each in program.record.maps if not each.internal}
        document["spec"]["priority"] = 60
        plane.apply(document)

        def changed() -> bool:
            (link,) = node.state("really")["programs"][0]["xdp"]["links"]
            return bool(link["priority"] == 60 and link["linkStatus"] == "Attached")

        until("the change is on the node", changed)
        becomes(plane, document, "ReconcileSuccess")
        # Converted, with nothing unloaded in between.
        (program,), runs = node.programs(), node.chain()[0].runs
        converted = plane.kubectl("get", "xdpprogram", "really", "-o", "yaml")
        converted = rewrite.rewrite("really.yaml", converted, rewrite.Seen()).text
        plane.kubectl("delete", "xdpprogram", "really", "--cascade=orphan")
        until("its BpfProgram is gone", lambda: not plane.list("bpfprograms.bpfman.io"))
        kept = plane.get("clusterbpfapplication", "really")
        assert naming.TRANSLATED_FROM not in kept["metadata"]["labels"] and "ownerReferences" not in kept["metadata"]
        plane.kubectl("apply", "--server-side", "-f", "-", input=converted)
        assert plane.get("clusterbpfapplication", "really")["metadata"]["generation"] == kept["metadata"]["generation"]
        node.send(5)
        assert node.chain()[0].runs == runs + 5
        assert [each.record.id for each in node.programs()] == [program.record.id]
        plane.kubectl("delete", "clusterbpfapplication", "really")
        real.gone(node)
