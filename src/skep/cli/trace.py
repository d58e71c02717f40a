"""``skep trace``: what programs write with bpf_printk, as it comes."""

from __future__ import annotations

import itertools

import click

from skep.cli import lazy


@click.command(
    "trace",
    cls=lazy.Command,
    ground=False,
    help="""Print what programs write with bpf_printk, until Ctrl-C: process, processor, time, text.

    It reads the kernel's trace buffer, of which there is one: whatever else reads it misses what is printed here. Needs
    root.
    """,
    examples="""
        skep trace
        skep trace --limit 10
    """,
)
@click.option("--limit", type=click.IntRange(min=1), default=None, metavar="N", help="End after N lines.")
def trace(limit: int | None) -> None:
    """Print lines."""
    from skep.kernel import printk

    for line in itertools.islice(printk.lines(), limit):
        print(line, flush=True)


TRACE: click.Command = trace
