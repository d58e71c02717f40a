"""Waits double, have an end, and are spread."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.kube.api.backoff import Backoff

BACKOFF = Backoff(first=0.5, longest=300)


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0.5), (2, 1), (3, 2), (10, 256), (11, 300), (10_000, 300)])
def test_it_doubles_up_to_the_longest(failures: int, seconds: float) -> None:
    assert BACKOFF.wait(failures, 0.0) == seconds


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_chance_shortens_by_no_more_than_its_spread(failures: int, chance: float) -> None:
    whole = BACKOFF.wait(failures, 0.0)
    assert whole * 0.5 <= BACKOFF.wait(failures, chance) <= whole
