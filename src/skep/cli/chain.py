"""``skep chain``: what runs on an interface, in order, with the counters of every member."""

from __future__ import annotations

import sys
import time

import click

from skep import errors, model
from skep.cli import door, lazy, output, session, table, value
from skep.cli.render import chain as render

TYPES = ("xdp", "tc-ingress", "tc-egress", "tcx-ingress", "tcx-egress")

CHAIN = lazy.Group(
    name="chain",
    entries=(
        lazy.Entry(name="list", target="chain:list_", help="List chains."),
        lazy.Entry(name="get", target="chain:get", help="Show one chain with its counters, or watch it."),
    ),
    help="Show chains: several programs on one hook of an interface, in the order of their priorities.",
    examples="""
        skep chain list
        skep chain get eth0 --type tcx-ingress
        skep chain get eth0 --watch
    """,
)


@click.command("list", cls=lazy.Command, help="List chains.", examples="skep chain list\nskep chain list -o json")
@output.option
@click.pass_obj
def list_(current: session.Session, form: output.Format) -> None:
    """Print chains."""
    with current.open() as skep:
        chains = skep.chains()
        links = members(skep) if form.structured else {}
    output.show(render.listing(chains, links), form)


@click.command(
    "get",
    cls=lazy.Command,
    help="""Show the chain of an interface: position, priority, program, the verdicts after which the chain goes on,
    how the member was linked in (inline or call), its runs, and how many packets it ended with which verdict.
    """,
    examples="""
        skep chain get eth0
        skep chain get veth1 --netns /run/netns/blue
        skep chain get eth0 --watch --interval 0.5
    """,
)
@click.argument("interface", metavar="IFACE")
@click.option("-t", "--type", "kind", default="xdp", show_default=True, metavar="TYPE", help=f"{', '.join(TYPES)}.")
@click.option("-n", "--netns", default=None, metavar="NETNS", help="Its network namespace: path, name or pid:NUMBER.")
@click.option("-w", "--watch", is_flag=True, help="Show it again and again, with packets per second.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.05, max=3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks.",
)
@click.option("--times", type=click.IntRange(min=1), default=None, metavar="N", help="End the watch after N looks.")
@output.option
@click.pass_obj
def get(
    current: session.Session,
    interface: str,
    kind: str,
    netns: str | None,
    watch: bool,
    interval: float,
    times: int | None,
    form: output.Format,
) -> None:
    """Print or watch a chain."""
    if kind not in TYPES:
        raise click.BadParameter(f"{kind!r} is not one of {', '.join(TYPES)}", param_hint="--type")
    place = model.InterfaceRef(name=value.interface(interface), netns=netns)
    with current.open() as skep:
        if watch:
            _watch(skep, kind, place, interval, times, form)
        else:
            output.show(render.one(skep.chain(kind, place), members(skep)), form)


def members(skep: door.Skep) -> dict[model.LinkId, model.Link]:
    """Every link by id, to name the members' programs."""
    return {link.record.id: link for link in skep.links(model.LinkFilter())}


def _watch(
    skep: door.Skep, kind: str, place: model.InterfaceRef, interval: float, times: int | None, form: output.Format
) -> None:
    """Look every ``interval`` seconds; redrawn on a terminal, one after the other elsewhere."""
    if table.terminal() and not form.structured:
        _live(skep, kind, place, interval, times, form is output.Format.WIDE)
        return
    before: render.Look | None = None
    for number in output.looks(times, interval):
        look = render.Look(chain=skep.chain(kind, place), at=time.monotonic())
        if form.structured:
            output.line(render.document(look.chain, members(skep)))
        else:
            if number:
                print()
            print("\n".join(render.lines(look.chain, members(skep), before=before, at=look.at)))
            sys.stdout.flush()
        before = look


def _live(
    skep: door.Skep, kind: str, place: model.InterfaceRef, interval: float, times: int | None, wide: bool
) -> None:
    from rich.console import Console
    from rich.live import Live

    before: render.Look | None = None
    console = Console()
    # Room for the ^C that the terminal prints at the cursor: a line that it breaks would move everything by one.
    console.width = max(1, console.width - 3)
    with Live(console=console, auto_refresh=False) as live:
        for _ in output.looks(times, interval):
            try:
                look = render.Look(chain=skep.chain(kind, place), at=time.monotonic())
            except errors.NotFound as error:
                live.update(f"{error.what}: waiting for a program", refresh=True)
                continue
            live.update(render.live(look, members(skep), before, live.console.width), refresh=True)  # type: ignore[arg-type]  # rich is lazy
            before = look
