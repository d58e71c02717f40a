"""Fixtures of the kernel tests: pins, a network and a loader of one's own, gone when the test ends."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Iterator

import pytest

from skep import model
from skep.kernel import features
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


@pytest.fixture(autouse=True)
def needs(request: pytest.FixtureRequest) -> None:
    """Honour ``needs(*features)``: skip where the kernel lacks one; in the guest the test runs, and would fail."""
    if "SKEP_GUEST" in os.environ:
        return
    for mark in request.node.iter_markers("needs"):
        for name in mark.args:
            feature = _features()[name]
            if not feature.available:
                refusal = errno.errorcode.get(feature.errno, str(feature.errno))
                pytest.skip(f"this kernel has no {name} ({refusal}); tests/guest runs it in the guest")


@functools.cache
def _features() -> dict[str, model.Feature]:
    return {one.name: one for one in features.probe()}
