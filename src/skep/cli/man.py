"""``skep man``: manual pages, one per command, made from the same values as ``--help``."""

from __future__ import annotations

import os
from collections.abc import Iterator

import click

import skep as package
from skep import errors
from skep.cli import lazy


@click.command(
    "man",
    cls=lazy.Command,
    ground=False,
    help="Write the manual pages (section 1) into a directory.",
    examples="skep man /usr/local/share/man/man1",
)
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False))
@click.pass_context
def man(ctx: click.Context, directory: str) -> None:
    """Write pages."""
    top = ctx.find_root()
    try:
        os.makedirs(directory, exist_ok=True)
        for name, text in pages(top.command, click.Context(top.command, info_name=top.info_name)):
            with open(os.path.join(directory, f"{name}.1"), "w", encoding="utf-8") as stream:
                stream.write(text)
    except OSError as error:
        kind = errors.Denied if isinstance(error, PermissionError) else errors.InvalidRequest
        raise kind(f"cannot write to {directory}", why=error.strerror or str(error), errno=error.errno or 0) from error


def pages(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, str]]:
    """Name and roff text of a command's page and of those below it; hidden commands have none."""
    name = ctx.command_path.replace(" ", "-")
    yield name, page(name, command, ctx)
    if isinstance(command, click.Group):
        for word in command.list_commands(ctx):
            below = command.get_command(ctx, word)
            entry = command.entries.get(word) if isinstance(command, lazy.Group) else None
            if below is not None and not below.hidden and not (entry and entry.hidden):
                yield from pages(below, click.Context(below, info_name=word, parent=ctx))


def page(name: str, command: click.Command, ctx: click.Context) -> str:
    """One page in man(7)'s macros."""
    brief = (command.short_help or command.help or "").strip().split("\n")[0].rstrip(".")
    lines = [
        f'.TH "{name.upper()}" "1" "" "skep {package.__version__}" "skep manual"',
        ".SH NAME",
        f"{_roff(name)} \\- {_roff(brief)}",
        ".SH SYNOPSIS",
        f".B {_roff(ctx.command_path)}",
        _roff(" ".join(command.collect_usage_pieces(ctx))),
    ]
    examples = getattr(command, "examples", "").strip()
    if examples:
        lines += [".SH EXAMPLES", ".nf", *(_roff(line.strip()) for line in examples.splitlines()), ".fi"]
    if command.help:
        lines.append(".SH DESCRIPTION")
        for paragraph in command.help.strip().split("\n\n"):
            lines += [".PP", _roff(" ".join(paragraph.split()))]
    records = [record for parameter in command.get_params(ctx) if (record := parameter.get_help_record(ctx))]
    if records:
        lines.append(".SH OPTIONS")
        for flags, text in records:
            lines += [".TP", f"\\fB{_roff(flags)}\\fR", _roff(text)]
    if isinstance(command, lazy.Group):
        rows = [(entry.name, entry.help) for entry in command.entries.values() if not entry.hidden]
        rows += [(word, below.get_short_help_str(90)) for word, below in command.commands.items() if not below.hidden]
        lines.append(".SH COMMANDS")
        for word, text in rows:
            lines += [".TP", f"\\fB{_roff(name)}-{_roff(word)}\\fR(1)", _roff(text)]
    lines += [".SH EXIT STATUS", "See", ".B skep help exit-codes", ""]
    return "\n".join(lines)


def _roff(text: str) -> str:
    """Text that roff takes literally: backslashes and hyphens escaped, no line begins with a control character."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


MAN: click.Command = man
