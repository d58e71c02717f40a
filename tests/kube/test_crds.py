"""What a real API server makes of our kinds: what it takes, what it refuses and how it says so, and what it shows."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from skep.kube import kinds
from tests.kube.plane import ControlPlane, until
from tests.parts import CHECKOUT
from tests.unit.kube import test_resources

SAMPLES = CHECKOUT / "deploy/samples"
WRONG = CHECKOUT / "tests/assets/wrong"
UPSTREAM = CHECKOUT / "tests/assets/upstream"
NAMES = sorted(path.name for path in SAMPLES.glob("*.yaml"))
STATES = [name for name in NAMES if "state" in name or "inventory" in name]
"""Kinds that have only a status."""
NAMESPACE = "web"
"""Where the namespaced samples are."""


@pytest.fixture(scope="module", autouse=True)
def web(plane: ControlPlane) -> None:
    plane.kubectl("create", "namespace", NAMESPACE, check=False)


def create(plane: ControlPlane, directory: Path) -> dict[str, str]:
    """What is said against each file of a directory, none of which is kept; "" if nothing is. One kubectl for all."""
    said = plane.kubectl(
        "create", "--dry-run=server", "--validate=strict", *(f"-f={path}" for path in sorted(directory.glob("*.yaml"))),
        check=False,
    )  # fmt: skip
    found = {path.name: "" for path in directory.glob("*.yaml")}
    names = {yaml.safe_load(path.read_text())["kind"] + path_name(path): path.name for path in directory.glob("*.yaml")}
    current = ""
    for line in said.splitlines():
        if re.match(r"^\S+ created \(server dry run\)", line):
            continue
        if by_file := re.search(r'when creating "([^"]*)"', line):
            current = Path(by_file[1]).name
        elif by_name := re.match(r'^The (\w+) "([^"]*)" is invalid', line):
            kind = next(kind.name for kind in kinds.KINDS if by_name[1] in (kind.name, kind.plural))
            current = names[kind + by_name[2]]
        found[current] += line + "\n"
    return found


def path_name(path: Path) -> str:
    """The name of the object in a file."""
    name: str = yaml.safe_load(path.read_text())["metadata"]["name"]
    return name


@pytest.fixture(scope="module")
def samples(plane: ControlPlane) -> dict[str, str]:
    return create(plane, SAMPLES)


@pytest.fixture(scope="module")
def twins(plane: ControlPlane) -> dict[str, str]:
    return create(plane, WRONG)


@pytest.mark.parametrize("name", NAMES)
def test_every_sample_is_taken(samples: dict[str, str], name: str) -> None:
    assert samples[name] == ""


@pytest.mark.parametrize("name", [name for name in NAMES if name not in STATES])
def test_every_wrong_twin_is_refused_with_the_field_that_skep_names(twins: dict[str, str], name: str) -> None:
    field = (WRONG / name).read_text().splitlines()[0].removeprefix("# ").split()[0]
    assert field in twins[name]


@pytest.mark.parametrize("name", STATES)
def test_a_states_status_is_checked_when_it_is_written(plane: ControlPlane, name: str) -> None:
    plane.kubectl("create", "-f", str(SAMPLES / name))
    plane.kubectl("replace", "--subresource=status", "--validate=strict", "-f", str(SAMPLES / name))
    field = (WRONG / name).read_text().splitlines()[0].removeprefix("# ").split()[0]
    with pytest.raises(subprocess.CalledProcessError) as refused:
        plane.kubectl("replace", "--subresource=status", "--validate=strict", "-f", str(WRONG / name))
    assert field in refused.value.stderr


@pytest.mark.parametrize("path", sorted(UPSTREAM.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_was_written_for_bpfman_operator_comes_back_unchanged(plane: ControlPlane, path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    kind, about = document["kind"], document["metadata"]
    plane.kubectl("create", "--validate=strict", "-f", str(path))
    if "status" in document:
        plane.kubectl("replace", "--subresource=status", "--validate=strict", "-f", str(path))
    try:
        found = plane.get(kind, about["name"], namespace=about.get("namespace"))
    finally:
        plane.kubectl(
            "patch", kind, about["name"], *(("-n", about["namespace"]) if "namespace" in about else ()),
            "--type=merge", "-p", '{"metadata":{"finalizers":null}}',
        )  # fmt: skip
        plane.kubectl("delete", "--wait=false", "-f", str(path))
    for part in ("spec", "status"):
        assert kept(found.get(part, {}), document.get(part, {})) == document.get(part, {})


def kept(found: Any, asked: Any) -> Any:  # Any: JSON
    """``found`` without what the server filled in."""
    if isinstance(asked, dict):
        return {key: kept(value, asked[key]) for key, value in found.items() if key in asked}
    if isinstance(asked, list) and len(found) == len(asked):
        return [kept(one, other) for one, other in zip(found, asked, strict=True)]
    return found


ONLY_A_NODE_KNOWS = ("spec.programs[1].uprobe.links[0]: a uprobe needs a place in its target",)
"""What only the reader refuses: the agent says it in the application's status."""
KUBECTL_KNOWS_BETTER = ("metadata.namespace is 'web'",)
"""What kubectl sets right before it asks."""
IN_OTHER_WORDS = {
    "spec.programs[0].xdp.links[0].interfaceSelector.interfacesDiscoveryConfig.allowedInterfaces[1]:"
    " the expression '/(?=a)/' cannot be used": "interfaceSelector.interfacesDiscoveryConfig.allowedInterfaces",
    "apiVersion is 'v1'": "no matches for kind",
    "metadata.labels.x is 1": "ObjectMeta.metadata.labels",
    "spec.globalData.rate[1] is 256": "spec.globalData: a byte goes from 0 to 255, unlike those of rate",
}


