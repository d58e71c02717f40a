"""What is told of a cluster's CRDs: those that are missing, that drop fields of ours, or that have another scope."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from skep.kube import crd, kinds
from skep.kube.operator import definitions

ESTABLISHED = {"conditions": [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]}


def installed(kind: kinds.Kind) -> dict[str, Any]:
    """Our CRD as the API server has it."""
    made = copy.deepcopy(crd.definition(kind))
    return {**made, "status": ESTABLISHED}


def schema(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return found


def kept(document: dict[str, Any]) -> definitions.Definition:
    found = definitions.definition(document)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: kind.name)
def test_our_own_lacks_nothing(kind: kinds.Kind) -> None:
    found = kept(installed(kind))
    assert (found.namespaced, found.serves, found.lacks) == (kind.namespaced, True, ())


def test_nothing_is_wrong_where_all_are_ours() -> None:
    there = [kept(installed(kind)) for kind in kinds.KINDS]
    assert (definitions.faults(there), definitions.remarks(there)) == ((), ())


def test_one_of_another_group_is_not_kept() -> None:
    document = installed(kinds.APPLICATION)
    document["spec"]["group"] = "example.com"
    assert definitions.definition(document) is None


def without(document: dict[str, Any], *path: str) -> None:
    *where, last = path
    here = document
    for each in where:
        here = here[each]
    del here[last]


@pytest.mark.parametrize(
    ("path", "lacks"),
    [
        (("status", "properties", "desired"), ("status.desired",)),
        (("spec", "properties", "mapPolicy"), ("spec.mapPolicy",)),
        (("spec", "properties", "programs", "items", "properties", "netkit"), ("spec.programs[].netkit",)),
        (("spec", "properties", "byteCode", "properties", "image", "properties", "url"), ("spec.byteCode.image.url",)),
        (("status",), ("status",)),
        (("metadata",), ()),
    ],
    ids=lambda each: ".".join(each[-1:]) if isinstance(each, tuple) else None,
)
def test_fields_that_would_be_dropped_are_named(path: tuple[str, ...], lacks: tuple[str, ...]) -> None:
    document = installed(kinds.CLUSTER_APPLICATION)
    without(schema(document), *path)
    found = kept(document)
    assert found.lacks == lacks
    told = [each for each in definitions.faults([found]) if "is not installed" not in each]
    assert len(told) == bool(lacks) and all(f"lacks {lacks[0]}, and the API server drops" in each for each in told)


def test_what_keeps_unknown_fields_lacks_none() -> None:
    document = installed(kinds.CLUSTER_APPLICATION)
    schema(document)["spec"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert kept(document).lacks == ()


def test_a_long_list_is_cut() -> None:
    document = installed(kinds.CLUSTER_APPLICATION)
    schema(document)["spec"]["properties"]["programs"]["items"]["properties"] = {"name": {}, "type": {}}
    fault = next(each for each in definitions.faults([kept(document)]) if "lacks" in each)
    assert (
        "spec.programs[].xdp" in fault and " more, and the API server drops what it lacks: apply deploy/crds" in fault
    )


def test_a_missing_one_is_named() -> None:
    there = [kept(installed(kind)) for kind in kinds.KINDS if kind.name != "NodeBpfInventory"]
    assert definitions.faults(there) == ("CRD nodebpfinventories.bpfman.io is not installed: apply deploy/crds",)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"status": {}}, ""),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, "is being deleted"),
        ({"spec": {"versions": [{"name": "v1", "served": True}]}}, "does not serve v1alpha1"),
        ({"spec": {"versions": [{"name": "v1alpha1", "served": False}]}}, "does not serve v1alpha1"),
        (
            {"status": {"conditions": [{"type": "NamesAccepted", "status": "False", "message": "ba is taken"}]}},
            "was not accepted (ba is taken)",
        ),
    ],
    ids=["not established yet", "being deleted", "another version", "not served", "names taken"],
)
def test_what_does_not_answer_is_not_served(change: dict[str, Any], why: str) -> None:
    document = installed(kinds.APPLICATION)
    for part, fields in change.items():
        document[part] = {**document[part], **fields} if fields else {}
    found = kept(document)
    assert not found.serves
    told = [each for each in definitions.faults([found]) if each.startswith("CRD bpfapplications.")]
    assert told == ([f"CRD bpfapplications.bpfman.io {why}: apply deploy/crds"] if why else [])


def test_the_older_scope_of_bpfapplications_is_no_fault_but_told() -> None:
    document = installed(kinds.APPLICATION)
    document["spec"]["scope"] = "Cluster"
    schema(document)["spec"] = {"type": "object", "properties": {"bytecode": {"type": "object"}}}
    there = [kept(installed(kind)) for kind in kinds.KINDS if kind is not kinds.APPLICATION] + [kept(document)]
    assert definitions.faults(there) == ()
    (remark,) = definitions.remarks(there)
    assert "no BpfApplication in a namespace" in remark and "apply deploy/crds" in remark


def test_another_scope_elsewhere_is_a_fault() -> None:
    document = installed(kinds.CLUSTER_APPLICATION)
    document["spec"]["scope"] = "Namespaced"
    assert any("has the wrong scope: delete it" in each for each in definitions.faults([kept(document)]))
