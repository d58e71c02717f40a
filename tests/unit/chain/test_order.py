from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep import errors
from skep.chain import order
from skep.chain.order import After, Alone, Before, Place


def _place(key: str, priority: int, *, name: str = "x", attached: bool = True) -> Place[str]:
    return Place(key=key, name=name, priority=priority, attached=attached)


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        pytest.param([_place("b", 50), _place("a", 10)], "ab", id="lower priority first"),
        pytest.param([_place("b", 1), _place("a", 0)], "ab", id="0 is the first of all"),
        pytest.param([_place("b", 50), _place("a", 50, attached=False)], "ab", id="new before existing at a tie"),
        pytest.param(
            [_place("b", 50, name="b", attached=False), _place("a", 50, name="a", attached=False)], "ab", id="then name"
        ),
        pytest.param(
            [_place("b", 50, name="a"), _place("a", 50, name="z", attached=False)], "ab", id="new counts before name"
        ),
        pytest.param([_place("a", 50), _place("b", 50)], "ab", id="equal in everything: as given"),
    ],
)
def test_order_is_priority_then_new_then_name(places: list[Place[str]], expected: str) -> None:
    assert "".join(place.key for place in order.sort(places)) == expected


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.sampled_from("abc")), max_size=8))
def test_sorting_again_changes_nothing(drawn: list[tuple[int, bool, str]]) -> None:
    places = [
        Place(key=number, name=name, priority=priority, attached=attached)
        for number, (priority, attached, name) in enumerate(drawn)
    ]
    once = order.sort(places)
    assert order.sort(once) == once
    assert sorted(place.key for place in once) == list(range(len(places)))


@pytest.mark.parametrize("priority", [0, 1, 2**31 - 1])
def test_every_priority_of_an_int32_from_0_is_good(priority: int) -> None:
    assert order.check_priority(priority) == priority


@pytest.mark.parametrize("priority", [-1, 2**31, -(2**31)])
def test_other_priorities_are_refused_with_the_range(priority: int) -> None:
    with pytest.raises(errors.InvalidRequest, match="2147483647"):
        order.check_priority(priority)


def test_tcx_anchors() -> None:
    live = [("a", 10), ("b", 20), ("c", 20)]
    assert order.tcx_anchor(live, 5) == Before(key="a")
    assert order.tcx_anchor(live, 10) == Before(key="b")
    assert order.tcx_anchor(live, 20) == After(key="c")
    assert order.tcx_anchor([], 20) == Alone()


def test_tcx_keeps_insertion_order_at_equal_priority() -> None:
    for arrivals in itertools.permutations([(10, "a"), (10, "b"), (5, "c"), (20, "d")]):
        live: list[tuple[str, int]] = []
        for priority, key in arrivals:
            match order.tcx_anchor(live, priority):
                case Before(key=other):
                    live.insert([name for name, _ in live].index(other), (key, priority))
                case _:
                    live.append((key, priority))
        assert [priority for _, priority in live] == [5, 10, 10, 20]
        tens = [key for priority, key in arrivals if priority == 10]
        assert [name for name, priority in live if priority == 10] == tens
