"""Telling users what happened to their objects, as Kubernetes Events: without ever failing or delaying who tells.

What is told is written by one task in the background. What is told again while that is busy is counted, not queued;
what is told too often about one object (``notice.Budget``), or while too much waits, is left out, and counted as that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from datetime import UTC, datetime
from typing import Final

from skep import errors
from skep.kube.api import notice, objects, served
from skep.kube.api.backoff import Backoff
from skep.kube.api.connect import Api
from skep.kube.api.notice import About, Notice, Times

log = logging.getLogger("skep.kube.api.events")

MOST_WAITING: Final = 1000
"""Different Events that wait to be written; beyond, new ones are left out."""
LAST_WORDS: Final = 5.0
"""Seconds that ``run`` takes for what waits when it is cancelled."""
_AGAIN: Final = Backoff(first=0.5, longest=30.0)


class Events:
    """Events of one ``component`` on one ``host`` (a node's or pod's name). ``run`` writes them."""

    def __init__(self, api: Api, *, component: str, host: str, budget: notice.Budget | None = None) -> None:
        self._api = api
        self._component = component
        self._host = host
        self._budget = budget or notice.Budget()
        self._waiting: dict[Notice, Times] = {}
        self._stirred = asyncio.Event()
        self._writing: asyncio.Task[bool] | None = None
        self.left_out = 0
        """How many were not written: too many, or refused."""

    def tell(self, about: About, reason: str, message: str, *, warning: bool = False) -> None:
        """Tell something about an object, soon."""
        told = Notice(about=about, reason=reason, message=notice.cut(message), warning=warning)
        today = datetime.now(UTC)
        if told in self._waiting:
            self._waiting[told] = self._waiting[told].again(today)
        elif len(self._waiting) < MOST_WAITING and self._budget.take(about, asyncio.get_running_loop().time()):
            self._waiting[told] = Times(count=1, first=today, last=today)
        else:
            self.left_out += 1
            log.debug("left out: %s %s: %s %s", about.kind, about.key, reason, message)
            return
        self._stirred.set()

    async def run(self) -> None:
        """Write until cancelled, and then what still waits, for a few seconds at most."""
        try:
            failures = 0
            while True:
                await self._stirred.wait()
                self._stirred.clear()
                while self._waiting:
                    failures = 0 if await self._write_one() else failures + 1
                    if failures:
                        await asyncio.sleep(_AGAIN.wait(failures, random.random()))
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    await self.flush()

    async def flush(self) -> None:
        """Write what waits, now; what fails is left out."""
        if self._writing:
            await asyncio.wait({self._writing})
        while self._waiting and await self._write_one():
            pass
        self.left_out += sum(times.count for times in self._waiting.values())
        self._waiting.clear()

    async def _write_one(self) -> bool:
        """Write what has waited longest; False if it waits again because the API server does not answer."""
        told = next(iter(self._waiting))
        times = self._waiting.pop(told)
        # Cut in the middle, nobody would know whether it is counted already.
        self._writing = asyncio.create_task(self._written(told, times))
        return await asyncio.shield(self._writing)

    async def _written(self, told: Notice, times: Times) -> bool:
        try:
            await self._write(told, times)
        except (errors.Unavailable, errors.Conflict) as error:
            log.debug("%s", error)
            self._put_back(told, times)
            return False
        except errors.SkepError as error:
            # Its namespace is being deleted, or we may not: neither becomes better by trying.
            self.left_out += times.count
            log.warning("not told: %s", error)
        return True

    def _put_back(self, told: Notice, times: Times) -> None:
        newer = self._waiting.get(told)
        if newer:
            times = Times(count=times.count + newer.count, first=times.first, last=newer.last)
        self._waiting[told] = times

    async def _write(self, told: Notice, times: Times) -> None:
        made = notice.event(told, times, component=self._component, host=self._host)
        try:
            await objects.create(self._api, made)
        except errors.AlreadyExists:
            try:
                await objects.change(
                    self._api, served.EVENT, notice.key(told), lambda event: notice.counted(event, times)
                )
            except errors.NotFound:
                # Events live for an hour; this one ended in between.
                await objects.create(self._api, made)
