from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.trust.rig import Sigstore


@pytest.fixture(scope="session")
def sigstore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sigstore]:
    """Everything that signs, on loopback, once for all tests."""
    whole = Sigstore(tmp_path_factory.mktemp("sigstore"))
    try:
        yield whole
    finally:
        whole.close()
