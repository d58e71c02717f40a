"""Whose turn it is: once for all times it was added, never twice at once, later each time it fails."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skep.kube.api.backoff import Backoff
from skep.kube.api.schedule import Schedule


def schedule() -> Schedule[str]:
    return Schedule(Backoff(first=1, longest=8))


def test_what_is_added_twice_runs_once() -> None:
    made = schedule()
    made.add("a", 0)
    made.add("a", 0)
    assert (made.take(0), made.take(0)) == ("a", None)
    made.done("a")
    assert (made.take(9), len(made)) == (None, 0)


def test_what_comes_up_while_it_runs_runs_once_more_and_only_afterwards() -> None:
    made = schedule()
    made.add("a", 0)
    made.take(0)
    made.add("a", 1)
    made.add("a", 1)
    assert made.take(5) is None
    made.done("a")
    assert (made.take(5), made.take(5)) == ("a", None)


def test_first_come_first_served() -> None:
    made = schedule()
    for key in "cab":
        made.add(key, 0)
    assert [made.take(0), made.take(0), made.take(0)] == ["c", "a", "b"]


def test_a_later_time_does_not_put_off_an_earlier_one() -> None:
    made = schedule()
    made.add("a", 5)
    made.add("a", 9)
    assert (made.next(), made.take(4), made.take(5)) == (5, None, "a")


def test_an_earlier_time_counts_and_the_later_one_is_gone() -> None:
    made = schedule()
    made.add("a", 9)
    made.add("a", 2)
    assert (made.next(), made.take(2)) == (2, "a")
    made.done("a")
    assert (made.next(), made.take(10)) == (None, None)


def test_failures_wait_longer_each_time_and_shortly_again_after_success() -> None:
    made = schedule()
    waits = [made.fail("a", 100, 0.0) - 100 for _ in range(5)]
    assert waits == [1, 2, 4, 8, 8]
    made.forget("a")
    assert made.fail("a", 100, 0.0) == 101


def test_a_failing_key_is_due_when_its_wait_is_over() -> None:
    made = schedule()
    made.add("a", 0)
    made.take(0)
    assert made.fail("a", 0, 0.0) == 1
    made.done("a")
    assert (made.take(0.9), made.next(), made.take(1)) == (None, 1, "a")


def test_a_change_does_not_wait_for_the_back_off() -> None:
    """Whoever corrects an object wants to see it work now."""
    made = schedule()
    made.fail("a", 0, 0.0)
    made.add("a", 0.1)
    assert made.take(0.1) == "a"


def test_it_counts_what_is_due_and_what_runs() -> None:
    made = schedule()
    made.add("a", 0)
    made.add("b", 5)
    assert (made.waiting(0), made.running, len(made)) == (1, 0, 2)
    made.take(0)
    made.add("a", 0)
    assert (made.waiting(9), made.running, len(made)) == (1, 1, 2)


@given(st.lists(st.tuples(st.sampled_from(["add", "fail", "take", "done"]), st.sampled_from("abc"))))
def test_whatever_happens_no_key_runs_twice_at_once_and_none_is_lost(steps: list[tuple[str, str]]) -> None:
    made, running, wanted, now = schedule(), set(), set(), 0.0
    for step, key in steps:
        now += 1
        match step:
            case "add":
                made.add(key, now)
                wanted.add(key)
            case "fail":
                made.fail(key, now, 0.0)
                wanted.add(key)
            case "take":
                if (taken := made.take(now)) is not None:
                    assert taken not in running
                    running.add(taken)
                    wanted.discard(taken)
            case "done" if key in running:
                made.done(key)
                running.discard(key)
    for key in running:
        made.done(key)
    left = set()
    while (taken := made.take(now + 100)) is not None:
        left.add(taken)
    assert left == wanted
