"""``skep events``: the history of operations, and following it."""

from __future__ import annotations

from collections.abc import Iterable

import click

from skep import model
from skep.cli import door, lazy, output, session, when
from skep.cli.document import history as document

PAGE = 1000
POLL_SECONDS = 30.0
"""How long one question to the daemon waits for news."""


@click.command(
    "events",
    cls=lazy.Command,
    help="Show the history of operations: who did what to which program or link, how it ended and how long it took.",
    examples="""
        skep events
        skep events --limit 20 -o jsonl
        skep events --follow
    """,
)
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="EVENT", help="Only events after this one.")
@click.option(
    "--limit",
    type=click.IntRange(min=1, max=100_000),
    default=100,
    show_default=True,
    metavar="N",
    help="At most the newest N.",
)
@click.option("-f", "--follow", is_flag=True, help="Go on printing what happens, until Ctrl-C.")
@click.option("--times", type=click.IntRange(min=1), default=None, hidden=True, help="Stop after N questions.")
@output.option
@click.pass_obj
def events(
    current: session.Session, after: int, limit: int, follow: bool, times: int | None, form: output.Format
) -> None:
    """Print events."""
    with current.open() as skep:
        found = _newest(skep, after, limit)
        if not follow:
            output.show(
                output.View(
                    document=lambda: {"events": [document.event(event) for event in found]},
                    items=lambda: (document.event(event) for event in found),
                    names=lambda: (f"event/{event.id}" for event in found),
                    text=lambda wide: _print(found),
                ),
                form,
            )
            return
        asked = 0
        while True:
            _stream(found, form)
            after = found[-1].id if found else after
            if times is not None and asked >= times:
                return
            asked += 1
            found = skep.wait_events(after, POLL_SECONDS)


EVENTS: click.Command = events


def _newest(skep: door.Skep, after: int, limit: int) -> tuple[model.Event, ...]:
    """The newest ``limit`` events; the history is asked for page by page."""
    found = page = skep.events(after, PAGE)
    while len(page) == PAGE:
        page = skep.events(page[-1].id, PAGE)
        found = (*found, *page)[-limit:]
    return found[-limit:]


def _stream(found: Iterable[model.Event], form: output.Format) -> None:
    if form.structured:
        for event in found:
            output.line(document.event(event))
    elif form is output.Format.NAME:
        for event in found:
            print(f"event/{event.id}", flush=True)
    else:
        _print(found)


def _print(found: Iterable[model.Event]) -> None:
    for event in found:
        outcome = event.outcome if not event.detail else f"{event.outcome}: {event.detail}"
        print(
            f"{event.id:>5}  {when.stamp(event.at, whole=True)}  op={event.operation:<5} {event.verb:<8} "
            f"{event.subject:<14} {outcome}  {event.duration_ms:.1f}ms  {event.caller}",
            flush=True,
        )
