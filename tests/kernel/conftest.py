"""Fixtures of the kernel tests: pins, a network and a loader of one's own, gone when the test ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import instance
from tests.kernel import kernel_rig


@pytest.fixture
def rig() -> Iterator[kernel_rig.Rig]:
    with kernel_rig.rig() as made:
        yield made


@pytest.fixture
def network() -> Iterator[instance.Network]:
    with instance.network("skeptk") as made:
        yield made
