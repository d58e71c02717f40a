"""Which key's turn it is, and when: the decisions of the work queue. Pure: time and chance are arguments.

A key is waiting, running, both (it came up again while it ran: it runs once more afterwards), or unknown. However often
it is added, it runs once for all of them, and never twice at the same time.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable
from typing import Generic, TypeVar

from skep.kube.api.backoff import Backoff

K = TypeVar("K", bound=Hashable)


class Schedule(Generic[K]):
    """Keys with the time at which each is due, in seconds of any clock that does not go back."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._due: dict[K, float] = {}
        self._running: dict[K, float] = {}
        """When it is due again; infinity: not."""
        self._failures: dict[K, int] = {}
        self._heap: list[tuple[float, int, K]] = []
        """Among them stale ones: an entry counts only while ``_due`` says the same time."""
        self._order = 0

    def __len__(self) -> int:
        """How many keys wait or run."""
        return len(self._due.keys() | self._running.keys())

    @property
    def running(self) -> int:
        """How many keys run."""
        return len(self._running)

    def waiting(self, now: float) -> int:
        """How many keys are due and do not run yet."""
        return sum(due <= now for due in self._due.values())

    def failures(self, key: K) -> int:
        """How often in a row it failed."""
        return self._failures.get(key, 0)

    def add(self, key: K, at: float) -> None:
        """Let it run at ``at``, or earlier if it is due earlier already."""
        if key in self._running:
            self._running[key] = min(self._running[key], at)
        elif at < self._due.get(key, math.inf):
            self._due[key] = at
            self._order += 1
            heapq.heappush(self._heap, (at, self._order, key))

    def fail(self, key: K, now: float, chance: float) -> float:
        """Count a failure; the time at which it is to be tried again."""
        self._failures[key] = self.failures(key) + 1
        again = now + self._backoff.wait(self._failures[key], chance)
        self.add(key, again)
        return again

    def forget(self, key: K) -> None:
        """Its failures are over: the next one waits shortly again."""
        self._failures.pop(key, None)

    def take(self, now: float) -> K | None:
        """The key that has been due longest, which runs from here on; None if none is."""
        while self._heap and self._heap[0][0] <= now:
            at, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == at:
                del self._due[key]
                self._running[key] = math.inf
                return key
        return None

    def done(self, key: K) -> None:
        """It runs no longer; if it came up meanwhile, it waits."""
        again = self._running.pop(key)
        if again < math.inf:
            self.add(key, again)

    def next(self) -> float | None:
        """When the next key is due; None if none waits."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
