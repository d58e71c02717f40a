"""What became of an older object, in its own generation's words."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from skep import errors
from skep.kube import shape
from skep.kube.older import fields, status
from skep.kube.older.status import Told

NOW = datetime.datetime(2026, 5, 4, 3, 2, 1, tzinfo=datetime.UTC)


def current(type: str, message: str = "", **more: Any) -> dict[str, Any]:
    """A status of the current object."""
    return {"observedGeneration": 2, "desired": 3, "conditions": [{"type": type, "message": message}], **more}


@pytest.mark.parametrize(
    ("of", "told"),
    [
        (None, ("NotYetLoaded", "waiting for the operator")),
        ({}, ("NotYetLoaded", "waiting for the operator")),
        (current("Success", "applied on 3 nodes", observedGeneration=1), ("NotYetLoaded", "waiting for the operator")),
        (current("Success", "applied on 3 nodes"), ("ReconcileSuccess", status.SUCCEEDED)),
        (
            current("Success", "no node has the labels", desired=0),
            ("ReconcileSuccess", f"{status.SUCCEEDED}: no node has the labels"),
        ),
        (current("Pending", "waiting for n1"), ("NotYetLoaded", "waiting for n1")),
        (current("Error", "failed on 1 of 3 nodes"), ("ReconcileError", "failed on 1 of 3 nodes")),
        (current("Paused", "as who knows which state"), ("ReconcileError", "as who knows which state")),
        (current("DeleteError", "no answer from n1"), ("DeleteError", "no answer from n1")),
        # Upstream's operator, which tells neither generation nor counts.
        ({"conditions": [{"type": "Success", "message": "x"}]}, ("ReconcileSuccess", status.SUCCEEDED)),
    ],
)
def test_the_condition(of: dict[str, Any] | None, told: tuple[str, str]) -> None:
    found = status.told(of, generation=2)
    assert found is not None and (found.type, found.message) == told


def test_a_deletion_that_goes_well_shows_no_error() -> None:
    assert status.told(current("Pending", "being deleted"), generation=2, deleting=True) is None
    told = status.told(current("DeleteError", "no answer from n1"), generation=2, deleting=True)
    assert told == Told(type="DeleteError", message="no answer from n1")


def test_as_bpfmans_instructions_show_it() -> None:
    made = status.status(Told(type=status.RECONCILE_SUCCESS, message=status.SUCCEEDED), before=None, now=NOW)
    assert made == {
        "conditions": [
            {
                "lastTransitionTime": "2026-05-04T03:02:01Z",
                "message": "bpfProgramReconciliation Succeeded on all nodes",
                "reason": "ReconcileSuccess",
                "status": "True",
                "type": "ReconcileSuccess",
            }
        ]
    }


def test_it_is_written_when_it_says_something_else() -> None:
    told = Told(type=status.NOT_YET_LOADED, message="waiting for n1")
    first = status.status(told, before=None, now=NOW)
    assert first is not None
    shape.read(fields.STATUS, first, "status")
    assert first["conditions"][0]["reason"] == "ProgramsNotYetLoaded"
    later = NOW + datetime.timedelta(minutes=1)
    assert status.status(told, before=first, now=later) is None
    other = status.status(Told(type=status.NOT_YET_LOADED, message="waiting for n2"), before=first, now=later)
    assert other is not None and other["conditions"][0]["lastTransitionTime"] == "2026-05-04T03:02:01Z"
    failed = status.status(status.refused(errors.InvalidRequest("a", why="b", do="c")), before=first, now=later)
    assert failed is not None
    assert (failed["conditions"][0]["message"], failed["conditions"][0]["lastTransitionTime"]) == (
        "a: b (c)", "2026-05-04T03:03:01Z",
    )  # fmt: skip


def test_a_message_is_bounded() -> None:
    made = status.status(Told(type=status.RECONCILE_ERROR, message="x" * 10**6), before=None, now=NOW)
    assert made is not None and len(made["conditions"][0]["message"]) == status.LONGEST
