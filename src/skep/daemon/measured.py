"""The daemon's numbers, from its Manager to the page of ``metrics``."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

import skep
from skep import errors, manager, model
from skep.metrics import families, page

logger = logging.getLogger("skep.daemon")

_Id = TypeVar("_Id")
_Seen = TypeVar("_Seen")


@contextlib.contextmanager
def measured(address: str, managed: manager.Manager) -> Iterator[None]:
    """The daemon's numbers, read whenever somebody asks."""

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
        )

    with page.served(address, look) as place:
        logger.info("serving metrics", extra={"address": place})
        yield


def _one(read: Callable[[_Id], _Seen], id: _Id) -> _Seen | None:
    """What has an id, None when it went away meanwhile."""
    try:
        return read(id)
    except errors.NotFound:
        return None
