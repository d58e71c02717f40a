"""Every older kind becomes the current object that means the same, or an error that says what is wrong with it."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skep import errors
from skep.kube import naming, resources
from skep.kube.older import fields, kinds, translate
from tests.unit.kube.older.samples import BPFD, SEED, older, parsed

ETH0 = {"interfaces": ["eth0"]}
NEAR = {"interfaceSelector": ETH0}
PODS = {"pods": {"matchLabels": {"app": "web"}}}
AT = {"interfaceselector": ETH0, "priority": 7}
XDP_DEFAULT, TC_DEFAULT = ["Pass", "DispatcherReturn"], ["Pipe", "DispatcherReturn"]


def only(document: dict[str, Any]) -> dict[str, Any]:
    """The one program that an object becomes; that the current kinds take it is checked as well."""
    made = translate.translate(document)
    resources.read(made.marked())
    (program,) = made.document["spec"]["programs"]
    assert isinstance(program, dict)
    return program


def test_the_sample_of_bpfmans_instructions() -> None:
    made = translate.translate(parsed(SEED))
    assert (made.kind, made.name, made.namespace, made.label, made.notes) == (
        "ClusterBpfApplication", "xdp-pass-all-nodes", None, "XdpProgram", (),
    )  # fmt: skip
    assert made.marked()["metadata"]["labels"] == {
        "app.kubernetes.io/name": "xdpprogram",
        naming.OWNED: "xdp-pass-all-nodes",
        naming.TRANSLATED_FROM: "XdpProgram",
    }
    assert made.document["spec"] == {
        "nodeSelector": {},
        "byteCode": {
            "image": {"url": "quay.io/bpfman-bytecode/xdp_pass:latest", "imagePullPolicy": "IfNotPresent"}
        },
        "globalData": {"GLOBAL_u32": "DQwLCg==", "GLOBAL_u8": "AQ=="},
        "programs": [
            {
                "name": "pass",
                "type": "XDP",
                "xdp": {
                    "links": [
                        {
                            "interfaceSelector": {"primaryNodeInterface": True},
                            "priority": 0,
                            "proceedOn": XDP_DEFAULT,
                        }
                    ]
                },
            }
        ],
    }  # fmt: skip


def test_as_an_api_server_has_it_it_means_the_same() -> None:
    """globaldata in base64, defaults filled in, metadata of the server, a status."""
    document = parsed(SEED)
    document["spec"]["globaldata"] = {"GLOBAL_u32": "DQwLCg==", "GLOBAL_u8": "AQ=="}
    document["spec"] |= {"mapownerselector": {}, "proceedon": ["pass", "dispatcher_return"]}
    document["spec"]["bytecode"]["image"]["imagepullpolicy"] = "IfNotPresent"
    document["metadata"] |= {
        "uid": "21c71a61", "resourceVersion": "1", "generation": 2, "finalizers": [naming.OPERATOR_FINALIZER],
        "annotations": {translate.LAST_APPLIED: "{}"},
    }  # fmt: skip
    document["status"] = {"conditions": []}
    assert translate.translate(document).document == translate.translate(parsed(SEED)).document


@pytest.mark.parametrize(
    ("kind", "spec", "program"),
    [
        (
            "XdpProgram",
            {**AT, "proceedon": ["pass", "tx", "redirect", "aborted", "pass"]},
            {"type": "XDP", "xdp": [{**NEAR, "priority": 7, "proceedOn": ["Pass", "TX", "ReDirect", "Aborted"]}]},
        ),
        (
            "XdpProgram",
            {**AT, "bpffunctionname": None, "sectionname": "pass"},
            {"type": "XDP", "xdp": [{**NEAR, "priority": 7, "proceedOn": XDP_DEFAULT}]},
        ),
        (
            "XdpProgram",
            {**AT, "containers": {"namespace": "web", **PODS, "containernames": ["nginx"]}},
            {"type": "XDP", "xdp": [{**NEAR, "networkNamespaces": {"namespace": "web", **PODS}, "priority": 7,
                                     "proceedOn": XDP_DEFAULT}]},
        ),
        (
            "TcProgram",
            {**AT, "direction": "ingress"},
            {"type": "TC", "tc": [{**NEAR, "direction": "Ingress", "priority": 7, "proceedOn": TC_DEFAULT}]},
        ),
        (
            "TcProgram",
            {**AT, "direction": "egress", "proceedon": list(fields.TC_VERDICTS)},
            {"type": "TC", "tc": [{**NEAR, "direction": "Egress", "priority": 7, "proceedOn": [
                "UnSpec", "OK", "ReClassify", "Shot", "Pipe", "Stolen", "Queued", "Repeat", "ReDirect", "Trap",
                "DispatcherReturn"]}]},
        ),
        (
            "TcxProgram",
            {**AT, "direction": "egress", "containers": {"namespace": "", **PODS}},
            {"type": "TCX", "tcx": [{**NEAR, "networkNamespaces": PODS, "direction": "Egress", "priority": 7}]},
        ),
        (
            "TracepointProgram",
            {"names": ["syscalls/sys_enter_openat", "sched/sched_switch"]},
            {"type": "TracePoint",
             "tracepoint": [{"name": "syscalls/sys_enter_openat"}, {"name": "sched/sched_switch"}]},
        ),
        (
            "KprobeProgram",
            {"func_name": "try_to_wake_up", "offset": 4},
            {"type": "KProbe", "kprobe": [{"function": "try_to_wake_up", "offset": 4}]},
        ),
        (
            "KprobeProgram",
            {"func_names": ["vfs_read", "vfs_write"], "retprobe": True},
            {"type": "KRetProbe", "kretprobe": [{"function": "vfs_read"}, {"function": "vfs_write"}]},
        ),
        (
            "UprobeProgram",
            {"target": "libc", "func_name": "malloc", "pid": 7, "containers": {**PODS, "containernames": ["a"]}},
            {"type": "UProbe", "uprobe": [{"offset": 0, "target": "libc", "function": "malloc", "pid": 7,
                                           "containers": {**PODS, "containerNames": ["a"]}}]},
        ),
        (
            "UprobeProgram",
            {"target": "/bin/sh", "offset": 64, "retprobe": True},
            {"type": "URetProbe", "uretprobe": [{"offset": 64, "target": "/bin/sh"}]},
        ),
        ("FentryProgram", {"func_name": "do_unlinkat"}, {"type": "FEntry", "fentry": "do_unlinkat"}),
        ("FexitProgram", {"func_name": "do_unlinkat"}, {"type": "FExit", "fexit": "do_unlinkat"}),
        (
            "XdpNsProgram",
            {**AT, "containers": PODS},
            {"type": "XDP", "xdp": [{**NEAR, "networkNamespaces": PODS, "priority": 7, "proceedOn": XDP_DEFAULT}]},
        ),
        (
            "TcNsProgram",
            {**AT, "containers": PODS, "direction": "ingress"},
            {"type": "TC", "tc": [{**NEAR, "networkNamespaces": PODS, "direction": "Ingress", "priority": 7,
                                   "proceedOn": TC_DEFAULT}]},
        ),
        (
            "TcxNsProgram",
            {**AT, "containers": PODS, "direction": "ingress"},
            {"type": "TCX", "tcx": [{**NEAR, "networkNamespaces": PODS, "direction": "Ingress", "priority": 7}]},
        ),
        (
            "UprobeNsProgram",
            {"target": "libc", "func_name": "malloc", "containers": PODS},
            {"type": "UProbe", "uprobe": [{"offset": 0, "target": "libc", "function": "malloc", "containers": PODS}]},
        ),
    ],
)  # fmt: skip
def test_a_kind_with_one_program(kind: str, spec: dict[str, Any], program: dict[str, Any]) -> None:
    (member,) = program.keys() - {"type"}
    body = program[member]
    links = {"function": body, "links": [{"mode": "Attach"}]} if isinstance(body, str) else {"links": body}
    assert only(older(kind, spec)) == {"name": "pass", "type": program["type"], member: links}
    made = translate.translate(older(kind, spec, namespace="web" if "Ns" in kind else None))
    assert (made.kind, made.namespace) == (
        ("BpfApplication", "web") if "Ns" in kind else ("ClusterBpfApplication", None)
    )


MULTI = {"interfaceselector": {"interface": "eth0"}, "priority": 7}


@pytest.mark.parametrize(
    ("spec", "program"),
    [
        (
            {"type": "XDP", "priority": 7, "attachpoint": {"interface": "eth0"}},
            {"type": "XDP", "xdp": {"links": [{**NEAR, "priority": 7, "proceedOn": XDP_DEFAULT}]}},
        ),
        (
            {"type": "XDP", "attachpoint": {"networkmultiattach": {**MULTI, "proceedon": ["PASS", "ABORTED"]}}},
            {"type": "XDP", "xdp": {"links": [{**NEAR, "priority": 7, "proceedOn": ["Pass", "Aborted"]}]}},
        ),
        (
            {"type": "XDP", "attachpoint": {"networkmultiattach": {"interface": "eth0", "priority": 7}}},
            {"type": "XDP", "xdp": {"links": [{**NEAR, "priority": 7, "proceedOn": XDP_DEFAULT}]}},
        ),
        (
            {"type": "TC", "attachpoint": {"networkmultiattach": {**MULTI, "direction": "INGRESS"}}},
            {"type": "TC", "tc": {"links": [{**NEAR, "direction": "Ingress", "priority": 7, "proceedOn": TC_DEFAULT}]}},
        ),
        (
            {"type": "TRACEPOINT", "attachpoint": {"singleattach": {"name": "sched/sched_switch"}}},
            {"type": "TracePoint", "tracepoint": {"links": [{"name": "sched/sched_switch"}]}},
        ),
    ],
)  # fmt: skip
def test_the_attach_points_of_bpfd(spec: dict[str, Any], program: dict[str, Any]) -> None:
    assert only(older("BpfProgramConfig", {"name": "pass", **spec})) == {"name": "pass", **program}


@pytest.mark.parametrize(
    ("code", "current"),
    [
        ({"imageurl": "q.io/a/b:1"}, {"image": {"url": "q.io/a/b:1"}}),
        ("image://q.io/a/b:1", {"image": {"url": "q.io/a/b:1"}}),
        ("file:///opt/x.o", {"path": "/opt/x.o"}),
        ({"path": "/opt/x.o"}, {"path": "/opt/x.o"}),
        ({"image": {"url": "q.io/a/b:1"}}, {"image": {"url": "q.io/a/b:1", "imagePullPolicy": "IfNotPresent"}}),
        (
            {"image": {"url": "q.io/a/b:1", "imagepullpolicy": "Always", "imagepullsecret": "login"}},
            {"image": {"url": "q.io/a/b:1", "imagePullPolicy": "Always",
                       "imagePullSecret": {"name": "login", "namespace": "bpfman"}}},
        ),
    ],
)  # fmt: skip
def test_the_bytecode_of_bpfd(code: Any, current: dict[str, Any]) -> None:
    document = parsed(BPFD)
    document["spec"]["bytecode"] = code
    assert translate.translate(document).document["spec"]["byteCode"] == current


def test_a_section_is_taken_for_the_function_of_that_name() -> None:
    document = parsed(BPFD)
    document["spec"]["name"] = "xdp/pass"
    made = translate.translate(document)
    assert made.document["spec"]["programs"][0]["name"] == "pass"
    assert made.notes == ("spec.name names an ELF section: the program is taken to be its function pass",)


def app(*programs: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return older("BpfApplication", {**spec, "programs": list(programs)})


def xdp(name: str, **body: Any) -> dict[str, Any]:
    return {"type": "XDP", "xdp": {"bpffunctionname": name, **AT, **body}}


def test_the_older_form_of_an_application_is_cluster_wide() -> None:
    document = app(
        xdp("a"), {"type": "Kretprobe", "kretprobe": {"bpffunctionname": "b", "func_name": "vfs_read"}},
        {"type": "Uretprobe", "uretprobe": {"bpffunctionname": "c", "target": "libc", "offset": 4}},
    )  # fmt: skip
    document["metadata"]["namespace"] = "bpfman"
    assert kinds.of(document) is kinds.APPLICATION
    made = translate.translate(document)
    assert (made.kind, made.namespace, made.label) == ("ClusterBpfApplication", None, "BpfApplication")
    assert [(each["name"], each["type"]) for each in made.document["spec"]["programs"]] == [
        ("a", "XDP"), ("b", "KRetProbe"), ("c", "URetProbe"),
    ]  # fmt: skip


def test_the_current_form_is_none_of_ours() -> None:
    current = translate.translate(parsed(SEED)).document
    assert kinds.of(current) is None
    assert kinds.of({**current, "kind": "BpfApplication"}) is None
    with pytest.raises(errors.InvalidRequest, match="is of no older kind"):
        translate.translate(current)


def test_one_function_at_several_places_is_one_program() -> None:
    eth1 = {"interfaceselector": {"interfaces": ["eth1"]}}
    program = only(app(xdp("a"), xdp("a", **eth1), xdp("a")))
    assert [each["interfaceSelector"]["interfaces"] for each in program["xdp"]["links"]] == [["eth0"], ["eth1"]]


def test_one_function_cannot_be_two_programs() -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        translate.translate(app(xdp("a"), {"type": "TC", "tc": {"bpffunctionname": "a", **AT, "direction": "ingress"}}))
    assert caught.value.what == "spec.programs[1].tc has the function of spec.programs[0].xdp"
    assert caught.value.why == "a would be XDP and TC, and a program of one application is one"
    fentry = [{"type": "Fentry", "fentry": {"bpffunctionname": "a", "func_name": name}} for name in ("f", "g")]
    with pytest.raises(errors.InvalidRequest, match="a would be FEntry of f and FEntry of g"):
        translate.translate(app(*fentry))
    assert only(app(fentry[0], fentry[0]))["fentry"]["links"] == [{"mode": "Attach"}]


def test_map_owners() -> None:
    """They were selected by the labels of BpfPrograms, which the translated object has as far as it can."""
    owner = {"matchLabels": {naming.OWNED: "counter", naming.HOSTNAME: "n1"}}
    made = translate.translate(older("XdpProgram", {**AT, "mapownerselector": owner}))
    assert made.document["spec"]["mapOwnerSelector"] == {"matchLabels": {naming.OWNED: "counter"}}
    assert len(made.notes) == 1 and "kubernetes.io/hostname" in made.notes[0]
    both = translate.translate(app(xdp("a", mapownerselector=owner), xdp("b", mapownerselector=owner)))
    assert both.document["spec"]["mapOwnerSelector"] == {"matchLabels": {naming.OWNED: "counter"}}
    assert any("holds for all programs" in note for note in both.notes)
    other = {"matchLabels": {naming.OWNED: "other"}}
    with pytest.raises(errors.InvalidRequest, match=r"spec\.programs\[1\]\.xdp\.mapownerselector is not spec"):
        translate.translate(app(xdp("a", mapownerselector=owner), xdp("b", mapownerselector=other)))
    with pytest.raises(errors.InvalidRequest, match="it has to select an application"):
        translate.translate(older("XdpProgram", {**AT, "mapownerselector": {"matchLabels": {naming.HOSTNAME: "n1"}}}))


@pytest.mark.parametrize(
    ("document", "what"),
    [
        (None, "the document is of no older kind"),
        ({"apiVersion": "bpfman.io/v1alpha1", "kind": "Pod"}, "bpfman.io/v1alpha1/Pod is of no older kind"),
        ({**older("XdpProgram", AT), "spec": None}, "spec is missing"),
        (older("XdpProgram", AT, name="Old"), "metadata.name is 'Old'"),
        (older("XdpProgram", AT, namespace="web"), "metadata.namespace is 'web'"),
        (older("XdpProgram", {"priority": 1}), "spec.interfaceselector is missing"),
        (older("XdpProgram", {**AT, "priority": 1001}), "spec.priority is 1001"),
        (older("XdpProgram", {**AT, "proceedon": ["Pass"]}), "spec.proceedon[0] is 'Pass'"),
        (older("XdpProgram", {**AT, "bytecode": {}}), "spec.bytecode is empty"),
        (older("XdpProgram", {**AT, "bpffunctionname": None}), "spec does not fit together"),
        (older("XdpProgram", {**AT, "interfaceselector": {"interfaces": []}}),
         "spec.interfaceselector.interfaces is []"),
        (older("XdpProgram", {**AT, "interfaceselector": {"primarynodeinterface": False}}),
         "spec.interfaceselector.primarynodeinterface is False"),
        (older("XdpProgram", {**AT, "bpffunctionname": "-name"}),
         "the ClusterBpfApplication that it would be is wrong: spec.programs[0].name is '-name'"),
        (older("XdpProgram", {**AT, "globaldata": {"a": [256]}}), "spec.globaldata.a[0] is 256"),
        (older("XdpNsProgram", AT), "spec.containers is missing"),
        (older("KprobeProgram", {}), "spec does not fit together"),
        (older("KprobeProgram", {"func_name": "f", "offset": 1, "retprobe": True}), "spec does not fit together"),
        (older("BpfApplication", {"programs": []}), "spec.programs is too short"),
        (older("BpfProgramConfig", {"name": "a", "type": "TC", "priority": 1, "attachpoint": {"interface": "e"}}),
         "spec.attachpoint has no direction"),
        (older("BpfProgramConfig", {"name": "a", "type": "XDP", "attachpoint": {"interface": "e"}}),
         "spec.priority is missing"),
        (older("BpfProgramConfig", {"name": "a/", "type": "XDP", "priority": 1, "attachpoint": {"interface": "e"}}),
         "spec.name is 'a/'"),
        (older("BpfProgramConfig", {"name": "a", "type": "TRACEPOINT", "attachpoint": {"interface": "e"}}),
         "spec.attachpoint does not fit the type TRACEPOINT"),
        (older("BpfProgramConfig", {"name": "a", "type": "XDP", "attachpoint": {"singleattach": {"name": "e"}}}),
         "spec.attachpoint.singleattach does not fit the type XDP"),
        (older("BpfProgramConfig", {"name": "a", "type": "XDP", "priority": 1, "attachpoint": {"interface": "e"},
                                    "bytecode": "http://x"}), "spec.bytecode is 'http://x'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(document: Any, what: str) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        translate.translate(document)
    assert caught.value.what.startswith(what)
    assert caught.value.why and caught.value.do


WORDS = st.sampled_from(
    ["XDP", "TC", "ingress", "pass", "eth0", "", "a/b", "image://x", "DQ==", "In", "\x00", "Kretprobe", "é" * 300]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**40) | st.floats(allow_nan=True) | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def named(shape: Any) -> list[str]:
    """The names of the fields below a shape."""
    below = getattr(shape, "of", None)
    return [
        name
        for field in getattr(shape, "fields", ())
        for name in (field.name, *named(field.shape))
    ] + (named(below) if below is not None else [])  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(data=st.data(), kind=st.sampled_from([*kinds.OWN, kinds.APPLICATION]))
def test_nothing_but_our_own_errors(data: st.DataObject, kind: kinds.Older) -> None:
    """Whatever stands in the fields: it is translated, or refused by name."""
    known = st.sampled_from(sorted(set(named(kind.kind.spec))))
    spec = data.draw(st.dictionaries(known, VALUES, max_size=8) | VALUES)
    good = parsed(BPFD if kind is kinds.CONFIG else SEED)["spec"]
    if isinstance(spec, dict) and data.draw(st.booleans()):
        spec = {**good, **spec}
    document = {
        "apiVersion": kind.kind.api_version,
        "kind": kind.kind.name,
        "metadata": data.draw(st.just({"name": "old"}) | VALUES),
        "spec": spec,
    }
    with contextlib.suppress(errors.InvalidRequest):
        resources.read(translate.translate(document).marked())
