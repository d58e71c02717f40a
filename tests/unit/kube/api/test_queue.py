"""The queue with real workers on a real event loop."""

from __future__ import annotations

import asyncio
import logging

import pytest

from skep import errors
from skep.kube.api.backoff import Backoff
from skep.kube.api.queue import Queue

SHORT = Backoff(first=0.001, longest=0.002)


async def drained(queue: Queue[str]) -> None:
    """Wait until nothing waits or runs."""
    async with asyncio.timeout(10):
        while len(queue):
            await asyncio.sleep(0)


def test_a_key_is_never_handled_twice_at_once() -> None:
    async def body() -> None:
        queue: Queue[str] = Queue()
        running: set[str] = set()
        handled: list[str] = []

        async def handle(key: str) -> None:
            assert key not in running
            running.add(key)
            queue.add("a") if len(handled) < 50 else None
            await asyncio.sleep(0)
            running.discard(key)
            handled.append(key)

        for key in "abc":
            queue.add(key)
        worker = asyncio.create_task(queue.run(handle, workers=3))
        await drained(queue)
        worker.cancel()
        assert handled.count("b") == handled.count("c") == 1 and handled.count("a") > 2

    asyncio.run(body())


def test_what_fails_is_tried_again_until_it_works() -> None:
    async def body() -> None:
        queue: Queue[str] = Queue(SHORT)
        seen: list[int] = []

        async def handle(key: str) -> None:
            seen.append(queue.failures(key))
            if len(seen) < 4:
                raise errors.Unavailable("load", why="no daemon", do="wait")

        queue.add("a")
        worker = asyncio.create_task(queue.run(handle, workers=2))
        await drained(queue)
        worker.cancel()
        assert seen == [0, 1, 2, 3] and queue.failures("a") == 0

    asyncio.run(body())


def test_a_bug_in_one_key_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        queue: Queue[str] = Queue(SHORT)
        seen: list[str] = []

        async def handle(key: str) -> None:
            seen.append(key)
            if key == "bad" and seen.count("bad") < 3:
                raise ZeroDivisionError

        queue.add("bad")
        queue.add("good")
        worker = asyncio.create_task(queue.run(handle, workers=1))
        await drained(queue)
        worker.cancel()
        assert (seen.count("bad"), seen.count("good")) == (3, 1)

    with caplog.at_level(logging.ERROR):
        asyncio.run(body())
    assert "ZeroDivisionError" in caplog.text


def test_a_handler_may_ask_to_see_a_key_again() -> None:
    async def body() -> None:
        queue: Queue[str] = Queue()
        seen: list[str] = []

        async def handle(key: str) -> float | None:
            seen.append(key)
            return 0.001 if len(seen) < 3 else None

        queue.add("a")
        worker = asyncio.create_task(queue.run(handle))
        await drained(queue)
        worker.cancel()
        assert seen == ["a", "a", "a"]

    asyncio.run(body())


def test_what_is_added_later_wakes_a_sleeping_worker() -> None:
    async def body() -> None:
        queue: Queue[str] = Queue()
        seen = asyncio.Event()

        async def handle(key: str) -> None:
            if key == "now":
                seen.set()

        queue.add_after("in an hour", 3600)
        worker = asyncio.create_task(queue.run(handle, workers=1))
        await asyncio.sleep(0)
        queue.add("now")
        async with asyncio.timeout(10):
            await seen.wait()
        assert (len(queue), queue.waiting()) == (1, 0)
        worker.cancel()

    asyncio.run(body())
