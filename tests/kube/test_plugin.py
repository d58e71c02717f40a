"""``kubectl skep`` through the real kubectl, on objects that a real agent, a real operator and a real kernel wrote."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from skep.kube import naming
from skep.kube.plugin import door, resource
from skep.rpc import client
from tests.kernel.stranger import stranger
from tests.kube import nodes, operator_rig, plugin_rig
from tests.kube.plane import ControlPlane, until

AWAY, SYSTEM, TEAM = "plugin-away", "plugin-system", "plugin-team"
NEAR: dict[str, Any] = {"interfaceSelector": {"interfaces": ["near"]}, "priority": 50}
LINUX: dict[str, Any] = {"kubernetes.io/os": "linux"}
HERE = {"matchLabels": {"zone": "plugin"}}


pytestmark = pytest.mark.timeout(240)


@dataclass(frozen=True, slots=True)
class Rig:
    """A cluster with a node that works, one that does not, and the plugin."""

    plane: ControlPlane
    plugin: plugin_rig.Plugin
    node: nodes.Node
    stranger: int
    """The foreign program on the interface ``far``."""

    def skep(self, *words: str, kubeconfig: Path | None = None) -> plugin_rig.Done:
        return self.plugin.run("skep", *words, kubeconfig=kubeconfig)

    def json(self, *words: str) -> Any:
        done = self.skep(*words, "-o", "json")
        assert done.out, done.err
        return json.loads(done.out)


@pytest.fixture(scope="module")
def rig(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    operator_rig.prepare(plane)
    for each in (SYSTEM, TEAM):
        plane.kubectl("create", "namespace", each)
    directory = tmp_path_factory.mktemp("plugin")
    try:
        with (
            nodes.node(plane, directory, zone="plugin", **LINUX) as node,
            operator_rig.nodes(plane, operator_rig.node(AWAY, zone="other")),
            stranger("link", node.network.far, enter=node.network.enter) as told,
        ):
            plane.apply(operator_rig.config(SYSTEM))
            with operator_rig.operator(plane, tmp_path_factory.mktemp("operator")):
                until("a pod for each node", lambda: len(plane.list("pod", namespace=SYSTEM)) == 2)
                _as_kubelet(plane, node.name)
                made = plugin_rig.plugin(directory / "bin", plane.kubeconfig)
                url = node.image(directory, "count")
                plane.apply(*_applications(url))
                _settled(plane, node, told["program"])
                yield Rig(plane, made, node, told["program"])
                plane.kubectl("delete", "clusterbpfapplications,bpfapplications", "--all", "-A", "--wait=false")
                nodes.gone(node)
    finally:
        plane.kubectl("delete", "config", naming.CONFIG, "--wait=false")
        release = '{"metadata":{"finalizers":null}}'
        plane.kubectl("patch", "config", naming.CONFIG, "--type=merge", "-p", release, check=False)
        until("all is collected", lambda: not plane.list("daemonset"))


def _applications(url: str) -> list[dict[str, Any]]:
    broken = nodes.application("plugin-broken", url, NEAR, nodeSelector=HERE)
    broken["spec"]["programs"][0]["name"] = "no_such_program"
    translated = nodes.application("plugin-old", url, nodeSelector=HERE)
    translated["metadata"]["labels"]["skep.io/translated-from"] = "XdpProgram"
    pods = {"networkNamespaces": {"pods": {"matchLabels": {"app": "none"}}}}
    return [
        nodes.application("plugin-count", url, NEAR, nodeSelector=HERE),
        nodes.application("plugin-everywhere", url, {**NEAR, "priority": 10}),
        nodes.application("plugin-nowhere", url, NEAR, nodeSelector={"matchLabels": {"zone": "mars"}}),
        nodes.application("plugin-own", url, {**NEAR, **pods}, nodeSelector=HERE, namespace=TEAM),
        broken,
        translated,
    ]


def _as_kubelet(plane: ControlPlane, node: str) -> None:
    """What a kubelet would say of the pod of the node that works; its agent is a process of the test's."""
    (pod,) = [
        each for each in plane.list("pod", namespace=SYSTEM) if node in json.dumps(each["spec"].get("affinity", {}))
    ]
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    statuses = [
        {"name": name, "ready": True, "restartCount": 2, "image": "i", "imageID": "", "state": state}
        for name in ("daemon", "agent", "csi")
    ]
    binding = {
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod["metadata"]["name"]},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }  # fmt: skip
    where = f"/api/v1/namespaces/{SYSTEM}/pods/{pod['metadata']['name']}/binding"
    plane.kubectl("create", "--raw", where, "-f", "-", input=json.dumps(binding))
    patch = json.dumps({"status": {"phase": "Running", "containerStatuses": statuses}})
    words = ("pod", pod["metadata"]["name"], "-n", SYSTEM, "--subresource=status", "--type=merge", "-p", patch)
    plane.kubectl("patch", *words)


