from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trust.rig import Sigstore

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test waits until a dozen programs have started, on a machine that may be busy."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def sigstore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sigstore]:
    """Everything that signs, on loopback, once for all tests."""
    whole = Sigstore(tmp_path_factory.mktemp("sigstore"))
    try:
        yield whole
    finally:
        whole.close()
