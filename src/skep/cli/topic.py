"""``skep help``: a command's help, or a topic that belongs to no command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import click

from skep import config, errors
from skep.cli import exit, lazy, table


def _words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Topics and commands."""
    top = ctx.find_root()
    commands = [item.value for item in top.command.shell_complete(top, incomplete)]
    return [name for name in (*TOPICS, *commands) if name.startswith(incomplete)]


@click.command(
    "help",
    cls=lazy.Command,
    ground=False,
    help="Explain a command or a topic: exit-codes, environment, settings, formats, selectors.",
    examples="skep help link attach xdp\nskep help exit-codes",
)
@click.argument("words", nargs=-1, metavar="[COMMAND…|TOPIC]", shell_complete=_words)
@click.pass_context
def help_(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Print help."""
    if len(words) == 1 and words[0] in TOPICS:
        table.show(TOPICS[words[0]]())
        return
    top = ctx.find_root()
    where, command = top, top.command
    for word in words:
        below = command.get_command(where, word) if isinstance(command, click.Group) else None
        if below is None:
            known = [*TOPICS, *(command.list_commands(where) if isinstance(command, click.Group) else ())]
            raise errors.NotFound(
                f"no help on {' '.join(words)!r}",
                why=f"{word!r} is no command or topic",
                near=errors.near_misses(word, known),
            )
        where, command = click.Context(below, info_name=word, parent=where), below
    print(command.get_help(where))


def exit_codes() -> table.Table:
    """The exit codes."""
    return _table(("CODE", "NAME", "MEANING"), [(str(code.number), code.name, code.meaning) for code in exit.table()])


def environment() -> table.Table:
    """The environment variables; the first that is set counts."""
    rows = [(", ".join(row.environment), row.flag or row.key, row.help) for row in config.SETTINGS if row.environment]
    rows.append((", ".join(config.FILE_ENVIRONMENT), "--config", "Configuration file."))
    rows.append(("NO_COLOR", "", "Set and not empty: no colours."))
    return _table(("VARIABLE", "LIKE", "MEANING"), rows)


def settings() -> table.Table:
    """The keys of skep.toml."""
    rows = [(row.key, row.default, row.flag, row.help) for row in config.SETTINGS]
    rows.append(("interfaces.<name>.xdp_mode", "xdp.mode", "", "XDP mode of one interface: drv, skb or hw."))
    return _table(("KEY", "DEFAULT", "FLAG", "MEANING"), rows)


def formats() -> table.Table:
    """The values of -o."""
    return _table(
        ("FORMAT", "MEANING"),
        [
            ("table", "for people (default); text is bpfman's word for it"),
            ("wide", "the table with all columns"),
            ("json", "bpfman's shapes with more fields; every field is always there"),
            ("yaml", "the same as YAML"),
            ("jsonl", "one JSON document per line and item"),
            ("name", "kind/id, one per line; commands accept it in place of an id"),
        ],
    )


def selectors() -> table.Table:
    """Label selectors."""
    return _table(
        ("CLAUSE", "MATCHES METADATA"),
        [
            ("app=web", "where app is web (also ==)"),
            ("app!=web", "where app is not web, or missing"),
            ("app in (web,api)", "where app is one of them"),
            ("app notin (web,api)", "where app is none of them, or missing"),
            ("app", "that has app"),
            ("!app", "that has no app"),
            ("level>3", "where level is a greater number (also <)"),
        ],
    )


TOPICS: Mapping[str, Callable[[], table.Table]] = {
    "exit-codes": exit_codes,
    "environment": environment,
    "settings": settings,
    "formats": formats,
    "selectors": selectors,
}


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> table.Table:
    return table.Table(columns=tuple(table.Column(title=title) for title in titles), rows=tuple(rows))


HELP: click.Command = help_
