"""Fixtures of the images' tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import bpf_build
from tests.image import rig


@pytest.fixture
def bed(tmp_path: Path) -> rig.Bed:
    return rig.Bed(tmp_path / "cache")


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Real]:
    with rig.real(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture(scope="session")
def count() -> Path:
    """A real object: an XDP program "count" and its map "packets"."""
    return bpf_build.build("count")
