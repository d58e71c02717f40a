"""``skep link attach``: one sub-command per program type, made from the table of hooks."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import click

from skep import hooks, model
from skep.cli import lazy, operate, option, output, session, value
from skep.cli import link as links
from skep.hooks import tcx

LISTS = frozenset({"proceed_on"})
"""Options that hold a list: given twice, they mean both, as everywhere."""


class TableType(click.ParamType[Any]):  # Any: each option parses to a type of its own
    """A value that the hook's own parser reads; it raises ``InvalidRequest``."""

    def __init__(self, row: hooks.Option) -> None:
        self.name = row.field
        self.row = row

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # Any: click
        """Text -> value."""
        return self.row.parse(value) if isinstance(value, str) else value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Interfaces of this network namespace, directions, and paths."""
        from click.shell_completion import CompletionItem

        match self.row.field:
            case "interface":
                words = [name for _, name in socket.if_nameindex()]
            case "direction":
                words = [direction.value for direction in tcx.Direction]
            case "netns" | "target":
                return [CompletionItem(incomplete, type="file")]
            case _:
                words = []
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def group() -> click.Command:
    """``link attach``."""
    made = lazy.Group(
        name="attach",
        help="Attach a loaded program. The sub-command is the program's type.",
        examples="""
            skep link attach xdp 123 eth0 --priority 50 --proceed-on pass
            skep link attach tcx 124 eth0 ingress --priority 50
            skep link attach tracepoint 125 sched/sched_switch
            skep link attach uprobe 126 libc --fn-name malloc
        """,
    )
    for hook in hooks.HOOKS:
        made.add_command(command(hook))
        for name in hook.family:
            if name != hook.name and name not in {other.name for other in hooks.HOOKS}:
                made.add_command(command(hook, name=name, hidden=True))
    return made


def command(hook: hooks.Hook[Any], *, name: str = "", hidden: bool = False) -> click.Command:  # Any: see hooks.HOOKS
    """The sub-command of one program type."""
    name = name or hook.name
    parameters: list[click.Parameter] = [
        click.Argument(["program_id"], metavar="PROGRAM", type=option.PROGRAM_ID),
        *(parameter(row) for row in hook.options),
    ]
    make = click.command(
        name,
        cls=lazy.Command,
        params=parameters,
        help=f"{hook.doc}\n\nFirst Linux release: {hook.first}.",
        short_help=hook.doc,
        hidden=hidden,
        examples=_example(hook, name),
    )
    return make(_callback(hook))


def parameter(row: hooks.Option) -> click.Parameter:
    """One row of a hook's table as click's argument or option."""
    if row.flags:
        return click.Option(
            [*row.flags, row.field],
            metavar=row.metavar,
            help=row.help,
            type=TableType(row),
            required=row.required,
            multiple=row.field in LISTS,
        )
    return click.Argument([row.field], metavar=row.metavar, type=TableType(row), required=row.required)


def attach(
    current: session.Session,
    hook: hooks.Hook[Any],
    program_id: int,
    values: dict[str, Any],
    *,
    metadata: tuple[str, ...],
    dry_run: bool,
    form: output.Format,
) -> None:  # Any: see hooks.HOOKS
    """Build the attachment, attach, print the link."""
    given = {name: value for name, value in values.items() if value is not None}
    for name in LISTS & given.keys():
        given[name] = tuple(one for part in given[name] for one in part)
    op = model.Attach(
        program=model.ProgramId(program_id),
        attachment=hook.build(given),
        metadata=value.metadata(metadata),
    )
    with current.open() as skep:
        if dry_run:
            operate.preview(skep, op, form)
            return
        done = operate.run(skep, op, current, f"attaching program {program_id}")
        links.show(skep, done.links, form)


def _callback(hook: hooks.Hook[Any]) -> Callable[..., Any]:  # Any: see hooks.HOOKS
    @option.metadata
    @option.dry_run
    @option.verifier_log
    @output.option
    @click.pass_obj
    def callback(
        current: session.Session,
        /,
        program_id: int,
        metadata: tuple[str, ...],
        dry_run: bool,
        form: output.Format,
        **values: Any,  # the table's own names, which no signature can spell
    ) -> None:
        attach(current, hook, program_id, values, metadata=metadata, dry_run=dry_run, form=form)

    return callback


def _example(hook: hooks.Hook[Any], name: str) -> str:  # Any: see hooks.HOOKS
    words = [f"skep link attach {name} 123"]
    words += [row.example or row.metavar for row in hook.options if not row.flags]
    for row in hook.options:
        if row.flags and (row.required or row.field == "fn_name"):
            words.append(f"{row.flags[-1]} {row.example or row.metavar}")
    return " ".join(words)
