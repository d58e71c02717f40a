"""The daemon's numbers, from its Manager to the page of ``metrics``."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import skep
from skep import errors, manager, model
from skep.metrics import families, page

logger = logging.getLogger("skep.daemon")

SECONDS: Final = 60.0
"""How old an inventory may be in which nothing came or went: who holds something may change without that."""

_Id = TypeVar("_Id")
_Seen = TypeVar("_Seen")


@contextlib.contextmanager
def measured(address: str, managed: manager.Manager) -> Iterator[None]:
    """The daemon's numbers, read whenever somebody asks."""

    whole = _Whole(managed)

    def look() -> families.Snapshot:
        listed = managed.programs(model.ProgramFilter(managed_only=True))
        # Memory is told of single ones only: reading it takes longer than all else.
        programs = [_one(managed.program, each.record.id) for each in listed if isinstance(each, model.Program)]
        maps = [_one(managed.map, each.kernel.id) for each in managed.maps() if each.programs]
        return families.Snapshot(
            version=skep.__version__,
            programs=tuple(each for each in programs if isinstance(each, model.Program)),
            links=managed.links(model.LinkFilter()),
            maps=tuple(each for each in maps if each is not None),
            operations=managed.ended(),
            inventory=whole.look(),
        )

    with page.served(address, look) as place:
        logger.info("serving metrics", extra={"address": place})
        yield


class _Whole:
    """The inventory, looked at anew when something came or went, or after a minute: descriptors of every process are
    too much to look at for each scrape."""

    def __init__(self, managed: manager.Manager) -> None:
        self._manager = managed
        self._found: model.Inventory | None = None
        self._at = 0.0

    def look(self) -> model.Inventory | None:
        """What there is; None where the kernel does not let us see it."""
        fresh = self._found is not None and time.monotonic() < self._at + SECONDS
        try:
            found = self._manager.inventory(self._found.fingerprint if fresh and self._found is not None else "")
        except (errors.Denied, errors.Unsupported):
            return None
        if found is not None:
            self._found, self._at = found, time.monotonic()
        return self._found


def _one(read: Callable[[_Id], _Seen], id: _Id) -> _Seen | None:
    """What has an id, None when it went away meanwhile."""
    try:
        return read(id)
    except errors.NotFound:
        return None
