"""How long the operator gathers before it adds up."""

from __future__ import annotations

import pytest

from skep.kube.operator import leading


@pytest.mark.parametrize(
    ("states", "seconds"), [(0, 0.2), (1, 0.2), (200, 0.2), (1000, 1.0), (5000, 5.0), (100_000, 5.0)]
)
def test_the_more_states_the_longer_it_gathers(states: int, seconds: float) -> None:
    assert leading.gather(states) == seconds
