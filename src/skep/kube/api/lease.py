"""Leading: of several copies of a program, one works at a time, the one that holds a Lease (``tenure`` decides).

The holder renews. If it cannot for a while, because the API server does not answer or somebody else has the lease, its
work is cancelled, before the lease is over for the others; what the work does in a ``finally`` has the time between
(``Terms.lasts - Terms.gives_up``). Whoever ends orderly gives the lease back, and the next one need not wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from skep import errors
from skep.kube.api import objects, served, tenure
from skep.kube.api.connect import Api
from skep.kube.api.key import Key
from skep.kube.api.merge import Object
from skep.kube.api.tenure import Terms

log = logging.getLogger("skep.kube.api.lease")


class Election:
    """A candidate for the lease ``key``; ``identity`` must be nobody else's (a pod's name and a random part)."""

    def __init__(self, api: Api, key: Key, *, identity: str, terms: Terms | None = None) -> None:
        self._api = api
        self._key = key
        self._me = identity
        self._terms = terms or Terms()
        self._lease: Object = {}
        self._since = 0.0
        """When the lease was first seen as it is now, by this event loop's clock."""
        self._renewed = 0.0
        self._trouble = ""
        self.leading = False

    @property
    def holder(self) -> str:
        """Who held it when it was looked at last; "" if nobody did."""
        return tenure.holder(self._lease.get("spec") or {})

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:  # Any: nobody sends into it
        """Run ``work`` while leading, and anew each time; ends when it ends, with what it raises, or when cancelled."""
        while True:
            await self._win()
            try:
                log.info("leading as %s", self._me)
                if await self._while_held(work):
                    return
                log.warning("%s leads no longer: %s", self._me, self.holder or "the lease could not be renewed")
            finally:
                if self.leading:
                    await self._release()

    async def _win(self) -> None:
        while not await self._try():
            await asyncio.sleep(self._terms.every)
        self.leading = True

    async def _while_held(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:  # Any: as in run()
        """Whether the work ended; False: the lease did."""
        working, holding = asyncio.create_task(work()), asyncio.create_task(self._hold())
        try:
            await asyncio.wait({working, holding}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                self.leading = False
                return False
            await working
            return True
        finally:
            holding.cancel()
            working.cancel()
            await asyncio.gather(working, holding, return_exceptions=True)

    async def _hold(self) -> None:
        """Renew until that has failed for too long, or somebody else has the lease."""
        while True:
            try:
                async with asyncio.timeout_at(self._renewed + self._terms.gives_up):
                    await asyncio.sleep(self._terms.every)
                    while not await self._try():
                        if self.holder != self._me:
                            return
                        await asyncio.sleep(self._terms.every)
            except TimeoutError:
                return

    async def _try(self) -> bool:
        """Take or renew it; whether it is ours now."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            # A holder knows how it left the lease, and if it is so no longer, the write is refused.
            if not self.leading or not self._lease:
                await self._look()
            spec = self._lease.get("spec") or {}
            if not tenure.is_free(spec, me=self._me, since=self._since, now=loop.time()):
                return False
            self._seen(await self._write(tenure.taken(spec, me=self._me, terms=self._terms, today=datetime.now(UTC))))
        except (errors.Conflict, errors.AlreadyExists, errors.NotFound):
            # Somebody else was faster, or has deleted it: look how it is now.
            await self._look_if_possible()
            return False
        except errors.SkepError as error:
            self._told(str(error))
            return False
        self._renewed = began
        self._told("")
        return True

    async def _look(self) -> None:
        self._seen(await objects.find(self._api, served.LEASE, self._key) or {})

    async def _look_if_possible(self) -> None:
        try:
            await self._look()
        except errors.SkepError as error:
            self._told(str(error))

    def _told(self, trouble: str) -> None:
        """Log it when it begins or becomes another, not at each attempt."""
        if trouble and trouble != self._trouble:
            log.warning("%s", trouble)
        self._trouble = trouble

    def _seen(self, lease: Object) -> None:
        if lease.get("spec") != self._lease.get("spec"):
            self._since = asyncio.get_running_loop().time()
        self._lease = lease

    async def _write(self, spec: Object) -> Object:
        """Write it if it is still as we know it; raises Conflict or AlreadyExists if not."""
        metadata = {"name": self._key.name, "namespace": self._key.namespace}
        if not self._lease:
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
            return await objects.create(self._api, lease)
        return await objects.replace(self._api, {**self._lease, "spec": spec})

    async def _release(self) -> None:
        self.leading = False
        try:
            async with asyncio.timeout(self._terms.every):
                spec = tenure.released(self._lease.get("spec") or {}, today=datetime.now(UTC))
                self._seen(await self._write(spec))
        except (errors.SkepError, TimeoutError) as error:
            log.info("the lease was not given back, it will end by itself: %s", error)
