"""The command ``skep`` itself: the list of commands, and the one place where a failure becomes text and a code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from skep import errors
from skep.cli import exit, ground, lazy, session

ENTRIES = (
    lazy.Entry(name="program", target="program:PROGRAM", help="Load, list, replace and unload programs."),
    lazy.Entry(name="link", target="link:LINK", help="Attach, list, change and detach links."),
    lazy.Entry(name="chain", target="chain:CHAIN", help="Show what runs on an interface, in order, with its counters."),
    lazy.Entry(name="map", target="map:MAP", help="List maps, who uses them and where they are pinned."),
    lazy.Entry(name="events", target="events:EVENTS", help="Show the history of operations, or follow it."),
    lazy.Entry(name="doctor", target="doctor:DOCTOR", help="Report where kernel, pins and store differ."),
    lazy.Entry(name="adopt", target="doctor:ADOPT", help="Manage a pinned program again that the store has lost."),
    lazy.Entry(name="feature", target="feature:FEATURE", help="Show what this kernel can."),
    lazy.Entry(name="serve", target="serve:SERVE", help="Run the daemon."),
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
        sys.exit(_status(lambda: super(Root, self).main(words, prog_name or "skep", obj=current, **extra), current))

    def invoke(self, ctx: click.Context) -> Any:  # Any: click
        """Run the command; a reader that went away ends it quietly."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _silence()
            raise click.exceptions.Exit(exit.PIPE) from None
        return result


def _status(run: Any, current: session.Session) -> int:  # Any: a call of click's main, whose result is the exit code
    try:
        result = run()
        return result if isinstance(result, int) and not isinstance(result, bool) else exit.OK.number
    except errors.SkepError as error:
        _tell(exit.text(error, whole_log=current.whole_log))
        return exit.code(error)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.UsageError as error:
        return _usage(error)
    except click.ClickException as error:
        _tell(f"skep: error: {error.format_message()}")
        return exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        _tell("")
        return exit.INTERRUPTED
    except Exception as error:  # the last line of defence: a bug must not show itself as a traceback
        _tell(f"skep: error: internal error: {type(error).__name__}: {error}")
        if str(current.flags.get("log_level") or "").startswith("debug"):
            import traceback

            traceback.print_exc()
        else:
            _tell("  this is a bug in skep; run again with --log debug and report what it prints")
        return exit.INTERNAL


def _usage(error: click.UsageError) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        _tell(error.format_message())
        return exit.USAGE
    _tell(f"skep: error: {error.format_message()}")
    if error.ctx is not None:
        _tell(f"  see: {error.ctx.command_path} --help")
    return exit.USAGE


def _tell(text: str) -> None:
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _silence()


def _silence() -> None:
    """Send what is still buffered nowhere, so that the interpreter does not complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


ROOT = Root(
    name="skep",
    entries=ENTRIES,
    examples=EXAMPLES,
    help="An eBPF manager: loads, attaches, chains, shares, watches and removes eBPF programs on behalf of others.",
    params=[*ground.options(hidden=False)],
)
