"""Who may take a lease, and what is written into it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from skep.kube.api import tenure
from skep.kube.api.tenure import Terms

TODAY = datetime(2026, 11, 21, 20, 5, 7, 89, tzinfo=UTC)
HELD = {"holderIdentity": "other", "leaseDurationSeconds": 15, "leaseTransitions": 3, "acquireTime": "then"}


@pytest.mark.parametrize(
    ("spec", "now", "free"),
    [
        ({}, 100, True),
        ({**HELD, "holderIdentity": ""}, 100, True),
        ({**HELD, "holderIdentity": None}, 100, True),
        ({**HELD, "holderIdentity": "me"}, 100, True),
        (HELD, 100, False),
        (HELD, 114.9, False),
        (HELD, 115, True),
        ({"holderIdentity": "other"}, 100, True),
    ],
)
def test_who_may_take_it(spec: dict[str, object], now: float, free: bool) -> None:
    assert tenure.is_free(spec, me="me", since=100, now=now) is free


def test_taking_it_from_another_counts_a_transition() -> None:
    assert tenure.taken(HELD, me="me", terms=Terms(), today=TODAY) == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "leaseTransitions": 4,
        "acquireTime": "2026-11-21T20:05:07.000089Z",
        "renewTime": "2026-11-21T20:05:07.000089Z",
    }


def test_renewing_changes_only_the_time() -> None:
    renewed = tenure.taken(HELD, me="other", terms=Terms(), today=TODAY)
    assert renewed == {**HELD, "renewTime": "2026-11-21T20:05:07.000089Z"}


def test_the_first_holder_makes_no_transition() -> None:
    assert tenure.taken({}, me="me", terms=Terms(lasts=2.5, gives_up=2, every=1), today=TODAY) == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 3,
        "leaseTransitions": 0,
        "acquireTime": "2026-11-21T20:05:07.000089Z",
        "renewTime": "2026-11-21T20:05:07.000089Z",
    }


def test_what_is_given_back_is_free_at_once() -> None:
    spec = tenure.released(HELD, today=TODAY)
    assert tenure.is_free(spec, me="me", since=100, now=100) and spec["leaseTransitions"] == 3


@pytest.mark.parametrize("wrong", [{"lasts": 10}, {"gives_up": 2}, {"every": 0}, {"every": -1}])
def test_terms_that_would_make_two_leaders_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="give up before"):
        Terms(**wrong)
