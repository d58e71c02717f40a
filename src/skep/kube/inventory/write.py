"""The agent's task that keeps the NodeBpfInventory of its node.

It asks the daemon every few seconds whether anything came or went, which costs a system call for each object, and looks
at all of it only then, or once in a minute: who holds something may change without that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from skep import errors, model
from skep.kube import kinds
from skep.kube.api import notice, objects, served
from skep.kube.api.backoff import Backoff
from skep.kube.api.connect import Api
from skep.kube.api.informer import Informer
from skep.kube.api.key import Key
from skep.kube.api.merge import Object
from skep.kube.inventory import decide, findings, status

log = logging.getLogger("skep.kube.inventory")

MANAGER: Final = "skep-inventory"
"""Field manager of the object."""
_AGAIN: Final = Backoff(first=1.0, longest=60.0)


class Door(Protocol):
    """What is asked of the daemon; ``rpc.client.Client`` has it."""

    def inventory(self, unless: str = "") -> model.Inventory | None:
        """Everything in the kernel with its owners; None while its fingerprint is still ``unless``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds: between two questions whether something changed, between two looks at all, between two writes."""

    ask: float = 5.0
    look: float = 60.0
    write: float = decide.LEAST


PACE: Final = Pace()
Pods = Callable[[], Iterable[status.Pod]]
"""The pods of this node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ears:
    """Who hears of what: ``found`` is given every inventory, ``news`` what was not written before."""

    found: Callable[[model.Inventory], None] = lambda found: None
    news: Callable[[findings.News], None] = lambda news: None


async def run(api: Api, door: Door, node: str, pods: Pods, *, ears: Ears = Ears(), pace: Pace = PACE) -> None:
    """Keep the inventory of ``node`` until cancelled. One task of the agent, beside its others:

        group.create_task(write.run(api, client, node, pods))

    ``pods`` tells the pods of this node, out of what the agent's informer keeps; it is called in this event loop and
    must not block, and nor must ``ears``. The daemon's client is called in threads. Nothing is raised: without daemon
    or API server it goes on when they are back, and before the Node is there nothing is written.
    """
    await _Writer(api, door, node, pods, ears, pace).run()


class _Writer:
    def __init__(self, api: Api, door: Door, node: str, pods: Pods, ears: Ears, pace: Pace) -> None:
        self._api, self._door, self._node, self._pods, self._pace = api, door, node, pods, pace
        self._ears = ears
        self._key = Key(name=node)
        self._poked = asyncio.Event()
        self._written = Informer[Object](
            api,
            served.INVENTORY,
            fields={"metadata.name": node},
            keep=lambda object: object,
            changed=lambda key, old, new: self._poked.set(),
        )
        self._found: model.Inventory | None = None
        self._looked = -pace.look
        self._last: float | None = None
        self._trouble = ""

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._written.run())
            await self._written.synced()
            failures = 0
            while True:
                try:
                    wait = await self._once()
                    failures = 0
                    self._tell("")
                except errors.SkepError as error:
                    failures += 1
                    wait = max(self._pace.ask, _AGAIN.wait(failures, random.random()))
                    self._tell(str(error))
                # Somebody else may have changed or deleted it.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._poked.wait()
                self._poked.clear()

    async def _once(self) -> float:
        """Look, decide and write; seconds until the next time."""
        clock = asyncio.get_running_loop().time
        whole = self._found is None or clock() >= self._looked + self._pace.look
        known = "" if whole or self._found is None else self._found.fingerprint
        found = await asyncio.to_thread(self._door.inventory, known)
        if found is not None:
            self._found, self._looked = found, clock()
            self._ears.found(found)
        assert self._found is not None  # an answer to "" is never None
        wanted = status.status(self._found, self._node, self._pods())
        written, today = self._written.get(self._key), notice.time(datetime.now(UTC))
        match decide.decide(written, wanted, today=today, now=clock(), last=self._last, least=self._pace.write):
            case decide.Nothing():
                return self._pace.ask
            case decide.Wait(seconds=seconds):
                return min(seconds, self._pace.ask)
            case decide.Write(status=new, create=create):
                await self._write(new, create=create)
                self._last = clock()
                # Only now: who is told reads what is written, and what is not written is told with the next try.
                for each in findings.news((written or {}).get("status") or {}, new):
                    self._ears.news(each)
                return self._pace.ask

    async def _write(self, new: status.Json, *, create: bool) -> None:
        if create:
            owner = await objects.get(self._api, served.NODE, self._key)
            with contextlib.suppress(errors.AlreadyExists):  # the informer is late
                await objects.create(self._api, _object(self._node, owner), manager=MANAGER)
        await objects.write_status(
            self._api,
            served.INVENTORY,
            self._key,
            lambda object: new,
            manager=MANAGER,
            seen=self._written.get(self._key),
        )

    def _tell(self, trouble: str) -> None:
        """Log when something goes wrong in a new way, and when it is over."""
        if trouble and trouble != self._trouble:
            log.warning("the inventory of %s is not kept: %s", self._node, trouble)
        elif self._trouble and not trouble:
            log.info("the inventory of %s is kept again", self._node)
        self._trouble = trouble


def _object(node: str, owner: Object) -> Object:
    """The object without its status; it goes with its Node."""
    reference = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": owner["metadata"]["uid"]}
    return {
        "apiVersion": kinds.API_VERSION,
        "kind": "NodeBpfInventory",
        "metadata": {"name": node, "ownerReferences": [reference]},
    }
