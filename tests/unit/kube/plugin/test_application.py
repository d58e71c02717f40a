"""Applications as they are listed, and the one that a person means."""

from __future__ import annotations

from typing import Any

import pytest

from skep import errors
from skep.kube.plugin import application
from tests.unit.kube.plugin import objects


@pytest.mark.parametrize(
    ("document", "row"),
    [
        (objects.application(), ("Success", 2, 2, 0, 0, True)),
        (
            objects.application(type="Error", message="no", counts=(5, 2, 1), observed=2),
            ("Error", 5, 2, 1, 2, False),
        ),
        ({"kind": "BpfApplication", "metadata": {"name": "new", "generation": 1}}, ("Pending", 0, 0, 0, 0, False)),
        (
            objects.application(type="Pending", counts=(0, 0, 0), deletionTimestamp="2026-01-01T00:00:00Z"),
            ("Deleting", 0, 0, 0, 0, True),
        ),
        (
            objects.application(type="DeleteError", counts=(0, 0, 1), deletionTimestamp="2026-01-01T00:00:00Z"),
            ("DeleteError", 0, 0, 1, 0, True),
        ),
    ],
    ids=["ready", "failing", "not-seen-yet", "deleting", "not-to-be-deleted"],
)
def test_rows(document: dict[str, Any], row: tuple[object, ...]) -> None:
    found = application.listed(document)
    assert (found.status, found.desired, found.ready, found.failed, found.pending, found.current) == row


def test_what_it_was_made_out_of_is_told() -> None:
    made = objects.application(labels={"skep.io/translated-from": "XdpProgram"})
    assert application.listed(made).older == "XdpProgram"
    assert application.listed(objects.application()).older == ""


def test_keys_and_references() -> None:
    found = application.listed(objects.application("counter", "web"))
    assert (found.key, found.reference) == ("BpfApplication/web/counter", "bpfapplication.bpfman.io/counter")


KNOWN = [objects.application("counter"), objects.application("counter", "web"), objects.application("firewall")]


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("firewall", "ClusterBpfApplication"),
        ("cba/counter", "ClusterBpfApplication"),
        ("ba/counter", "BpfApplication"),
        ("clusterbpfapplication.bpfman.io/counter", "ClusterBpfApplication"),
    ],
)
def test_an_application_is_found(word: str, kind: str) -> None:
    assert application.named(word, KNOWN, "web")["kind"] == kind


@pytest.mark.parametrize(
    ("word", "error", "do"),
    [
        ("counter", errors.InvalidRequest, "say cba/counter or ba/counter"),
        ("firewal", errors.NotFound, "did you mean firewall?"),
        ("ba/firewall", errors.NotFound, "did you mean firewall?"),
        ("zebra", errors.NotFound, "kubectl skep status -A lists all"),
        ("pod/x", errors.InvalidRequest, "say NAME"),
    ],
)
def test_what_is_not_found_says_what_to_do(word: str, error: type[errors.SkepError], do: str) -> None:
    with pytest.raises(error) as told:
        application.named(word, KNOWN, "web")
    assert do in told.value.do