@pytest.mark.parametrize(
    ("what", "spoil"),
    [(what, spoil) for what, spoil in test_resources.WRONG if what not in ONLY_A_NODE_KNOWS + KUBECTL_KNOWS_BETTER],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_host_refuses_a_cluster_refuses(plane: ControlPlane, what: str, spoil: Callable[[Any], object]) -> None:
    document = test_resources.document()
    spoil(document)
    assert IN_OTHER_WORDS.get(what, what.split()[0]) in refusal(plane, document)


def refusal(plane: ControlPlane, document: dict[str, Any]) -> str:
    """What the API server says against an object; fails if it says nothing."""
    with pytest.raises(subprocess.CalledProcessError) as refused:
        plane.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", input=json.dumps(document))
    return str(refused.value.stderr)


def taken(plane: ControlPlane, document: dict[str, Any]) -> dict[str, Any]:
    """What the API server makes of an object."""
    text = plane.kubectl(
        "create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-", input=json.dumps(document)
    )
    found: dict[str, Any] = json.loads(text)
    return found


def application(kind: str = "ClusterBpfApplication", **link: Any) -> dict[str, Any]:
    """An application with one XDP link."""
    place: dict[str, Any] = {"networkNamespaces": {"pods": {}}} if kind == "BpfApplication" else {}
    wanted = {"interfaceSelector": {"interfaces": ["eth0"]}, **place, **link}
    about = {"name": "one"} | ({"namespace": NAMESPACE} if kind == "BpfApplication" else {})
    return {
        "apiVersion": kinds.API_VERSION,
        "kind": kind,
        "metadata": about,
        "spec": {
            "nodeSelector": {},
            "byteCode": {"image": {"url": "registry.example/count"}},
            "programs": [{"name": "count", "type": "XDP", "xdp": {"links": [wanted]}}],
        },
    }


def test_defaults_are_filled_in(plane: ControlPlane) -> None:
    spec = taken(plane, application(interfaceSelector={"interfacesDiscoveryConfig": {"interfaceAutoDiscovery": True}}))[
        "spec"
    ]
    assert spec["mapPolicy"] == "Keep"
    assert spec["byteCode"]["image"]["imagePullPolicy"] == "IfNotPresent"
    (link,) = spec["programs"][0]["xdp"]["links"]
    assert link["proceedOn"] == ["Pass", "DispatcherReturn"]
    assert link["interfaceSelector"]["interfacesDiscoveryConfig"]["excludeInterfaces"] == ["lo"]
    assert "priority" not in link, "as upstream: who attaches knows what none means"


def test_global_data_both_ways(plane: ControlPlane) -> None:
    asked = application()
    asked["spec"]["globalData"] = data = {"a": [13, 0, 255], "b": "DQwLCg==", "c": []}
    assert taken(plane, asked)["spec"]["globalData"] == data


@pytest.mark.parametrize("data", [[1, 256], [-1], [1.5], ["x"], "no base64!"], ids=str)
def test_global_data_that_is_no_bytes(plane: ControlPlane, data: object) -> None:
    asked = application()
    asked["spec"]["globalData"] = {"rate": data}
    assert "spec.globalData" in refusal(plane, asked) and "rate" in refusal(plane, asked)


def allowed(*words: str) -> dict[str, Any]:
    discovery = {"interfaceAutoDiscovery": True, "allowedInterfaces": list(words)}
    return {"interfaceSelector": {"interfacesDiscoveryConfig": discovery}}


@pytest.mark.parametrize("kind", ["ClusterBpfApplication", "BpfApplication"])
def test_expressions_that_everybody_reads_alike(plane: ControlPlane, kind: str) -> None:
    taken(plane, application(kind, **allowed("/^veth[0-9a-f]{1,8}$/", "eth0", r"/^(?:a|b)\.\d+$/", "/veth*/", "/")))


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("/(/", "missing closing"),
        ("/*a/", "missing argument to repetition operator"),
        ("/[b-a]/", "invalid character class range"),
        ("/(?i)eth/", "not read alike by everybody: (?i)eth"),
        ("/(?=eth)/", "not read alike by everybody: (?=eth)"),
        (r"/\pL/", r"not read alike by everybody: \pL"),
        ("/[[:alpha:]]/", "not read alike by everybody: [[:alpha:]]"),
        ("/a++/", "not read alike by everybody: a++"),
        ("/a{2000}/", "not read alike by everybody: a{2000}"),
    ],
)
def test_expressions_that_are_none(plane: ControlPlane, word: str, told: str) -> None:
    said = refusal(plane, application(**allowed("eth0", word)))
    assert "allowedInterfaces" in said and told in said


