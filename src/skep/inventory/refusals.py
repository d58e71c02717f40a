"""Attachments that were refused a short while ago: what is wanted, and does not run."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from skep import errors, model

KEPT: Final = 180.0
"""Seconds: agents and ``skep apply`` try again at least once a minute for as long as they want something."""
MOST: Final = 1000
"""Attachments; beyond, the oldest are forgotten."""
_NOT_MEANT: Final = (errors.NotFound, errors.InvalidRequest, errors.Busy, errors.Unavailable)
"""Errors that no program of others is the reason of."""


class Refusals:
    """Any thread may call. ``clock``: seconds, never backwards."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[tuple[model.ProgramId, object], float] = {}

    @contextlib.contextmanager
    def watching(self, ops: Sequence[model.Operation]) -> Iterator[None]:
        """Remember those attachments if the block raises for what others may have done, else forget them."""
        attached = [(op.program, op.attachment) for op in ops if isinstance(op, model.Attach)]
        try:
            yield
        except errors.SkepError as error:
            if not isinstance(error, _NOT_MEANT):
                self._note(attached)
            raise
        self._forget(attached)

    def all(self) -> tuple[tuple[model.ProgramId, object], ...]:
        """Programs and the attachments that they were refused, the oldest first."""
        with self._lock:
            since = self._clock() - KEPT
            self._known = {what: when for what, when in self._known.items() if when > since}
            return tuple(self._known)

    def fingerprint(self) -> str:
        """Changes when one comes or goes."""
        found = self.all()
        return hashlib.sha256(repr(sorted(map(repr, found))).encode()).hexdigest()[:8] if found else "0"

    def _note(self, attached: list[tuple[model.ProgramId, object]]) -> None:
        with self._lock:
            for what in attached:
                self._known.pop(what, None)
                if len(self._known) >= MOST:
                    del self._known[next(iter(self._known))]
                self._known[what] = self._clock()

    def _forget(self, attached: list[tuple[model.ProgramId, object]]) -> None:
        with self._lock:
            for what in attached:
                self._known.pop(what, None)
