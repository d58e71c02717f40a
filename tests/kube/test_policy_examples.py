"""The example policies in a real API server: who is let in, who is not, and what he is told to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from skep.kube import kinds, policy_examples
from tests.kube.plane import ControlPlane, until

DIGEST = "@sha256:" + "0" * 64
GOOD = {"image": {"url": f"quay.io/acme/count{DIGEST}"}}
POD: dict[str, Any] = {"interfaceSelector": {"interfaces": ["eth0"]}, "networkNamespaces": {"pods": {}}}
HOST: dict[str, Any] = {"interfaceSelector": {"interfaces": ["eth0"]}}
PRIMARY: dict[str, Any] = {"interfaceSelector": {"primaryNodeInterface": True}}
TENANT, TEAM = "policy-tenant", "policy-team"
EVERYTHING = ("netops", "security", "attach-everything")
Json = dict[str, Any]


def program(type: str, *links: Json, **more: Any) -> Json:
    body = {"links": list(links)} if links else {}
    return {"name": f"on_{type.lower()}", "type": type, type.lower(): {**body, **more}}


def application(*programs: Json, namespace: str = "", labels: Json | None = None, **spec: Any) -> Json:
    about: Json = {"name": "policed", "labels": labels or {}}
    if namespace:
        about["namespace"] = namespace
    return {
        "apiVersion": kinds.API_VERSION,
        "kind": "BpfApplication" if namespace else "ClusterBpfApplication",
        "metadata": about,
        "spec": {"nodeSelector": {}, "byteCode": GOOD, "programs": list(programs), **spec},
    }


def older(kind: str, *, namespace: str = "", group: str = "bpfman.io", **spec: Any) -> Json:
    """An object of an older generation."""
    about: Json = {"name": "policed", **({"namespace": namespace} if namespace else {})}
    function = {} if "programs" in spec else {"bpffunctionname": "count"}
    rest: Json = {"nodeselector": {}, "bytecode": GOOD, **function, **spec}
    if group == "bpfd.io":
        rest = {"name": "count", **{key: value for key, value in rest.items() if key != "bpffunctionname"}}
    return {"apiVersion": f"{group}/v1alpha1", "kind": kind, "metadata": about, "spec": rest}


XDP_IN_PODS = application(program("XDP", POD))


@pytest.fixture(scope="module")
def policed(plane: ControlPlane) -> Iterator[ControlPlane]:
    """All examples in force, and groups that may write applications and attach what their name says."""
    plane.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bpfman"}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TENANT}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM, "labels": {"team": "blue"}}},
    )
    documents = [each for text in policy_examples.files().values() for each in yaml.safe_load_all(text)]
    editors = role("policy-editors", [kinds.GROUP, "bpfd.io"], ["*"], ["create", "update", "get"])
    everything = role("policy-everything", [kinds.GROUP], ["*"], ["attach"])
    bindings = [
        binding("policy-editors", "system:authenticated"),
        binding("policy-everything", "attach-everything"),
        binding("bpf-attach-network", "networkers"),
    ]
    made = [*documents, editors, everything, *bindings]
    plane.apply(*made)
    until("the last policy is in force", lambda: all("denied request" in said(plane, *row[1:]) for row in FIRST))
    yield plane
    plane.kubectl("delete", "--wait=true", "-f", "-", input="\n---\n".join(map(json.dumps, made)))
    until("no policy is in force", lambda: not any("denied request" in said(plane, *row[1:]) for row in FIRST))


def role(name: str, groups: list[str], resources: list[str], verbs: list[str]) -> Json:
    rules = [{"apiGroups": groups, "resources": resources, "verbs": verbs}]
    about = {"name": name}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": about, "rules": rules}


def binding(name: str, group: str) -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"policy-{name}-{group.replace(':', '-')}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "Group", "name": group, "apiGroup": "rbac.authorization.k8s.io"}],
    }


def said(plane: ControlPlane, groups: tuple[str, ...], document: Json, user: str = "ann") -> str:
    """What is said against it; "" if it is let in."""
    words = [f"--as-group={each}" for each in (*groups, "system:authenticated")]
    text = plane.kubectl(
        "create", "--dry-run=server", "-f", "-", f"--as={user}", *words, input=json.dumps(document), check=False
    )
    return "" if "created (server dry run)" in text else text


REFUSED: list[tuple[str, tuple[str, ...], Json, str]] = [
    ("nobody-attaches-without-the-verb", (), XDP_IN_PODS,
     "ann may not attach xdp programs: it needs the verb attach on clusterbpfapplications/xdp of bpfman.io"),
    ("the-verb-is-for-a-type", ("networkers", "security"), application(program("XDP", POD), program("KProbe")),
     "may not attach kprobe programs"),
    ("an-image-from-elsewhere", EVERYTHING,
     application(program("XDP", POD), byteCode={"image": {"url": f"docker.io/evil/count{DIGEST}"}}),
     "is from elsewhere than quay.io/acme/, registry.example:5000/bpf/: push it there"),
    ("an-image-that-begins-alike", EVERYTHING,
     application(program("XDP", POD), byteCode={"image": {"url": f"quay.io/acme-evil/count{DIGEST}"}}),
     "is from elsewhere"),
    ("an-image-by-tag", EVERYTHING,
     application(program("XDP", POD), byteCode={"image": {"url": "quay.io/acme/count:v1"}}),
     "image quay.io/acme/count:v1 can change: name it by digest"),
    ("a-file-anywhere", EVERYTHING, application(program("XDP", POD), byteCode={"path": "/home/ann/count.o"}),
     "file /home/ann/count.o is not below /opt/bpf/"),
    ("a-file-by-a-detour", EVERYTHING, application(program("XDP", POD), byteCode={"path": "/opt/bpf/../count.o"}),
     "is not below /opt/bpf/"),
    ("a-tenant-who-comes-first", ("networkers",),
     application(program("XDP", POD | {"priority": 499}), namespace=TENANT),
     "priorities below 500 are for the group netops: give the links of these programs 500 to 1000: xdp"),
    ("a-tenant-with-another-type", ("networkers",), application(program("TC", POD | {"direction": "Ingress"}),
     namespace=TENANT), "in a namespace only XDP and TCX programs are allowed, not tc"),
    ("the-nodes-interface", ("networkers",), application(program("TCX", HOST | {"direction": "Egress"})),
     "these programs would run on interfaces of the node: tcx"),
    ("the-primary-interface", ("networkers",), application(program("XDP", PRIMARY)), "interfaces of the node: xdp"),
    ("tracing", ("attach-everything", "netops"), application(program("FEntry", function="vfs_read")),
     "only the group security may attach fentry programs"),
    ("lsm", ("attach-everything", "netops"), application(program("Lsm")), "may attach lsm programs"),
    ("maps-of-whom-it-does-not-say", EVERYTHING, application(program("XDP", POD), mapOwnerSelector={}),
     "mapOwnerSelector must say whose maps it means: add matchLabels team, which may be none"),
    ("maps-of-another-team", (*EVERYTHING, "team:blue"),
     application(program("XDP", POD), mapOwnerSelector={"matchLabels": {"team": "red"}}), "which may be blue"),
    ("maps-of-another-namespaces-team", (*EVERYTHING, "team:red"),
     application(program("XDP", POD), namespace=TEAM, mapOwnerSelector={"matchLabels": {"team": "red"}}),
     "which may be blue"),
]  # fmt: skip
ON_HOST: Json = {"interfaceselector": {"interfaces": ["eth0"]}, "priority": 600}
IN_PODS: Json = {**ON_HOST, "containers": {"pods": {}}}
BPFD: Json = {"type": "XDP", "attachpoint": {"interface": "eth0"}, "priority": 1}
REFUSED += [
    ("older-xdp-without-the-verb", (), older("XdpProgram", **IN_PODS), "it needs the verb attach on "
     "clusterbpfapplications/xdp of bpfman.io"),
    ("older-xdp-in-a-namespace-without-the-verb", (), older("XdpNsProgram", namespace=TENANT, **IN_PODS),
     "it needs the verb attach on bpfapplications/xdp of bpfman.io"),
    ("older-kretprobe-without-the-verb", ("networkers", "security"),
     older("KprobeProgram", func_name="vfs_read", retprobe=True), "may not attach kretprobe programs"),
    ("older-fentry", ("attach-everything", "netops"), older("FentryProgram", func_name="vfs_read"),
     "only the group security may attach fentry programs: ask it to apply FentryProgram policed"),
    ("older-xdp-on-the-node", ("networkers",), older("XdpProgram", **ON_HOST), "interfaces of the node: xdp"),
    ("older-tenant-who-comes-first", ("networkers",),
     older("TcxNsProgram", namespace=TENANT, **{**IN_PODS, "priority": 1, "direction": "ingress"}),
     "priorities below 500"),
    ("older-maps-of-another-team", (*EVERYTHING, "team:blue"),
     older("XdpProgram", **IN_PODS, mapownerselector={"matchLabels": {"team": "red"}}), "which may be blue"),
    ("older-image-by-tag", EVERYTHING, older("XdpProgram", **IN_PODS, bytecode={"image": {"url": "quay.io/acme/a:v1"}}),
     "can change: name it by digest"),
    ("older-application-on-the-node", ("networkers",), older(
        "BpfApplication", namespace="bpfman", programs=[
            {"type": "XDP", "xdp": {"bpffunctionname": "count", **ON_HOST}}]), "interfaces of the node: xdp"),
    ("bpfd-without-the-verb", ("security", "netops"), older("BpfProgramConfig", group="bpfd.io", **BPFD),
     "may not attach xdp programs"),
    ("bpfd-on-the-node", ("networkers",), older("BpfProgramConfig", group="bpfd.io", **BPFD),
     "interfaces of the node: xdp"),
    ("bpfd-image-url-from-elsewhere", EVERYTHING, older(
        "BpfProgramConfig", group="bpfd.io", **BPFD, bytecode={"imageurl": f"quay.io/evil/count{DIGEST}"}),
     "image quay.io/evil/count"),
    ("bpfd-uri-from-elsewhere", EVERYTHING, older(
        "BpfProgramConfig", group="bpfd.io", **BPFD, bytecode=f"image://quay.io/evil/count{DIGEST}"),
     "image quay.io/evil/count"),
]  # fmt: skip
FIRST = [row[:3] for row in REFUSED if row[0] in (
    "the-verb-is-for-a-type", "a-file-anywhere", "a-tenant-who-comes-first", "the-primary-interface", "lsm",
    "maps-of-another-team",
)]  # fmt: skip
"""One for each policy."""

ADMITTED: list[tuple[str, tuple[str, ...], Json]] = [
    ("pods", ("networkers",), XDP_IN_PODS),
    ("the-nodes-interface-for-netops", ("networkers", "netops"), application(program("XDP", PRIMARY))),
    ("a-tenant-behind", ("networkers",), application(program("XDP", POD | {"priority": 500}), namespace=TENANT)),
    ("a-tenant-without-priority", ("networkers",), application(program("XDP", POD), namespace=TENANT)),
    ("netops-in-a-namespace", ("networkers", "netops"),
     application(program("TC", POD | {"direction": "Ingress", "priority": 1}), namespace=TENANT)),
    ("tracing-for-security", ("attach-everything", "security"), application(program("KProbe"), program("Lsm"))),
    ("not-attached-at-all", ("networkers",), application(program("TC"))),
    ("a-file-from-the-directory", ("networkers",), application(program("XDP", POD), byteCode={"path": "/opt/bpf/a.o"})),
    ("an-image-with-a-port", ("networkers",), application(
        program("XDP", POD), byteCode={"image": {"url": f"registry.example:5000/bpf/a:v1{DIGEST}"}})),
    ("maps-of-the-own-team", ("networkers", "team:blue"),
     application(program("XDP", POD), mapOwnerSelector={"matchLabels": {"team": "blue", "app": "a"}})),
    ("maps-of-the-namespaces-team", ("networkers",),
     application(program("XDP", POD), namespace=TEAM, mapOwnerSelector={"matchLabels": {"team": "blue"}})),
    ("older-xdp-in-pods", ("networkers",), older("XdpProgram", **IN_PODS)),
    ("older-xdp-on-the-node-for-netops", ("networkers", "netops"), older("XdpProgram", **ON_HOST)),
    ("older-tenant-behind", ("networkers",), older("XdpNsProgram", namespace=TENANT, **IN_PODS)),
    ("older-kprobe-for-security", ("attach-everything", "security"), older("KprobeProgram", func_name="vfs_read")),
    ("older-application-for-netops", ("networkers", "netops"), older(
        "BpfApplication", namespace="bpfman", programs=[
            {"type": "XDP", "xdp": {"bpffunctionname": "count", **ON_HOST}}])),
    ("bpfd-for-netops", ("networkers", "netops"), older("BpfProgramConfig", group="bpfd.io", **BPFD)),
    ("bpfd-by-uri", ("networkers", "netops"), older(
        "BpfProgramConfig", group="bpfd.io", **BPFD, bytecode=f"image://quay.io/acme/count{DIGEST}")),
    ("whoever-may-do-everything", ("system:masters",), application(program("Lsm"), program("XDP", PRIMARY))),
]  # fmt: skip


def test_what_is_refused_and_what_to_do(policed: ControlPlane) -> None:
    for name, groups, document, words in REFUSED:
        assert words in said(policed, groups, document), name


def test_what_is_let_in(policed: ControlPlane) -> None:
    for name, groups, document in ADMITTED:
        assert said(policed, groups, document) == "", name


def test_the_operator_writes_what_it_translates(policed: ControlPlane) -> None:
    elsewhere = application(program("Lsm"), byteCode={"path": "/home/ann/count.o"})
    assert said(policed, (), elsewhere, policy_examples.OPERATOR) == ""
    assert said(policed, (), elsewhere, policy_examples.OPERATOR + "-2") != ""


def test_the_api_server_finds_no_mistake_in_them(policed: ControlPlane) -> None:
    for one in policed.list("validatingadmissionpolicies"):
        if one["metadata"]["name"].endswith(".example.skep.io"):
            assert not (one.get("status", {}).get("typeChecking") or {}).get("expressionWarnings"), one["metadata"]


def test_all_types_at_once_are_too_many_questions_and_are_refused(policed: ControlPlane) -> None:
    """The API server bounds what a policy may cost, and each question to RBAC costs much."""
    types = [each for types in policy_examples.ROLES.values() for each in types]
    some = [program(each, function="f") if each in ("FEntry", "FExit") else program(each) for each in types]
    assert said(policed, EVERYTHING, application(*some[:24])) == ""
    assert "cost" in said(policed, EVERYTHING, application(*some))
