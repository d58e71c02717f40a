"""The one schema for both forms of BpfApplication, and who takes which form."""

from __future__ import annotations

from typing import Any

import pytest

from skep import errors
from skep.kube import kinds, resources, shape
from skep.kube.agent import records
from skep.kube.older import both, translate
from skep.kube.older import kinds as older
from tests.unit.kube.older.forms import MIXED, NOW, THEN
from tests.unit.kube.older.samples import SEED, parsed


@pytest.mark.parametrize("spec", [NOW, THEN], ids=["current", "older"])
def test_each_form_is_taken_and_gets_nothing_of_the_other(spec: dict[str, Any]) -> None:
    found = shape.read(both.SPEC, spec, "spec")
    assert found.keys() == spec.keys()
    assert found["programs"][0].keys() == spec["programs"][0].keys()


@pytest.mark.parametrize(("spec", "why"), MIXED)
def test_forms_are_not_mixed(spec: dict[str, Any], why: str) -> None:
    """In the words that a real API server says (tests/kube)."""
    with pytest.raises(errors.InvalidRequest) as caught:
        shape.read(both.SPEC, spec, "spec")
    assert why in str(caught.value)


def application(spec: dict[str, Any], namespace: str | None = "web") -> dict[str, Any]:
    about = {"name": "a", "uid": "u"} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": kinds.API_VERSION, "kind": "BpfApplication", "metadata": about, "spec": spec}


def test_who_takes_which() -> None:
    """Agents and skep apply take the current one, the operator translates the other."""
    assert older.of(application(NOW)) is None and records.wished(application(NOW)) is not None
    assert older.of(application(THEN)) is older.APPLICATION and records.wished(application(THEN)) is None
    assert records.wished(application(NOW, namespace=None)) is None, "of an older CRD, with the scope Cluster"
    assert resources.read(application(NOW)).key == "BpfApplication/web/a"
    for document, what in (
        (application(THEN), "this BpfApplication is in its older form"),
        (parsed(SEED), "XdpProgram in bpfman.io/v1alpha1 is of an older generation"),
    ):
        with pytest.raises(errors.InvalidRequest) as caught:
            resources.read(document)
        assert (caught.value.what, caught.value.do) == (what, "make one of it: skep kube convert FILE")


def test_the_schema_reads_what_is_translated() -> None:
    """What the CRD fills in does not keep an older form from being translated."""
    found = {**application(THEN), "spec": shape.read(both.SPEC, THEN, "spec")}
    assert translate.translate(found).document == translate.translate(application(THEN)).document
