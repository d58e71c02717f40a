"""Work by key: what has to be looked at again, by a few workers, what fails after a while (``schedule`` decides)."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from skep import errors
from skep.kube.api.backoff import Backoff
from skep.kube.api.schedule import Schedule

log = logging.getLogger("skep.kube.api.queue")

K = TypeVar("K", bound=Hashable)

BACKOFF: Final = Backoff(first=0.5, longest=300.0)
"""Of a key that fails: half a second at first, five minutes at most."""


class Queue(Generic[K]):
    """Keys to be handled. Methods may be called from the event loop's thread only."""

    def __init__(self, backoff: Backoff = BACKOFF) -> None:
        self._schedule: Schedule[K] = Schedule(backoff)
        self._stirred = asyncio.Event()
        self.handled = 0
        """How often a key was handled, also in vain."""
        self.failed = 0
        """How often in vain."""

    def __len__(self) -> int:
        """How many keys wait, for their time too, or run."""
        return len(self._schedule)

    def waiting(self) -> int:
        """How many keys are due and wait for a worker."""
        return self._schedule.waiting(self._now())

    def failures(self, key: K) -> int:
        """How often in a row it failed."""
        return self._schedule.failures(key)

    def add(self, key: K) -> None:
        """Handle it as soon as a worker is free; if it is being handled now, once more afterwards."""
        self.add_after(key, 0.0)

    def add_after(self, key: K, seconds: float) -> None:
        """Handle it in so many seconds; sooner if it is added otherwise."""
        self._schedule.add(key, self._now() + seconds)
        self._stirred.set()

    def forget(self, key: K) -> None:
        """Its failures are over."""
        self._schedule.forget(key)

    async def run(self, handle: Callable[[K], Awaitable[float | None]], *, workers: int = 4) -> None:
        """Handle keys until cancelled, so many at once.

        ``handle`` answers in how many seconds it wants to see the key again, or None. If it raises one of skep's
        errors, it is called again after a back-off; anything else is a bug, which is logged, and treated alike.
        """
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work(handle))

    async def _work(self, handle: Callable[[K], Awaitable[float | None]]) -> None:
        while True:
            key = await self._next()
            self.handled += 1
            try:
                again = await handle(key)
            except errors.SkepError as error:
                wait = self._fail(key)
                log.info("%s failed %d times, again in %.1f s: %s", key, self.failures(key), wait, error)
            except Exception:
                self._fail(key)
                log.exception("%s failed for a reason that nobody thought of", key)
            else:
                self._schedule.forget(key)
                if again is not None:
                    self._schedule.add(key, self._now() + again)
            finally:
                self._schedule.done(key)
                self._stirred.set()

    def _fail(self, key: K) -> float:
        """Count it; in how many seconds it is tried again."""
        self.failed += 1
        now = self._now()
        return self._schedule.fail(key, now, random.random()) - now

    async def _next(self) -> K:
        while True:
            now = self._now()
            if (key := self._schedule.take(now)) is not None:
                return key
            due = self._schedule.next()
            self._stirred.clear()
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - now)):
                    await self._stirred.wait()
            except TimeoutError:
                continue

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
