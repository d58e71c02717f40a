"""When a status is written, and when one waits."""

from __future__ import annotations

import dataclasses

from skep.kube.operator import pace
from skep.kube.operator.records import Told

NONE = Told()
SOME = Told(generation=1, desired=9, ready=3, type="Pending", message="3 of 9", since="2026-01-01T00:00:00Z")
MORE = dataclasses.replace(SOME, ready=5, message="5 of 9")
ALL = dataclasses.replace(SOME, ready=9, type="Success", message="9 of 9", since="2026-01-01T00:00:07Z")
FIRST = pace.Written(at=100.0, before=NONE, told=SOME)


def test_the_first_is_written_at_once() -> None:
    assert pace.wait(None, NONE, SOME, 100.0) == 0


def test_how_far_it_is_waits_for_its_second() -> None:
    assert pace.wait(FIRST, SOME, MORE, 100.4) == pace.PROGRESS + 100.0 - 100.4
    assert pace.wait(FIRST, SOME, MORE, 101.0) == 0


def test_another_state_or_spec_does_not_wait() -> None:
    assert pace.wait(FIRST, SOME, ALL, 100.1) == 0
    assert pace.wait(FIRST, SOME, dataclasses.replace(SOME, generation=2), 100.1) == 0


def test_what_the_watch_has_not_told_yet_is_not_written_again() -> None:
    later = dataclasses.replace(SOME, since="2026-01-01T00:00:02Z")
    assert pace.wait(FIRST, NONE, later, 102.0) == pace.UNHEARD - 2
    assert pace.wait(FIRST, NONE, later, 100.0 + pace.UNHEARD) == 0


def test_what_somebody_has_changed_since_is_put_right() -> None:
    last = pace.Written(at=100.0, before=SOME, told=ALL)
    assert pace.wait(last, dataclasses.replace(ALL, ready=1), ALL, 101.0) == 0
