"""The command ``skep`` itself: the list of commands, and the one place where a failure becomes text and a code."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import skep as package
from skep.cli import ground, lazy, session, table

ENTRIES = (
    lazy.Entry(name="program", target="program:PROGRAM", help="Load, list, replace and unload programs."),
    lazy.Entry(name="link", target="link:LINK", help="Attach, list, change and detach links."),
    lazy.Entry(name="chain", target="chain:CHAIN", help="Show what runs on an interface, in order, with its counters."),
    lazy.Entry(name="map", target="map:MAP", help="List maps, who uses them and where they are pinned."),
    lazy.Entry(name="image", target="image:IMAGE", help="Fetch, list and remove bytecode images."),
    lazy.Entry(name="apply", target="apply:apply", help="Make this host run what application files say."),
    lazy.Entry(name="diff", target="apply:diff", help="Show what apply would change."),
    lazy.Entry(name="delete", target="apply:delete", help="Remove what was applied."),
    lazy.Entry(name="export", target="export:export", help="Write what runs here as application files."),
    lazy.Entry(name="inventory", target="inventory:inventory", help="Show all that is in the kernel, and whose it is."),
    lazy.Entry(name="events", target="events:EVENTS", help="Show the history of operations, or follow it."),
    lazy.Entry(name="trace", target="trace:TRACE", help="Print what programs write with bpf_printk."),
    lazy.Entry(name="doctor", target="doctor:DOCTOR", help="Report where kernel, pins and store differ."),
    lazy.Entry(name="adopt", target="doctor:ADOPT", help="Manage a pinned program again that the store has lost."),
    lazy.Entry(name="feature", target="feature:FEATURE", help="Show what this kernel can."),
    lazy.Entry(name="serve", target="serve:SERVE", help="Run the daemon."),
    lazy.Entry(name="ready", target="ready:READY", help="Say whether the daemon serves, for probes."),
    lazy.Entry(name="kube", target="kube:KUBE", help="Run what a Kubernetes cluster needs, in it and on its nodes."),
    lazy.Entry(name="version", target="version:VERSION", help="Show versions, and whether a daemon answers."),
    lazy.Entry(name="completion", target="completion:COMPLETION", help="Print shell completion for bash, zsh or fish."),
    lazy.Entry(name="man", target="man:MAN", help="Write the manual pages into a directory."),
    lazy.Entry(name="help", target="topic:HELP", help="Explain a command or a topic (exit-codes, environment, …)."),
    lazy.Entry(name="dispatcher", target="dispatcher:DISPATCHER", help="Chains under bpfman's name.", hidden=True),
    lazy.Entry(name="load", target="older:LOAD", help="bpfman 0.5: program load.", hidden=True),
    lazy.Entry(name="unload", target="older:unload", help="bpfman 0.5: program unload.", hidden=True),
    lazy.Entry(name="attach", target="older:attach", help="bpfman 0.5: link attach.", hidden=True),
    lazy.Entry(name="detach", target="older:detach", help="bpfman 0.5: link detach.", hidden=True),
    lazy.Entry(name="get", target="older:GET", help="bpfman 0.5: program get, link get.", hidden=True),
    lazy.Entry(name="list", target="older:LIST", help="bpfman 0.5: program list, link list.", hidden=True),
)

EXAMPLES = """
    skep program load file xdp_pass.o --programs xdp:pass -a firewall
    skep link attach xdp 123 eth0 --priority 50
    skep chain get eth0 --watch
    skep link update 7 --priority 10
    skep program replace 123 xdp_pass_v2.o
"""


def version(name: str) -> click.Option:
    """``-V/--version``: one line, as every program has it; the command ``version`` tells more."""

    def tell(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value and not context.resilient_parsing:
            click.echo(f"{name} {package.__version__}")
            context.exit()

    return click.Option(
        ["-V", "--version"], is_flag=True, is_eager=True, expose_value=False, callback=tell,
        help="Show the version and exit.",
    )  # fmt: skip


def far() -> list[click.Option]:
    """For whoever runs this at the other end of a connection, which takes no signal along: ``--end-with-stdin``, and
    what it prints to, ``--far-terminal 120x40`` or ``120x40-plain``."""

    def watch(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value and not context.resilient_parsing:
            threading.Thread(target=_read_stdin, daemon=True).start()

    def shown(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is None or context.resilient_parsing:
            return
        size = re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})(-plain)?", value)
        if size is None:
            raise click.BadParameter("not like 120x40")
        table.far(int(size[1]), int(size[2]), coloured=not size[3])

    return [
        click.Option(["--end-with-stdin"], is_flag=True, hidden=True, expose_value=False, callback=watch),
        click.Option(["--far-terminal"], hidden=True, expose_value=False, callback=shown),
    ]


def _read_stdin() -> None:
    """As Ctrl-C, once nobody holds the other end of standard input."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os.kill(os.getpid(), signal.SIGINT)


class Root(lazy.Group):
    """The top group; ``main`` turns every failure into one message and one exit code."""

    def main(  # type: ignore[override]  # always ends the process, whatever standalone_mode says
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:  # Any: click's own
        """Run; always ends in ``SystemExit``."""
        words = list(sys.argv[1:] if args is None else args)
        if words == ["--csi-support"]:
            # bpfman's operator starts the daemon with this as its only argument.
            words = ["serve", "--csi-support"]
        extra["standalone_mode"] = False
        current = extra.pop("obj", None) or session.Session()
        try:
            result = super().main(words, prog_name or "skep", obj=current, **extra)
        except (Exception, KeyboardInterrupt) as error:
            from skep.cli import failure

            sys.exit(failure.tell(error, current))
        sys.exit(result if isinstance(result, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:  # Any: click
        """Run the command; a reader that went away ends it quietly."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            from skep.cli import exit, failure

            # click would turn it into exit code 1, which means something else here.
            failure.silence()
            raise click.exceptions.Exit(exit.PIPE) from None
        return result


ROOT = Root(
    name="skep",
    entries=ENTRIES,
    examples=EXAMPLES,
    help="An eBPF manager: loads, attaches, chains, shares, watches and removes eBPF programs on behalf of others.",
    params=[*ground.options(hidden=False), version("skep"), *far()],
)
