"""`skep kube convert`: what files become, and what is said about them."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from skep.kube import resources
from skep.kube.older import rewrite, translate
from tests.unit.cli.conftest import Result, run, skep
from tests.unit.house import source_tree
from tests.unit.kube.older.samples import BPFD, SEED, older, parsed

__all__ = ["run", "skep"]
Run = Callable[..., Result]

SERVICE = "apiVersion: v1\nkind: Service   # stays   as it is\nmetadata: {name:   web}\n"
AT = {"interfaceselector": {"interfaces": ["eth0"]}, "priority": 7}


def rewritten(text: str) -> str:
    found = rewrite.rewrite("a.yaml", text, rewrite.Seen())
    assert found.problems == ()
    return found.text


def test_what_is_not_older_stays_to_the_letter() -> None:
    seed = SEED.removeprefix("\n")
    text = f"# Licence\n\n---\n{SERVICE}---\n# How it began.\n{seed}---\n# nothing\n---\n{SERVICE}"
    made = rewritten(text)
    before, _, rest = made.partition("---\n# How it began.\n")
    assert before == f"# Licence\n\n---\n{SERVICE}"
    converted, _, after = rest.partition("---\n")
    assert after == f"# nothing\n---\n{SERVICE}"
    assert yaml.safe_load(converted) == translate.translate(parsed(SEED)).document
    assert rewritten(made) == made


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", SERVICE, f"---\n{SERVICE}...\n", "- 1\n- 2\n", "text\n"])
def test_a_file_without_older_objects_is_not_touched(text: str) -> None:
    assert rewritten(text) == text


def test_windows_lines() -> None:
    made = rewritten(f"---\n{SERVICE}---\n{SEED}".replace("\n", "\r\n"))
    assert [each["kind"] for each in yaml.safe_load_all(made)] == ["Service", "ClusterBpfApplication"]


def test_a_document_in_the_line_of_its_beginning() -> None:
    made = rewritten(f"{SERVICE}--- {json.dumps(parsed(SEED))}\n")
    assert [each["kind"] for each in yaml.safe_load_all(made)] == ["Service", "ClusterBpfApplication"]


def test_what_a_server_wrote_is_dropped_and_what_people_wrote_is_kept() -> None:
    document = parsed(SEED)
    document["metadata"] |= {
        "uid": "u", "resourceVersion": "1", "generation": 2, "creationTimestamp": "2023-11-07T19:16:39Z",
        "managedFields": [{}], "finalizers": ["bpfman.io.operator/finalizer"],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "net"},
    }  # fmt: skip
    document["status"] = {"conditions": []}
    made = yaml.safe_load(rewritten(yaml.safe_dump(document)))
    assert made.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert made["metadata"] == {
        "name": "xdp-pass-all-nodes",
        "labels": {"app.kubernetes.io/name": "xdpprogram", "bpfman.io/ownedByProgram": "xdp-pass-all-nodes"},
        "annotations": {"team": "net"},
    }


def test_lists_as_kubectl_prints_them() -> None:
    items = [parsed(SEED), parsed(SERVICE), {**older("BpfProgram", {}), "spec": {"type": "xdp"}}]
    items[1]["metadata"]["creationTimestamp"] = "2023-11-07T19:16:39Z"
    document = {"apiVersion": "v1", "kind": "List", "items": items}
    for text in (json.dumps(document), yaml.safe_dump(document)):
        found = rewrite.rewrite("a.json", text, rewrite.Seen())
        made = (json.loads if text.startswith("{") else yaml.safe_load)(found.text)
        assert [each["kind"] for each in made["items"]] == ["ClusterBpfApplication", "Service"]
        assert made["items"][1] == items[1]
        assert found.done[1] == "a.json, item 3: BpfProgram old left out: the operator writes it"


def test_times_that_nobody_quoted_stay_what_they_are() -> None:
    text = (
        f"kind: List\nitems:\n- {{apiVersion: v1, kind: Pod, at: 2023-11-07T19:16:39Z}}\n- {json.dumps(parsed(SEED))}\n"
    )
    assert yaml.load(rewritten(text), Loader=yaml.BaseLoader)["items"][0]["at"] == "2023-11-07T19:16:39Z"


def test_namespaces() -> None:
    """Who leaves it to kubectl still does; what is cluster-wide has none."""
    pods = {**AT, "containers": {"pods": {}}}
    assert "namespace" not in yaml.safe_load(rewritten(json.dumps(older("XdpNsProgram", pods))))["metadata"]
    (made,) = yaml.safe_load_all(rewritten(json.dumps(older("XdpNsProgram", pods, namespace="web"))))
    assert made["metadata"]["namespace"] == "web"
    application = older("BpfApplication", {"programs": [{"type": "XDP", "xdp": {"bpffunctionname": "a", **AT}}]},
                        namespace="bpfman")  # fmt: skip
    found = rewrite.rewrite("a", json.dumps(application), rewrite.Seen())
    assert found.notes == ("a: the namespace bpfman is left out: a ClusterBpfApplication is cluster-wide",)


def problems(*texts: str) -> list[str]:
    seen = rewrite.Seen()
    return [
        f"{each.what}: {each.why}"
        for number, text in enumerate(texts)
        for each in rewrite.rewrite(f"{'ab'[number]}.yaml", text, seen).problems
        if each.do
    ]


def test_what_were_two_kinds_cannot_have_one_name() -> None:
    bpfd = BPFD.removeprefix("\n")
    why = "the other is in a.yaml; kinds that were apart are one kind now"
    assert problems(SEED, bpfd) == [f"b.yaml: ClusterBpfApplication xdp-pass-all-nodes is there twice: {why}"]
    current = yaml.safe_dump(dict(translate.translate(parsed(SEED)).document))
    assert problems(current, SEED) == problems(SEED, current)
    assert problems(current, current) == []


def test_what_is_wrong_is_told_by_file_and_document() -> None:
    wrong = SEED.replace("priority: 0", "priority: 1001")
    said = problems(f"{SERVICE}---{wrong}---\na: [\n---\n{wrong}")
    assert [each.partition(" is ")[0] for each in said] == [
        "a.yaml, document 2: spec.priority", "a.yaml, document 3", "a.yaml, document 4: spec.priority",
    ]  # fmt: skip
    assert problems("kind: List\nitems: [&a {apiVersion: bpfd.io/v1alpha1, kind: BpfProgram}, &b [*b]]\n") == [
        "a.yaml is within itself: an alias is part of what it stands for"
    ]


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="-#:{}[]&*!|>'\"ab \n\t\0\ud7ff", max_size=60))
def test_whatever_a_file_holds(text: str) -> None:
    found = rewrite.rewrite("a", f"{text}\n---\n{SEED}", rewrite.Seen())
    assert found.problems or found.text != text


SAMPLES = source_tree.ROOT / "deploy/samples/older"


def test_the_command_prints_what_can_be_applied(run: Run) -> None:
    result = run("kube", "convert", str(SAMPLES))
    assert result.code == 0
    made = list(yaml.safe_load_all(result.out))
    assert len(made) == len(list(SAMPLES.glob("*.yaml"))) - 3
    for document in made:
        resources.read(document)
    assert result.err.count(" left out: the operator writes it\n") == 3


def test_the_command_rewrites_in_place(run: Run, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    good, same, wrong = tmp_path / "deep/good.yml", tmp_path / "same.yaml", tmp_path / "wrong.yaml"
    good.write_text(SEED)
    good.chmod(0o640)
    same.write_text(SERVICE)
    wrong.write_text(BPFD.replace("type: XDP", "type: KPROBE"))
    (tmp_path / "notes.txt").write_text("{{")
    was = same.stat().st_mtime_ns, wrong.read_text()
    assert run("kube", "convert", "--check", str(good)).code == 1
    result = run("kube", "convert", "--in-place", str(tmp_path))
    assert (result.code, result.out) == (10, "")
    assert f"{wrong}: spec.type is 'KPROBE'" in result.err and "it is one of XDP, TC, TRACEPOINT" in result.err
    assert yaml.safe_load(good.read_text())["kind"] == "ClusterBpfApplication"
    assert stat.S_IMODE(good.stat().st_mode) == 0o640
    assert (same.stat().st_mtime_ns, wrong.read_text()) == was
    assert sorted(os.listdir(good.parent)) == ["good.yml"]
    result = run("kube", "convert", "--check", str(good), str(same))
    assert (result.code, result.out) == (0, "")
    assert "no older object in" in result.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--in-place", "-"], 2, "standard input cannot be rewritten in place"),
        (["--check", "--in-place", "{0}"], 2, "exclude each other"),
        ([], 2, "Missing argument"),
        (["{0}/not"], 3, "no file"),
        (["{0}/binary.yaml"], 10, "cannot read"),
        (["{0}/seed.yaml", "-o", "{0}/no/such"], 4, "cannot write"),
    ],
)
def test_the_command_says_what_is_wrong(run: Run, tmp_path: Path, words: list[str], code: int, said: str) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    (tmp_path / "seed.yaml").write_text(SEED)
    result = run("kube", "convert", *(word.format(tmp_path) for word in words))
    assert (result.code, result.out) == (code, "") and said in result.err


def test_the_command_writes_one_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SEED.rstrip("\n"))
    (tmp_path / "b.yaml").write_text(SERVICE)
    out = tmp_path / "out"
    assert run("kube", "convert", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"), "-o", str(out)).code == 0
    found: list[Any] = list(yaml.safe_load_all(out.read_text()))
    assert [each["kind"] for each in found] == ["ClusterBpfApplication", "Service"]
