"""One at a time for each key: two pulls of one image shall not fetch it twice."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Turns:
    """Locks by name, made when first wanted and forgotten when nobody wants them."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}

    @contextlib.contextmanager
    def held(self, key: str) -> Iterator[None]:
        """Wait for the others with ``key``, then keep them waiting."""
        with self._guard:
            lock, wanted = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = (lock, wanted + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, wanted = self._locks[key]
                if wanted == 1:
                    del self._locks[key]
                else:
                    self._locks[key] = (lock, wanted - 1)
