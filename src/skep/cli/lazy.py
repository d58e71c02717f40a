"""Commands that are imported when they are run: groups that know only names, one-line helps and where the code is.

``Command`` adds to click's: examples before the options in ``--help``, and the global options accepted after the
command's name too, as bpfman's CLI accepts them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A command by name: ``target`` is "module:attribute" below ``skep.cli``."""

    name: str
    target: str
    help: str
    hidden: bool = False


class Command(click.Command):
    """A command with examples; ``ground`` False leaves the global options out (completion, help)."""

    def __init__(self, *args: Any, examples: str = "", ground: bool = True, **kwargs: Any) -> None:  # Any: click's own
        kwargs.setdefault("context_settings", SETTINGS)
        super().__init__(*args, **kwargs)
        self.examples = examples
        if ground:
            from skep.cli import ground as grounds

            taken = {name for parameter in self.params for name in parameter.opts}
            self.params += [option for option in grounds.options() if not taken & set(option.opts)]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Usage, examples, description, options."""
        self.format_usage(ctx, formatter)
        write_examples(self.examples, formatter)
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)
        self.format_epilog(ctx, formatter)


class Group(click.Group):
    """A group of ``Entry``; ``default`` is the sub-command meant when none of the names is given."""

    def __init__(
        self, *args: Any, entries: tuple[Entry, ...] = (), default: str = "", examples: str = "", **kwargs: Any
    ) -> None:  # Any: click's own
        kwargs.setdefault("context_settings", SETTINGS)
        kwargs.setdefault("no_args_is_help", not default)
        super().__init__(*args, **kwargs)
        self.entries = {entry.name: entry for entry in entries}
        self.default = default
        self.examples = examples

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return [*self.entries, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command behind a name, imported now."""
        entry = self.entries.get(cmd_name)
        return super().get_command(ctx, cmd_name) if entry is None else resolve(entry)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[click.shell_completion.CompletionItem]:
        """What help shows, without importing it; click would offer hidden names too."""
        from click.shell_completion import CompletionItem

        shown = {entry.name: entry.help for entry in self.entries.values() if not entry.hidden}
        shown |= {name: command.get_short_help_str() for name, command in self.commands.items() if not command.hidden}
        found = [CompletionItem(name, help=help) for name, help in shown.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default sub-command's name in where the user left it away."""
        if self.default and not (args and (args[0] in self.entries or args[0] in ("-h", "--help"))):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command when there is no such one."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from skep import errors

            near = errors.near_misses(args[0], [name for name in self.entries if not self.entries[name].hidden])
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            ctx.fail(f"no such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One line per command, without importing it."""
        rows = [(entry.name, entry.help) for entry in self.entries.values() if not entry.hidden]
        rows += [
            (name, command.get_short_help_str(90)) for name, command in self.commands.items() if not command.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Usage, examples, description, options, commands."""
        self.format_usage(ctx, formatter)
        write_examples(self.examples, formatter)
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)
        self.format_epilog(ctx, formatter)


def resolve(entry: Entry) -> click.Command:
    """The command that an entry names."""
    module, _, attribute = entry.target.partition(":")
    found = getattr(importlib.import_module(f"skep.cli.{module}"), attribute)
    if isinstance(found, click.Command):
        return found
    make: Callable[[], click.Command] = found
    return make()


def write_examples(examples: str, formatter: click.HelpFormatter) -> None:
    """The examples, verbatim."""
    if not examples:
        return
    with formatter.section("Examples"):
        for line in examples.strip().splitlines():
            formatter.write(f"{'':>{formatter.current_indent}}{line.strip()}\n")