def test_conditions_on_pods(plane: ControlPlane) -> None:
    for place, more in (
        ("networkNamespaces", {}),
        ("containers", {"target": "libc", "function": "malloc"}),
    ):
        asked = application()
        program = {"name": "count", "type": "XDP" if place == "networkNamespaces" else "UProbe"}
        link = {place: {"pods": {"matchExpressions": [{"key": "a", "operator": "In"}]}}, **more}
        if place == "networkNamespaces":
            link["interfaceSelector"] = {"interfaces": ["eth0"]}
        asked["spec"]["programs"] = [program | {str(program["type"]).lower(): {"links": [link]}}]
        assert "matchExpressions" in refusal(plane, asked)


def test_a_namespaced_one_uses_secrets_of_its_own_namespace(plane: ControlPlane) -> None:
    asked = application("BpfApplication")
    asked["spec"]["byteCode"]["image"]["imagePullSecret"] = {"name": "login", "namespace": NAMESPACE}
    taken(plane, asked)
    asked["spec"]["byteCode"]["image"]["imagePullSecret"]["namespace"] = "kube-system"
    assert "spec.byteCode.image.imagePullSecret.namespace is kube-system" in refusal(plane, asked)
    for_cluster = application()
    for_cluster["spec"]["byteCode"] = asked["spec"]["byteCode"]
    taken(plane, for_cluster)


