"""Run an operation for a command: or preview it, with progress on a terminal and warnings on stderr."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from skep import errors, model
from skep.cli import door, exit, output, session, table

PATIENCE_SECONDS = 0.8
"""After this long a person is told what is being waited for."""


def run(skep: door.Skep, op: model.Operation, current: session.Session, what: str) -> model.Done:
    """Do it; ``what`` says on a terminal what takes so long."""
    with waiting(what):
        done = skep.run(op, wait=current.wait)
    output.warnings(done.warnings)
    return done


def preview(skep: door.Skep, op: model.Operation, form: output.Format) -> None:
    """Print what it would do."""
    from skep.cli.render import capability

    seen = skep.preview(op)
    document: dict[str, object] = {"dry_run": True, "steps": list(seen.steps), "warnings": list(seen.warnings)}
    if seen.capabilities:
        document["capabilities"] = capability.document(seen.capabilities)

    def text(wide: bool) -> None:
        for number, step in enumerate(seen.steps, 1):
            print(f"{number:3}. {step}")
        for line in capability.lines(seen.capabilities):
            print(f"     {line}")
        print("nothing was changed (--dry-run)")

    output.show(
        output.View(document=lambda: document, items=lambda: [document], names=lambda: seen.steps, text=text), form
    )
    output.warnings(seen.warnings)


def each(ids: Iterable[int], act: Callable[[int], None], *, ignore_missing: bool) -> None:
    """Act on every id, also after a failure; afterwards raise the first failure."""
    first: errors.SkepError | None = None
    for id in ids:
        try:
            act(id)
        except errors.NotFound as error:
            if not ignore_missing:
                first = _later(first, error)
        except errors.SkepError as error:
            first = _later(first, error)
    if first is not None:
        raise first


def _later(first: errors.SkepError | None, error: errors.SkepError) -> errors.SkepError:
    """Keep the first failure for the end; the others are told now."""
    if first is None:
        return error
    print(exit.text(error), file=sys.stderr)
    return first


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Tell a person on a terminal that something takes long, and clear the line at the end."""
    if not table.terminal(sys.stderr):
        yield
        return
    shown = threading.Event()

    def tell() -> None:
        shown.set()
        print(f"{what} …", end="", file=sys.stderr, flush=True)

    timer = threading.Timer(PATIENCE_SECONDS, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if shown.is_set():
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
