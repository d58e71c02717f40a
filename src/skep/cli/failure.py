"""The one place where a failure of the command line becomes a message on stderr and an exit code. Never a traceback."""

from __future__ import annotations

import os
import sys

import click

from skep import errors
from skep.cli import exit, session


def tell(error: BaseException, current: session.Session) -> int:
    """Print what a person needs to know and return the exit code."""
    match error:
        case errors.SkepError():
            _print(exit.text(error, whole_log=current.whole_log))
            return exit.code(error)
        case click.exceptions.Exit():
            return error.exit_code
        case click.exceptions.NoArgsIsHelpError():
            _print(error.format_message())
            return exit.USAGE
        case click.UsageError():
            _print(f"skep: error: {error.format_message()}")
            if error.ctx is not None:
                _print(f"  see: {error.ctx.command_path} --help")
            return exit.USAGE
        case click.ClickException():
            _print(f"skep: error: {error.format_message()}")
            return exit.USAGE
        case click.Abort() | KeyboardInterrupt():
            return exit.INTERRUPTED
        case _:
            return _bug(error, current)


def silence() -> None:
    """Send what is still buffered nowhere, so that the interpreter does not complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _bug(error: BaseException, current: session.Session) -> int:
    _print(f"skep: error: internal error: {type(error).__name__}: {error}")
    if str(current.flags.get("log_level") or "").startswith("debug"):
        import traceback

        traceback.print_exception(error)
    else:
        _print("  this is a bug in skep; run again with --log debug and report what it prints")
    return exit.INTERNAL


def _print(text: str) -> None:
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        silence()
