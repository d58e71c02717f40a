"""A server on sockets of its own with a scripted manager behind it: what arrives there, and what goes back, is seen."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from skep import manager, model, paths
from skep.rpc import listen, server, upload
from tests.unit.rpc.filled import filled

PROGRAM: model.Program = filled(model.Program)
DONE: model.Done = filled(model.Done)
CALLS = (
    "program",
    "programs",
    "link",
    "links",
    "chains",
    "chain",
    "maps",
    "map",
    "doctor",
    "features",
    "preview",
    "read_object",
    "run",
    "map_shape",
    "map_pages",
    "map_lookup",
    "map_write",
    "map_events",
    "run_program",
    "read_iterator",
    "ensure_image",
)


class Runs:
    """``Manager.runs``: a run's and a reading's ``stop`` is left out of what was heard."""

    def __init__(self, scripted: Scripted) -> None:
        self._scripted = scripted

    def program(self, caller: model.Caller, wanted: model.Run, stop: Callable[[], bool]) -> Any:
        return self._scripted.run_program(caller, wanted)

    def iterator(self, caller: model.Caller, wanted: model.ReadIterator, stop: Callable[[], bool]) -> Any:
        return self._scripted.read_iterator(caller, wanted)


class Images:
    """``Manager.images``."""

    def __init__(self, scripted: Scripted) -> None:
        self._scripted = scripted

    def ensure(self, caller: model.Caller, wanted: model.ImageRequest) -> Any:
        return self._scripted.ensure_image(caller, wanted)


class Scripted:
    """``Manager``'s methods: each call is noted in ``heard`` and answered from ``answers``, by value or by function."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.heard: list[tuple[Any, ...]] = []
        self.history: list[model.Event] = []
        self.news = threading.Condition()

    @property
    def runs(self) -> Runs:
        return Runs(self)

    @property
    def images(self) -> Images:
        return Images(self)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in CALLS:
            raise AttributeError(name)

        def call(*arguments: Any, **named: Any) -> Any:
            self.heard.append((name, *arguments))
            answer = self.answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer(*arguments) if callable(answer) else answer

        return call

    def events(self, after: int = 0, limit: int = 1000) -> tuple[model.Event, ...]:
        return tuple(event for event in self.history if event.id > after)[:limit]

    def wait_events(self, after: int, timeout: float) -> tuple[model.Event, ...]:
        with self.news:
            self.news.wait_for(lambda: self.events(after), timeout)
        return self.events(after)

    def happen(self, event: model.Event) -> None:
        with self.news:
            self.history.append(event)
            self.news.notify_all()


@contextlib.contextmanager
def serving(
    directory: Path, scripted: Scripted, *, lock_timeout: float = 0.0, uploads: upload.Uploads | None = None
) -> Iterator[str]:
    """The path of the public socket of a server in front of ``scripted``."""
    layout = paths.layout(runtime=str(directory))
    served = server.Server(
        cast(manager.Manager, scripted),
        listen.listen(layout.socket),
        layout,
        lock_timeout=lock_timeout,
        uploads=uploads,
    )
    served.start()
    try:
        yield layout.socket
    finally:
        served.stop()
