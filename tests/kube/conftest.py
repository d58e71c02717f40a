"""Fixtures of the tests of Kubernetes: one control plane for all of them, a namespace for each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.kube import clearing
from tests.kube.plane import ControlPlane, until

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("plane")) as made:
        yield made


@pytest.fixture(scope="module")
def cleared(plane: ControlPlane) -> ControlPlane:
    """The same with nothing in it of the tests before."""
    clearing.clear(plane)
    return plane


@pytest.fixture
def namespace(plane: ControlPlane) -> str:
    """A namespace that no other test has. It is not deleted: that takes seconds, and the control plane goes anyway."""
    name = f"test-{next(_numbers)}"
    plane.kubectl("create", "namespace", name)
    until("its service account", lambda: plane.get("serviceaccount", "default", namespace=name))
    return name