def test_an_object_from_before_the_policies_can_be_finished(plane: ControlPlane, namespace: str) -> None:
    """Its finalizer can go and its labels can change; only a new spec has to follow the rules."""
    asked = application("BpfApplication")
    asked["metadata"] |= {"namespace": namespace, "finalizers": ["bpfman.io.operator/finalizer"]}
    asked["spec"]["globalData"] = {"rate": [1, 256]}
    binding = plane.get("validatingadmissionpolicybinding", "bpfapplications.bpfman.io")
    plane.kubectl("delete", "validatingadmissionpolicybinding", "bpfapplications.bpfman.io")
    try:
        until("the policy is out of force", lambda: plane.apply(asked))
    finally:
        plane.apply({key: value for key, value in binding.items() if key != "status"})
    spoiled = copy.deepcopy(asked)
    spoiled["spec"]["globalData"] = {"rate": [1, 257]}
    until("the policy is in force", lambda: "rate" in refusal_of_change(plane, spoiled))
    plane.kubectl("label", "ba", "one", "-n", namespace, "a=b")
    plane.kubectl("delete", "ba", "one", "-n", namespace, "--wait=false")
    plane.kubectl("patch", "ba", "one", "-n", namespace, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    assert plane.get("ba", "one", namespace=namespace) == {}


def refusal_of_change(plane: ControlPlane, document: dict[str, Any]) -> str:
    return plane.kubectl("apply", "--dry-run=server", "-f", "-", input=json.dumps(document), check=False)


def test_as_many_programs_and_links_as_there_may_be(plane: ControlPlane) -> None:
    """What the rules cost is bounded, also in the policies, which have a budget at run time."""
    asked = application()
    link = {
        **allowed("/^veth[0-9a-f]{1,8}$/"),
        "networkNamespaces": {"pods": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
    }
    asked["spec"]["programs"] = [
        {"name": f"count{number}", "type": "XDP", "xdp": {"links": [link] * (256 if number == 0 else 4)}}
        for number in range(256)
    ]
    taken(plane, asked)
    asked["spec"]["programs"].append({"name": "more", "type": "XDP", "xdp": {}})
    assert "spec.programs: Too many" in refusal(plane, asked)
    asked["spec"]["programs"] = [{"name": "count", "type": "XDP", "xdp": {"links": [link] * 257}}]
    assert "spec.programs[0].xdp.links: Too many" in refusal(plane, asked)


def test_a_status_is_written_apart(plane: ControlPlane, namespace: str) -> None:
    asked = application("BpfApplication")
    asked["metadata"]["namespace"] = namespace
    asked["status"] = {"ready": 3}
    plane.apply(asked)
    assert "status" not in plane.get("ba", "one", namespace=namespace)
    status = {
        "observedGeneration": 1, "desired": 2, "ready": 1, "failed": 1,
        "conditions": [
            {"type": "Error", "status": "True", "reason": "Error", "message": "no image", "lastTransitionTime":
             "2026-01-31T12:00:00Z"}
        ],
    }  # fmt: skip
    patch = json.dumps({"status": status, "spec": {"mapPolicy": "Recreate"}})
    plane.kubectl("patch", "ba", "one", "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)
    found = plane.get("ba", "one", namespace=namespace)
    assert found["status"] == status
    assert (found["spec"].get("mapPolicy"), found["metadata"]["generation"]) == (None, 1)
    assert columns(plane, "ba", "-n", namespace)["one"] == {
        "NODESELECTOR": "{}", "DESIRED": "2", "READY": "1", "FAILED": "1", "STATUS": "Error",
    }  # fmt: skip
    wide = columns(plane, "ba", "-n", namespace, "-o", "wide")["one"]
    assert (wide["IMAGE"], wide["MESSAGE"]) == ("registry.example/count", "no image")


def columns(plane: ControlPlane, *words: str) -> dict[str, dict[str, str]]:
    """A table of kubectl's, by name and column, without ages."""
    head, *rows = plane.kubectl("get", *words).splitlines()
    starts = [(match.start(), match[0]) for match in re.finditer(r"\S+", head)]
    found = {}
    for row in rows:
        ends = [start for start, _ in starts[1:]] + [len(row)]
        cells = {title: row[start:end].strip() for (start, title), end in zip(starts, ends, strict=True)}
        cells.pop("AGE")
        found[cells.pop("NAME")] = cells
    return found


def test_a_states_columns(plane: ControlPlane) -> None:
    name = "xdp-example-0a1b2c3d"
    plane.kubectl("apply", "-f", str(SAMPLES / "bpfapplicationstate.yaml"))
    plane.kubectl("replace", "--subresource=status", "-f", str(SAMPLES / "bpfapplicationstate.yaml"))
    assert columns(plane, "bas", "-n", NAMESPACE)[name] == {"NODE": "node-a", "STATUS": "Success"}
    assert columns(plane, "bas", "-n", NAMESPACE, "-o", "wide")[name]["LOAD"] == "LoadSuccess"


def test_the_selector_of_nodes_is_shown(plane: ControlPlane, namespace: str) -> None:
    """Upstream's column is always empty."""
    asked = application("BpfApplication")
    asked["metadata"]["namespace"] = namespace
    asked["spec"]["nodeSelector"] = {"matchLabels": {"pool": "edge"}}
    plane.apply(asked)
    assert columns(plane, "ba", "-n", namespace)["one"]["NODESELECTOR"] == '{"matchLabels":{"pool":"edge"}}'


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: kind.name)
def test_short_names_and_the_category(plane: ControlPlane, kind: kinds.Kind) -> None:
    listed = plane.kubectl("api-resources", "--categories=bpf", "--no-headers").splitlines()
    (line,) = (line.split() for line in listed if line.split()[0] == kind.plural)
    assert line == [kind.plural, kind.short, kinds.API_VERSION, str(kind.namespaced).lower(), kind.name]


def test_the_category_lists_what_is_there(plane: ControlPlane, namespace: str) -> None:
    asked = application("BpfApplication")
    asked["metadata"]["namespace"] = namespace
    plane.apply(asked)
    assert "bpfapplication.bpfman.io/one" in plane.kubectl("get", "bpf", "-n", namespace, "-o", "name").split()


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("clusterbpfapplication", "eBPF programs out of one object"),
        ("cba.spec", "enum: Keep, Recreate"),
        ("ba.spec.programs.xdp.links", "networkNamespaces\t<Object> -required-"),
        ("bas.status.programs.xdp.links.error", "verifier's last lines"),
        ("bpfconfig.spec.daemon.tolerations", "enum: NoSchedule, PreferNoSchedule, NoExecute"),
    ],
)
def test_fields_are_explained(plane: ControlPlane, path: str, told: str) -> None:
    assert told in plane.kubectl("explain", path)


