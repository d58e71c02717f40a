"""Waiting for a condition on an event loop, for as long as a slow machine may need and no longer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def until(what: str, look: Callable[[], T], seconds: float = 30) -> T:
    """What ``look`` answers as soon as that is true."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not (seen := look()):
        assert loop.time() < end, f"{what}: not within {seconds} s; the last look said {seen!r}"
        await asyncio.sleep(0.02)
    return seen


@contextlib.asynccontextmanager
async def running(*works: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    """These run meanwhile; what one of them raises is raised here."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        # A task that is cancelled before its first step never runs, its ``finally`` neither.
        await asyncio.sleep(0)
        yield
        for task in tasks:
            task.cancel()