def _heartbeat(plane: ControlPlane, node: str) -> None:
    """The controllers take a node for lost that is silent for the greater part of a minute."""
    ready = json.dumps({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    plane.kubectl("patch", "node", node, "--subresource=status", "--type=strategic", "-p", ready)


def _settled(plane: ControlPlane, node: nodes.Node, stranger: int) -> None:
    def all_told() -> bool:
        found = [*plane.list("clusterbpfapplications"), *plane.list("bpfapplications", namespace=TEAM)]
        mine = {each["metadata"]["name"]: each for each in found if each["metadata"]["name"].startswith("plugin-")}
        told = {name.removeprefix("plugin-"): one["status"]["conditions"][0]["type"] for name, one in mine.items()}
        assert len(told) == 6, told
        wanted = dict.fromkeys(told, "Success") | {"broken": "Error", "everywhere": "Pending"}
        assert told == wanted, told
        return True

    until("what became of the applications", all_told, 60, every=0.3)
    # An agent looks at the kernel when it begins, and only now and then after that.
    node.stop()
    node.start()

    def seen() -> bool:
        programs = plane.get("nodebpfinventory", node.name)["status"]["programs"]
        ours = [one for one in programs if "plugin-" in one["owner"].get("applied", "")]
        return len(ours) >= 4 and stranger in [one["id"] for one in programs]

    until("the inventory has them", seen, 60, every=0.3)


def test_status_for_people_and_for_programs(rig: Rig) -> None:
    _heartbeat(rig.plane, rig.node.name)
    done = rig.skep("status", "-A")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    node = next(line for line in lines if line.startswith(rig.node.name))
    assert node.split()[1:4] == ["ready", "3/3", "6"]
    away = next(line for line in lines if line.startswith(AWAY))
    assert "not ready" in away and "0/3" in away
    count = next(line for line in lines if "plugin-count" in line)
    assert count.split()[:7] == ["-", "plugin-count", "Success", "1", "1", "0", "0"]
    assert "XdpProgram" in next(line for line in lines if "plugin-old" in line)

    found = rig.json("status", "-A")
    (everywhere,) = [each for each in found["applications"] if each["name"] == "plugin-everywhere"]
    assert everywhere["nodes"] == {"desired": 2, "ready": 1, "failed": 0, "pending": 1}
    assert (found["config"]["status"], found["config"]["namespace"]) == ("Pending", SYSTEM)
    assert (found["operator"]["namespace"], found["notShown"]) == (None, [])

    # Without -A those of other namespaces are left out; kubectl takes the names.
    names = rig.skep("status", "-o", "name").out.split()
    assert "clusterbpfapplication.bpfman.io/plugin-count" in names
    assert not [each for each in names if "plugin-own" in each]
    assert "plugin-own" in rig.skep("status", "-n", TEAM, "-o", "name").out
    rig.plane.kubectl("get", *[each for each in names if "plugin-" in each])


def test_status_is_shown_again_when_it_changes(rig: Rig) -> None:
    words = ["kubectl", "skep", "status", "--watch", "--interval", "0.2", "-o", "jsonl"]
    watching = subprocess.Popen(words, env=rig.plugin.environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        assert "plugin-late" not in [each["name"] for each in first["applications"]]
        late = nodes.application("plugin-late", "localhost/none:1", nodeSelector={"matchLabels": {"zone": "venus"}})
        rig.plane.apply(late)
        second = json.loads(watching.stdout.readline())
        assert "plugin-late" in [each["name"] for each in second["applications"]]
    finally:
        watching.terminate()
        watching.communicate()
        rig.plane.kubectl("delete", "clusterbpfapplication", "plugin-late", "--wait=false")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("plugin-count",), 0, ["ClusterBpfApplication/plugin-count: ready", "label zone has to be 'plugin'"]),
        (
            ("plugin-broken", "--node", "NODE"), 1,
            ["not ready", "LoadError", "no_such_program", "LoadFailed", "Next: on NODE", "kubectl skep logs NODE"],
        ),
        (("plugin-nowhere",), 0, ["no node has the labels", "label zone has to be 'mars'", "Next:", "--show-labels"]),
        (
            ("plugin-everywhere",), 1,
            ["1 of 2 nodes ready, 0 failed, 1 pending", f"Next: the node {AWAY} is not ready", "describe node"],
        ),
        (("ba/plugin-own", "-n", TEAM), 0, [f"BpfApplication/{TEAM}/plugin-own: ready", "selects no pod"]),
        (("plugin-old",), 0, ["made out of its XdpProgram: ready"]),
        (("plugin-coun",), 3, ["did you mean plugin-count"]),
        (("plugin-count", "--node", "plugin-awai"), 3, [f"did you mean {AWAY}?"]),
    ],
    ids=["ready", "broken", "nowhere", "half", "own", "translated", "misspelt", "misspelt-node"],
)  # fmt: skip
def test_why(rig: Rig, words: tuple[str, ...], code: int, told: list[str]) -> None:
    done = rig.skep("why", *(each.replace("NODE", rig.node.name) for each in words))
    assert done.code == code, done.both
    for text in told:
        assert text.replace("NODE", rig.node.name) in done.both, done.both