def config(**daemon: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((SAMPLES / "config.yaml").read_text())
    found["spec"]["daemon"] |= daemon
    return found


def test_a_config_places_its_pods(plane: ControlPlane) -> None:
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"a": 1}]}}}
    daemon = {
        "affinity": affinity,
        "resources": {"limits": {"memory": "128Mi", "cpu": 2}},
        "tolerations": [{"operator": "Exists"}],
        "nodeSelector": {"pool": "edge"},
    }
    assert kept(taken(plane, config(**daemon))["spec"]["daemon"], daemon) == daemon


@pytest.mark.parametrize(
    ("daemon", "told"),
    [
        ({"resources": {"limits": {"cpu": "much"}}}, "spec.daemon.resources.limits.cpu"),
        ({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, "a toleration with operator Exists"),
        ({"tolerations": [{"effect": "NoSchedule"}]}, "a toleration without a key needs operator Exists"),
        ({"tolerations": [{"key": "a", "tolerationSeconds": 3}]}, "tolerationSeconds is for effect NoExecute"),
        ({"affinity": 3}, "spec.daemon.affinity"),
    ],
)
def test_a_config_that_no_pod_can_have(plane: ControlPlane, daemon: dict[str, Any], told: str) -> None:
    assert told in refusal(plane, config(**daemon))
