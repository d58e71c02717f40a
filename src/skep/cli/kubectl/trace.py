"""``kubectl skep trace``: what happens on a node, live: a chain's counters, skep's operations, what programs print."""

from __future__ import annotations

import shutil
import subprocess

import click

from skep.cli import chain as chains
from skep.cli import output, table
from skep.cli.kubectl import asked, complete


@click.command(
    "trace",
    cls=asked.Command,
    help="""Follow what happens on a node, until Ctrl-C.

    With INTERFACE: its chain with the counters of each program, again and again. With --printk: what programs write
    with bpf_printk, as it is. With --map: the events that programs put into a ring buffer or perf buffer, as lines of
    JSON. Both are taken out, so whatever else reads them misses them. Without any of these: what skep does there,
    operation by operation.

    It runs skep in the daemon's container, which needs the right to create pods/exec there. Who has that has root's
    power on the node.
    """,
    examples="""
        kubectl skep trace worker-1
        kubectl skep trace worker-1 eth0 --type tcx-ingress
        kubectl skep trace worker-1 --printk
        kubectl skep trace worker-1 --map events | jq .event
    """,
)
@click.argument("node", metavar="NODE", shell_complete=complete.nodes)
@click.argument("interface", metavar="[INTERFACE]", default="", shell_complete=complete.interfaces)
@click.option(
    "-t", "--type", "kind", type=click.Choice(chains.TYPES), default="xdp", show_default=True, help="Which chain."
)
@click.option(
    "--netns", default="", metavar="NETNS", help="The interface's network namespace: path, name or pid:NUMBER."
)
@click.option(
    "--interval", type=click.FloatRange(min=0.05, max=3600), default=1.0, metavar="SECONDS", help="Between looks."
)
@click.option("--times", type=click.IntRange(min=1), default=None, metavar="N", help="End after N looks at a chain.")
@click.option("--printk", is_flag=True, help="What programs write with bpf_printk.")
@click.option("--map", "map_", default="", metavar="MAP", help="Events of this map: an id, a name or a pin's path.")
@output.option
@click.pass_context
def trace(
    ctx: click.Context,
    node: str,
    interface: str,
    kind: str,
    netns: str,
    interval: float,
    times: int | None,
    printk: bool,
    map_: str,
    form: output.Format,
) -> None:
    """Run it there."""
    if sum(map(bool, (interface, printk, map_))) > 1:
        raise click.UsageError("INTERFACE, --printk and --map are three things: choose one", ctx)
    # The daemon's settings are in a file that it has read; every command would tell again what it says of them.
    quiet = ["--config", "/dev/null"]
    if interface:
        words = ["chain", "get", interface, "--type", kind, "--watch", "--interval", f"{interval:g}"]
        words += ["--netns", netns] if netns else []
        words += ["--times", str(times)] if times else []
        words += quiet
    elif printk:
        words = ["trace"]
    elif map_:
        words = ["map", "events", map_, *quiet]
    else:
        words = ["events", "--limit", "10", "--follow", *quiet]
    if form is not output.Format.TABLE and not (printk or map_):
        words += ["-o", form.value]
    ctx.exit(_run(asked.of(ctx), node, words))


TRACE: click.Command = trace


def _run(wanted: asked.Asked, node: str, words: list[str]) -> int:
    """Run skep in the daemon's container; its exit code."""
    from skep import errors
    from skep.cli.kubectl import gather

    with wanted.cluster() as opened:
        found = gather.on_node(opened, node)
        if "daemon" not in found.ready:
            raise errors.Unavailable(
                f"the daemon on {node}",
                why=f"its container is not ready{': ' + found.waiting if found.waiting else ''}",
                do=f"kubectl describe pod -n {found.namespace} {found.pod}",
            )
        gather.check_exec(opened, found)
        # What runs there hears of no signal, and of the connection's end only by its standard input; never by a
        # terminal of its own. So it has none, and is told what ours is like.
        there = ["skep", "--end-with-stdin"]
        if table.terminal():
            size = shutil.get_terminal_size()
            plain = "" if table.coloured() else "-plain"
            there += ["--far-terminal", f"{size.columns}x{size.lines}{plain}"]
        where = ["-n", found.namespace, found.pod, "-c", "daemon"]
        command = opened.command("exec", "-i", *where, "--", *there, *words)
    return _held(command)


def _held(command: list[str]) -> int:
    """Run kubectl until one of both ends has enough; its exit code. Its input is ours to end: what stands on our own,
    nothing perhaps, must not."""
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE) as running:
            return running.wait()
    finally:
        if table.terminal():
            print("\x1b[?25h", end="", flush=True)  # a table that was redrawn has hidden the cursor