def test_inventory_names_owners_and_adds_up(rig: Rig) -> None:
    found = rig.json("inventory", "--managed")
    owners = {each["owner"] for each in found["programs"] if each["node"] == rig.node.name}
    assert {f"ClusterBpfApplication/plugin-{name}" for name in ("count", "everywhere", "old")} <= owners
    foreign = rig.json("inventory", "--foreign", "--type", "xdp", "--node", rig.node.name)["programs"]
    (strange,) = [each for each in foreign if each["id"] == rig.stranger]
    assert (strange["owner"].startswith("python"), strange["places"]) == (True, ["xdp far"])
    sums = rig.json("inventory", "--by", "owner")["sums"]
    count = next(each for each in sums if each["owner"] == "ClusterBpfApplication/plugin-count")
    assert (count["nodes"], count["programs"], count["foreign"]) == (1, 1, 0)
    text = rig.skep("inventory", "--by", "type", "--node", rig.node.name).out
    assert "PROGRAMS" in text and "of skep's" in text.splitlines()[-1]
    unknown = rig.skep("inventory", "--node", AWAY)
    assert (unknown.code, "no agent of skep's has written it" in unknown.err) == (3, True)


def test_chain_in_order_and_with_strangers(rig: Rig) -> None:
    (found,) = rig.json("chain", rig.node.name, "near")["chains"]
    running = [each for each in found["entries"] if each["position"] is not None]
    assert [(each["owner"], each["priority"]) for each in running] == [
        ("ClusterBpfApplication/plugin-everywhere", 10), ("ClusterBpfApplication/plugin-count", 50),
    ]  # fmt: skip
    with client.Client(rig.node.daemon.layout.socket) as daemon:
        (real,) = daemon.chains()
    assert [each["linkId"] for each in running] == [member.link for member in real.record.members]
    text = rig.skep("chain", rig.node.name, "far").out
    assert "(foreign)" in text and "xdp on far" in text
    nothing = rig.skep("chain", rig.node.name, "eth9")
    assert (nothing.code, nothing.out) == (0, "") and "objects name there:" in nothing.err and "near" in nothing.err
    misspelt = rig.skep("chain", f"{rig.node.name}x", "near")
    assert (misspelt.code, f"did you mean {rig.node.name}?" in misspelt.err) == (3, True)


