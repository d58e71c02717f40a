"""Whose turn it is to write: callers wait here, before ``Manager``'s own lock, so that one who gave up never writes.

How long a call waits: until its client's deadline; or what its request metadata ``skep-wait-ms`` says; or else as long
as the daemon is configured to wait.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import grpc

from skep import errors
from skep.rpc.status import FOREVER, WAIT_KEY

_MARGIN = 0.05
"""Seconds of a deadline that are kept for the answer."""
_SLICE = 0.25
"""Seconds after which a waiting call looks whether its client is still there."""
_YEAR = 366 * 86400.0
"""gRPC tells a client without deadline as one that is centuries away."""


class Turns:
    """One writer at a time; ``longest`` seconds of waiting for clients that set no limit, 0 for ever."""

    def __init__(self, longest: float) -> None:
        self._longest = longest or None
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def taken(self, context: grpc.ServicerContext) -> Iterator[float | None]:
        """The right to write, with the seconds that are left to wait elsewhere. Busy when it takes too long."""
        limit = _limit(context, self._longest)
        began = time.monotonic()
        until = None if limit is None else began + limit
        while not self._lock.acquire(timeout=_SLICE if until is None else _clip(until - time.monotonic(), _SLICE)):
            if not context.is_active():
                raise _gave_up()
            if until is not None and time.monotonic() >= until:
                raise errors.Busy(
                    "another change is under way",
                    why=f"it did not end within {time.monotonic() - began:.1f} s",
                    do="try again, or wait longer",
                )
        try:
            if not context.is_active():
                raise _gave_up()
            yield None if until is None else max(until - time.monotonic(), 0.0)
        finally:
            self._lock.release()


def _gave_up() -> errors.Busy:
    """Told to nobody but the log: the client is gone."""
    return errors.Busy("another change is under way", why="the caller gave up waiting", do="try again")


def _limit(context: grpc.ServicerContext, longest: float | None) -> float | None:
    limits = [] if longest is None else [longest]
    for key, value in context.invocation_metadata():
        if key == WAIT_KEY and value == FOREVER:
            limits = []
        elif key == WAIT_KEY and isinstance(value, str) and value.isascii() and value.isdigit():
            limits = [min(int(value[:12]) / 1000, _YEAR)]
    remaining = context.time_remaining()
    if remaining < _YEAR:
        limits.append(max(remaining - _MARGIN, 0.0))
    return min(limits, default=None)


def _clip(seconds: float, most: float) -> float:
    return max(0.0, min(seconds, most))
