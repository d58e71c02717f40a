"""The daemon's host, watched in a thread for an event loop: what it sees, and whether it answers at all."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from skep import errors, model

log = logging.getLogger("skep.kube.agent")

_AGAIN: Final = 1.0
"""Seconds after which a daemon that did not answer is asked again."""


class Door(Protocol):
    """What is asked of the daemon; ``rpc.client.Client``."""

    def watch_host(self) -> Iterator[model.HostSeen]:
        """The host at once, and whenever it has changed."""

    def close(self) -> None:
        """End the connections, also those that other threads read."""


class Host:
    """What the daemon sees; None while it does not answer."""

    def __init__(self, door: Door, changed: Callable[[model.HostSeen | None, model.HostSeen | None], None]) -> None:
        """``changed``: called in the event loop with the old and the new, when they differ in what selectors see."""
        self._door = door
        self._changed = changed
        self._ending = threading.Event()
        self.seen: model.HostSeen | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def watch() -> None:
            try:
                self._watch(loop)
            finally:
                _call(loop, ended.set)

        threading.Thread(target=watch, name="host", daemon=True).start()
        try:
            await ended.wait()
        finally:
            self._ending.set()
            self._door.close()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        told = ""
        while not self._ending.is_set():
            try:
                for seen in self._door.watch_host():
                    told = ""
                    _call(loop, functools.partial(self._now, seen))
                why = "it ended the call"
            except errors.SkepError as error:
                why = str(error)
            if self._ending.is_set():
                return
            if why != told:
                log.warning("the daemon does not answer: %s", why)
                told = why
            _call(loop, functools.partial(self._now, None))
            self._ending.wait(_AGAIN)

    def _now(self, seen: model.HostSeen | None) -> None:
        old, self.seen = self.seen, seen
        if old is None or seen is None or _outline(old) != _outline(seen):
            self._changed(old, seen)


def _call(loop: asyncio.AbstractEventLoop, do: Callable[[], None]) -> None:
    """Have the loop do it; nothing if it has ended before this thread."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(do)


def _outline(seen: model.HostSeen) -> tuple[object, ...]:
    """What selectors compare with."""
    return tuple(
        (each.path, each.inode, each.primary, tuple((one.name, one.ifindex) for one in each.interfaces))
        for each in seen.namespaces
    )
