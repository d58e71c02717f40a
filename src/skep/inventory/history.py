"""The history of operations: one event and one log line for each that ended, and waiting for the next."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from skep import errors, model, store

log = logging.getLogger("skep.manager")


class History:
    """What was done here, by whom, and how it ended. Any thread may call; raises what the store raises on reading."""

    def __init__(self, remembered: store.Store, clock: Callable[[], float]) -> None:
        """``clock``: seconds since the epoch."""
        self._store = remembered
        self._clock = clock
        self._news = threading.Condition()
        self._ended: Counter[tuple[str, str]] = Counter()

    def events(self, after: int, limit: int) -> tuple[model.Event, ...]:
        """Events with an id above ``after``, oldest first."""
        return self._store.events(after, limit)

    def wait(self, after: int, timeout: float) -> tuple[model.Event, ...]:
        """Events with an id above ``after``; waits up to ``timeout`` seconds for the first one."""
        deadline = time.monotonic() + timeout
        with self._news:
            while not (found := self._store.events(after)):
                left = deadline - time.monotonic()
                if left <= 0:
                    return ()
                self._news.wait(left)
        return found

    def record(
        self,
        caller: model.Caller,
        verb: str,
        operation: model.OperationId,
        subject: str,
        began: float,
        failed: errors.SkepError | None,
        story: str = "",
    ) -> None:
        """An operation that ended. ``began``: ``time.monotonic``; ``story``: what to know of one that succeeded."""
        outcome = "ok" if failed is None else type(failed).__name__
        duration = (time.monotonic() - began) * 1000
        log.log(
            logging.INFO if failed is None else logging.WARNING,
            "%s %s: %s",
            verb,
            subject,
            outcome if failed is None else failed,
            extra={
                "operation": operation,
                "verb": verb,
                "subject": subject,
                "caller_uid": caller.uid,
                "caller_gid": caller.gid,
                "caller_pid": caller.pid,
                "duration_ms": round(duration, 3),
                "outcome": outcome,
            },
        )
        event = model.Event(
            id=0,
            at=self._clock(),
            operation=operation,
            verb=verb,
            subject=subject,
            caller=caller,
            outcome=outcome,
            detail=story if failed is None else str(failed),
            duration_ms=duration,
        )
        try:
            self._store.add_event(event)
        except errors.SkepError as lost:
            # The operation's own outcome stands; a full disk only costs the line of history.
            log.warning("event not written: %s", lost, extra={"operation": operation})
        with self._news:
            self._ended[verb, outcome] += 1
            self._news.notify_all()

    def ended(self) -> dict[tuple[str, str], int]:
        """How many operations of a verb had an outcome, since this object was made."""
        with self._news:
            return dict(self._ended)
