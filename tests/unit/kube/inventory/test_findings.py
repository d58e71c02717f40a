"""What a node's object says of alerts, since when, and what of it is told."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from skep import model
from skep.kube import shape
from skep.kube.inventory import findings, kind, status
from skep.kube.inventory.findings import News
from skep.model import AlertKind
from tests.unit.kube.inventory.inventories import NOBODY, inventory, program

KEY = "BpfApplication/web/firewall"
CLASH = model.Alert(
    kind=AlertKind.CLASH, hook="xdp", place="xdp eth0", program=model.ProgramId(9), name="theirs",
    applications=(f"{KEY}@n1",), message="it clashes", remedy="detach it",
)  # fmt: skip
STRANGER = model.Alert(
    kind=AlertKind.UNSANCTIONED, hook="other", program=model.ProgramId(8), name="evil", message="it is not sanctioned",
    remedy="find out",
)  # fmt: skip
SHARES = model.Alert(kind=AlertKind.SHARES, hook="tcx", place="tcx ingress eth0", message="both", remedy="none")


def told(*alerts: model.Alert, before: dict[str, Any] | None = None, today: str = "2026-11-21T23:00:00Z") -> Any:
    found = dataclasses.replace(inventory((program(8, NOBODY),)), alerts=alerts)
    made = status.steady(before or {}, status.status(found, "n1", ()), today)
    assert shape.read(kind.STATUS, json.loads(json.dumps(made)), "status") == made
    return made


def strangers(number: int) -> list[model.Alert]:
    return [dataclasses.replace(STRANGER, name=f"evil{each:04}") for each in range(number)]


@pytest.mark.parametrize(
    ("alerts", "state", "reason", "message"),
    [
        ((), "True", "Clean", "nothing is wrong"),
        ((SHARES,), "True", "Clean", "nothing is wrong"),
        ((CLASH,), "False", "BpfClash", "1 clash; it clashes"),
        ((CLASH, STRANGER, SHARES), "False", "BpfClash", "1 clash, 1 program not sanctioned; it clashes"),
        (tuple(strangers(3)), "False", "BpfNotSanctioned", "3 programs not sanctioned; it is not"),
    ],
    ids=["nothing", "shared", "clash", "both", "strangers"],
)
def test_the_condition(alerts: tuple[model.Alert, ...], state: str, reason: str, message: str) -> None:
    (one,) = told(*alerts)["conditions"]
    assert (one["type"], one["status"], one["reason"]) == ("Clean", state, reason)
    assert one["message"].startswith(message)


def test_a_condition_has_been_so_since_it_changed() -> None:
    first = told(CLASH)
    later = told(CLASH, STRANGER, before=first, today="2026-11-22T00:00:00Z")
    assert [one["lastTransitionTime"] for one in later["conditions"]] == ["2026-11-21T23:00:00Z"]
    clean = told(before=later, today="2026-11-22T01:00:00Z")
    assert [one["lastTransitionTime"] for one in clean["conditions"]] == ["2026-11-22T01:00:00Z"]


def test_an_application_of_this_nodes_agent_is_told_as_the_object_it_is() -> None:
    (one,) = told(CLASH)["findings"]
    assert one["applications"] == [KEY]
    assert one["programId"] == 9
    (other,) = told(dataclasses.replace(CLASH, applications=("BpfApplication/web/x",)))["findings"]
    assert other["applications"] == ["BpfApplication/web/x"]


def test_what_is_new_is_told_to_the_node_and_to_the_application() -> None:
    first = told(CLASH, SHARES)
    assert list(findings.news({}, first)) == [
        News(reason="BpfClash", note="it clashes; to do: detach it"),
        News(reason="BpfClash", note="node n1: it clashes; to do: detach it", application=KEY),
    ]
    assert list(findings.news(first, first)) == []
    both = told(CLASH, STRANGER, before=first)
    assert [(one.reason, one.application) for one in findings.news(first, both)] == [("BpfNotSanctioned", "")]
    anew = told(dataclasses.replace(CLASH, program=model.ProgramId(10), message="it clashes again"), before=first)
    assert list(findings.news(first, anew)) == [], "who is told once wants no word at each restart of the other"


def test_what_is_over_is_told_once() -> None:
    first, half, clean = told(CLASH, STRANGER), told(STRANGER), told()
    assert list(findings.news(first, half)) == []
    assert [(one.reason, one.warning) for one in findings.news(half, clean)] == [("BpfClean", False)]
    assert list(findings.news(clean, clean)) == []
    assert list(findings.news({}, clean)) == []


def test_a_thousand_are_bounded_in_the_object_and_in_events() -> None:
    whole = told(*strangers(1000))
    assert len(whole["findings"]) == kind.MOST_FINDINGS
    assert whole["counts"]["findings"] == 1000
    assert whole["conditions"][0]["message"].startswith("1000 programs not sanctioned")
    (one,) = findings.news({}, whole)
    assert one.note.startswith("64 at once: evil0000, evil0001, evil0002, evil0003 and 60 more; see 'kubectl get")


def test_long_words_are_cut_to_what_the_schema_takes() -> None:
    long = "x" * 5000
    alert = dataclasses.replace(
        CLASH, place=long, name=long, applications=tuple(long + str(each) for each in range(20)), message=long,
        remedy=long,
    )  # fmt: skip
    whole = told(*([alert] * 100))
    assert len(json.dumps(whole)) < 300_000
    assert all(len(one.note) <= 1024 for one in findings.news({}, whole))