def test_what_kubectl_offers_to_complete(rig: Rig) -> None:
    def offered(*words: str) -> list[str]:
        done = rig.plugin.run("__complete", "skep", *words)
        assert done.out.splitlines()[-1] == ":4", done.both
        return [line.partition("\t")[0] for line in done.out.splitlines()[:-1]]

    assert {"status", "why", "inventory", "chain", "logs", "trace"} <= set(offered(""))
    assert "plugin-broken" in offered("why", "plugin-b")
    assert offered("chain", rig.node.name[:-1]) == [rig.node.name]
    assert {"near", "far"} <= set(offered("chain", rig.node.name, ""))
    assert offered("inventory", "--by", "o") == ["owner"]


def test_lists_come_in_pages(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", rig.plugin.environment()["PATH"])
    told: list[str] = []
    with door.Door([f"--kubeconfig={rig.plane.kubeconfig}"], tell=told.append) as opened:
        kind = resource.CLUSTER_APPLICATION
        names = [each["metadata"]["name"] for each in opened.every(kind, page=2)]
        assert opened.find(kind, "plugin-nobody") is None
        with pytest.raises(resource.UnknownKind, match="CRDs are not in it"):
            opened.find(dataclasses.replace(kind, plural="clusterbpfunknowns"), "any")
    assert len(set(names)) == len(names) >= 5 and told == []


def test_with_the_rights_that_one_has(rig: Rig, tmp_path: Path) -> None:
    plane = rig.plane
    plane.kubectl("create", "serviceaccount", "looker", "-n", TEAM)
    who, whom = plane.kubeconfig_for(TEAM, "looker"), f"--serviceaccount={TEAM}:looker"

    nothing = rig.skep("status", "-n", TEAM, kubeconfig=who)
    assert nothing.code == 4
    assert 'cannot list resource "bpfapplications"' in nothing.err and "skep-viewer-role" in nothing.err

    def allowed() -> bool:
        return plane.kubectl("auth", "can-i", "list", "bpfapplications", "-n", TEAM, kubeconfig=who) == "yes\n"

    plane.kubectl("create", "rolebinding", "looker", "-n", TEAM, "--clusterrole=view", whom)
    until("view has come to include applications", allowed)
    within = rig.skep("status", "-n", TEAM, kubeconfig=who)
    assert within.code == 0 and "plugin-own" in within.out and "plugin-count" not in within.out
    assert 'cannot list resource "nodes"' in within.err
    own = rig.skep("why", "plugin-own", "-n", TEAM, kubeconfig=who)
    assert own.code == 0 and "not known" in own.out, own.both
    traced = rig.skep("trace", rig.node.name, kubeconfig=who)
    assert traced.code == 4

    plane.kubectl("create", "clusterrolebinding", "plugin-looker", "--clusterrole=skep-viewer-role", whom)
    try:
        done = rig.skep("status", "-A", kubeconfig=who)
        assert (done.code, done.err) == (0, "") and "plugin-count" in done.out and rig.node.name in done.out
        for words in (("inventory", "--by", "node"), ("chain", rig.node.name, "near"), ("why", "plugin-count")):
            whole = rig.skep(*words, kubeconfig=who)
            assert (whole.code, whole.err) == (0, ""), whole.err
        traced = rig.skep("trace", rig.node.name, kubeconfig=who)
        assert (traced.code, "root's power on its node" in traced.err) == (4, True)
    finally:
        plane.kubectl("delete", "clusterrolebinding", "plugin-looker")


def test_without_a_cluster_and_without_skep_in_it(rig: Rig) -> None:
    gone = rig.skep("status", "--server", "https://127.0.0.1:1")
    assert (gone.code, "connection refused" in gone.err) == (5, True)
    wrong = rig.skep("status", "--context", "nope")
    assert (wrong.code, "kubectl config get-contexts" in wrong.err) == (10, True)
    unknown = rig.skep("stat")
    assert (unknown.code, "Did you mean status?" in unknown.err) == (2, True)
    logs = rig.skep("logs", "plugin-nobody")
    assert (logs.code, "no node that runs skep" in logs.err) == (3, True)
