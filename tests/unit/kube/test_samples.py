"""Every sample is read; its wrong twin is refused with the path of what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from skep import errors, hooks
from skep.kube import kinds, members, resources, shape
from skep.kube.older import kinds as older
from skep.kube.older import translate
from tests.e2e import documents
from tests.unit.house import source_tree

DIRECTORY = source_tree.ROOT / "deploy/samples"
SAMPLES = sorted(DIRECTORY.glob("*.yaml"))
OLDER = sorted(DIRECTORY.glob("older/*.yaml"))
WRONG = source_tree.ROOT / "tests/assets/wrong"


def check(document: dict[str, Any]) -> None:
    """Read it as what it is."""
    if older.of(document) is not None:
        resources.read(translate.translate(document).marked())
        return
    if document["kind"].endswith("Application"):
        resources.read(document)
        return
    named = (document["apiVersion"], document["kind"])
    (kind,) = (kind for kind in (*kinds.KINDS, *older.KINDS) if (kind.api_version, kind.name) == named)
    if kind.spec is not None:
        shape.read(kind.spec, document["spec"], "spec")
    if "status" in document:
        shape.read(kind.status, document["status"], "status")


@pytest.mark.parametrize("path", [*SAMPLES, *OLDER], ids=lambda path: path.stem)
def test_a_sample_is_read(path: Path) -> None:
    check(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("path", [*SAMPLES, *OLDER], ids=lambda path: path.stem)
def test_its_wrong_twin_is_refused(path: Path) -> None:
    text = (WRONG / path.relative_to(DIRECTORY)).read_text()
    with pytest.raises(errors.InvalidRequest) as caught:
        check(yaml.safe_load(text))
    assert caught.value.what == text.splitlines()[0].removeprefix("# ")
    assert caught.value.why and caught.value.do


def test_there_is_one_for_every_kind_and_type() -> None:
    """A new hook without a sample is one that nobody has seen as an object."""
    wanted = {f"clusterbpfapplication-{hook.name}" for hook in hooks.HOOKS}
    wanted |= {f"bpfapplication-{hook.name}" for hook in members.types(cluster=False)}
    wanted |= {kind.name.lower() for kind in kinds.KINDS if not kind.name.endswith("Application")}
    wanted.add("clusterbpfapplication-rollout")
    assert {path.stem for path in SAMPLES} == wanted
    assert {path.stem for path in WRONG.glob("*.yaml")} == wanted


def test_there_is_one_for_every_older_kind() -> None:
    there = {(each["apiVersion"], each["kind"]) for each in map(yaml.safe_load, (path.read_text() for path in OLDER))}
    assert there == {(kind.api_version, kind.name) for kind in (*older.KINDS, older.APPLICATION.kind)}
    assert {path.name for path in WRONG.glob("older/*.yaml")} == {path.name for path in OLDER}


def test_the_documents_example_is_read() -> None:
    (text,) = (
        block.text
        for block in documents.all_blocks("yaml")
        if block.document == "docs/apply.md" and block.text.startswith("apiVersion")
    )
    assert resources.read(yaml.safe_load(text)).key == "ClusterBpfApplication/counter"
