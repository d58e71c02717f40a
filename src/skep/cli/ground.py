"""The global options: made from the table of settings, accepted before and after a command's name."""

from __future__ import annotations

import click

from skep import config
from skep.cli import session

GLOBAL = ("runtime_dir", "socket_path", "image_cache_dir", "lock_timeout", "log_level")
"""Settings that every command takes; ``serve`` takes all that have a flag."""


def options(names: tuple[str, ...] = GLOBAL, *, hidden: bool = True) -> list[click.Option]:
    """Fresh options for the named settings, ``--config`` and ``--direct``."""
    made = [setting(row, hidden=hidden) for row in config.SETTINGS if row.name in names and row.flag]
    made.append(
        click.Option(
            ["--config", "config_file"],
            metavar="FILE",
            hidden=hidden,
            expose_value=False,
            callback=_file,
            help=f"Configuration file.  [default: {config.DEFAULT_FILE}; {', '.join(config.FILE_ENVIRONMENT)}]",
        )
    )
    made.append(
        click.Option(
            ["--direct"],
            is_flag=True,
            hidden=hidden,
            expose_value=False,
            callback=_direct,
            help="Work without the daemon, under its lock; needs root.",
        )
    )
    return made


def setting(row: config.Setting, *, hidden: bool = False) -> click.Option:
    """A fresh option for one setting."""
    return click.Option(
        [row.flag, row.name],
        help=f"{row.help}  [default: {row.default}{_variables(row)}]",
        metavar=_METAVARS.get(row.name, "DIR" if row.path else "VALUE"),
        hidden=hidden,
        expose_value=False,
        callback=_flag,
    )


_METAVARS = {"socket_path": "PATH", "trust_policy": "FILE"}


def _variables(row: config.Setting) -> str:
    return f"; {', '.join(row.environment)}" if row.environment else ""


def _flag(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None and parameter.name:
        ctx.ensure_object(session.Session).flags[parameter.name] = value


def _file(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(session.Session).config_file = value


def _direct(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(session.Session).direct = True
