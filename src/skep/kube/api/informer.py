"""What of a kind is in the cluster, kept up to date: listed once in pages, then watched.

A watch goes on where the last one ended, with the resource version of the last event or bookmark. Where the API server
no longer knows that version (410) or the kind, all is listed again, and what changed meanwhile is told like any change.
Nothing is told twice, and nothing that is kept differs from what was told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, Generic, TypeVar

from skep import errors
from skep.kube.api import answers, served
from skep.kube.api import key as keys
from skep.kube.api.backoff import Backoff
from skep.kube.api.connect import PAGE, Api, Labels
from skep.kube.api.key import Key
from skep.kube.api.merge import Object

log = logging.getLogger("skep.kube.api.informer")

T = TypeVar("T")

WATCH: Final = (300, 600)
"""Seconds after which the API server ends a watch, evenly between the two; client-go's numbers."""
_AGAIN: Final = Backoff(first=0.5, longest=30.0)
_SHORT: Final = 1.0
"""Seconds; a watch that ends sooner without a word counts as a failure, else two ends would spin."""
_FORGOTTEN: Final = frozenset({404, 410, 504})
"""Answers to a watch after which all is listed again: no such kind (any more), version too old, version of the future,
as after a restored etcd (that is a 504)."""


class Informer(Generic[T]):
    """The objects of a kind, or of a selection of it, as ``keep`` makes them.

    ``keep`` makes the value that stays in memory: the less, the better; None leaves the object out. ``changed`` is
    called with the old and the new value, None where there is none, after ``get`` knows it; not when both are equal,
    so that a value without the resource version is told only of what matters. Both must not block. ``page``: how many
    are listed at once; fewer of a kind whose objects are large.
    """

    def __init__(
        self,
        api: Api,
        resource: served.Resource,
        *,
        keep: Callable[[Object], T | None],
        changed: Callable[[Key, T | None, T | None], None],
        namespace: str | None = None,
        labels: Labels | None = None,
        fields: Mapping[str, str] | None = None,
        seconds: tuple[int, int] = WATCH,
        page: int = PAGE,
    ) -> None:
        self._api = api
        self._resource = resource
        self._keep = keep
        self._changed = changed
        self._namespace, self._labels, self._fields = namespace, labels, fields
        self._seconds = seconds
        self._kept: dict[Key, T] = {}
        self._version = ""
        self._synced = asyncio.Event()
        self._settled = asyncio.Event()
        self._stirred = asyncio.Event()
        self._page: int | None = page
        self._pages_of: Final = page
        self._failures = 0
        self.trouble = "not listed yet"
        """Why what is kept may be old; "" while it is watched."""
        self.absent = False
        """Whether the API server said, when it was asked last, that it knows no such kind."""
        self.denied = False
        """Whether it refuses us, for want of a right."""
        self.lists = 0
        """How often all has been listed."""
        self.watches = 0
        """How many watches the API server has accepted."""

    async def synced(self) -> None:
        """Wait until all has been listed once."""
        await self._synced.wait()

    async def settled(self) -> None:
        """Wait until all has been listed once, or the API server has said that it knows no such kind."""
        await self._settled.wait()

    @property
    def is_synced(self) -> bool:
        """Whether all has been listed once."""
        return self._synced.is_set()

    def stir(self) -> None:
        """Ask again now if the kind was not known: its CRD may have come."""
        if self.absent:
            self._failures = 0
            self._stirred.set()

    def get(self, key: Key) -> T | None:
        """What is kept of an object; None if there is none."""
        return self._kept.get(key)

    def all(self) -> Mapping[Key, T]:
        """All that is kept; a view, which changes at the next await."""
        return self._kept

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            try:
                if not self._version:
                    await self._list()
                if await self._watch():
                    self._failures = 0
                    continue
                self._failures += 1
            except answers.FOREIGN as error:
                self._failures += 1
                self._told(error)
            await self._pause(_AGAIN.wait(self._failures, random.random()) if self._failures else 0)

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until ``stir``."""
        self._stirred.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stirred.wait()

    async def _list(self) -> None:
        found: dict[Key, T] = {}
        version = ""
        try:
            async for of_list, page in self._pages():
                version = of_list
                for object in page:
                    key = keys.of(object)
                    if (value := self._kept_of(key, object)) is not None:
                        found[key] = value
        except answers.FOREIGN as error:
            if answers.code(error) == 410:
                # The pages took longer than the API server remembers: the next time all at once.
                self._page = None
            if answers.code(error) == 404:
                self.absent = True
                self._settled.set()
            raise
        self._page = self._pages_of
        self.absent = False
        for key in [key for key in self._kept if key not in found]:
            self._now(key, None)
        for key, value in found.items():
            self._now(key, value)
        self._version = version
        self.lists += 1
        self._synced.set()
        self._settled.set()

    def _pages(self) -> AsyncIterator[tuple[str, list[Object]]]:
        return self._api.pages(
            self._resource, namespace=self._namespace, labels=self._labels, fields=self._fields, page=self._page
        )

    async def _watch(self) -> bool:
        """Follow one watch to its end; whether it was one that is worth going on with at once."""
        began, told = asyncio.get_running_loop().time(), False
        watch = self._api.changes(
            self._resource,
            since=self._version,
            seconds=random.randint(*self._seconds),
            opened=self._opened,
            namespace=self._namespace,
            labels=self._labels,
            fields=self._fields,
        )
        try:
            async with contextlib.aclosing(watch):
                async for event, object in watch:
                    told, self._failures = True, 0
                    self._take(event, object)
        except answers.FOREIGN as error:
            if answers.code(error) in _FORGOTTEN:
                self._version = ""
            raise
        return told or asyncio.get_running_loop().time() - began > _SHORT

    def _opened(self) -> None:
        self.watches += 1
        self._told(None)

    def _take(self, event: str, object: Object) -> None:
        if event != "BOOKMARK":
            key = keys.of(object)
            self._now(key, None if event == "DELETED" else self._kept_of(key, object))
        self._version = object["metadata"]["resourceVersion"]

    def _kept_of(self, key: Key, object: Object) -> T | None:
        try:
            return self._keep(object)
        except Exception:
            # One object that we do not understand must not hide all others.
            log.exception("%s %s is left out", served.name(self._resource), key)
            return None

    def _now(self, key: Key, new: T | None) -> None:
        old = self._kept.get(key)
        if new is None:
            self._kept.pop(key, None)
        else:
            self._kept[key] = new
        if old == new:
            return
        try:
            self._changed(key, old, new)
        except Exception:
            log.exception("a change of %s %s was not heard", served.name(self._resource), key)

    def _told(self, error: Exception | None) -> None:
        """Log when it begins, when it becomes another, and when it ends; not each time."""
        told = None if error is None else answers.translated(f"watch {served.name(self._resource)}", error)
        self.denied = isinstance(told, errors.Denied)
        why = "" if told is None else str(told)
        if why == self.trouble:
            return
        if why:
            log.warning("%s", why)
        elif self.is_synced and self.trouble:
            log.info("watching %s", served.name(self._resource))
        self.trouble = why
