"""The verb-noun forms of bpfman 0.5 (its Rust CLI), as hidden names of the same commands."""

from __future__ import annotations

from typing import Any

import click

from skep import hooks
from skep.cli import attach as attaching
from skep.cli import lazy, link, load, option, output, program, session

FLAGS = {
    "interface": ("-i", "--iface"),
    "direction": ("-d", "--direction"),
    "tracepoint": ("-t", "--tracepoint"),
    "target": ("-t", "--target"),
    "offset": ("--offset",),
    "pid": ("-p", "--pid"),
    "container_pid": ("-c", "--container-pid"),
}
"""Flags of the old form for values that are arguments now, or that had another letter; ``-o`` is the output here."""

LOAD = lazy.Group(
    name="load",
    entries=(
        lazy.Entry(name="file", target="older:load_file", help="See skep program load file."),
        lazy.Entry(name="image", target="loadimage:image", help="See skep program load image."),
    ),
    help="bpfman 0.5's form of skep program load.",
)
GET = lazy.Group(
    name="get",
    entries=(
        lazy.Entry(name="program", target="program:get", help="See skep program get."),
        lazy.Entry(name="link", target="link:get", help="See skep link get."),
    ),
    help="bpfman's form of skep program get and skep link get.",
)
LIST = lazy.Group(
    name="list",
    entries=(
        lazy.Entry(name="programs", target="program:list_", help="See skep program list."),
        lazy.Entry(name="links", target="link:list_", help="See skep link list."),
        lazy.Entry(name="program", target="program:list_", help="See skep program list.", hidden=True),
        lazy.Entry(name="link", target="link:list_", help="See skep link list.", hidden=True),
    ),
    help="bpfman's form of skep program list and skep link list.",
)


@click.command("file", cls=lazy.Command, help="See skep program load file.")
@click.option("--path", required=True, metavar="PATH")
@click.option("--programs", multiple=True, required=True, metavar="TYPE:NAME[:FUNCTION]")
@option.application
@option.metadata
@click.option("-g", "--global", "global_data", multiple=True, metavar="NAME=HEX")
@click.option("--map-owner-id", type=option.PROGRAM_ID, default=None, metavar="PROGRAM")
@click.argument("more", nargs=-1)
@option.dry_run
@option.verifier_log
@output.option
@click.pass_obj
def load_file(
    current: session.Session,
    path: str,
    programs: tuple[str, ...],
    application: str | None,
    metadata: tuple[str, ...],
    global_data: tuple[str, ...],
    map_owner_id: int | None,
    more: tuple[str, ...],
    dry_run: bool,
    form: output.Format,
) -> None:
    """Load a file's programs; ``--programs A B`` and ``-g A=1 B=2`` take several words here."""
    load.load_file(
        current,
        path,
        programs=(*programs, *(word for word in more if "=" not in word)),
        application=application,
        metadata=metadata,
        global_data=(*global_data, *(word for word in more if "=" in word)),
        map_owner_id=map_owner_id,
        dry_run=dry_run,
        form=form,
    )


@click.command("unload", cls=lazy.Command, help="See skep program unload.")
@click.argument("ids", metavar="PROGRAM…", type=option.PROGRAM_ID, nargs=-1, required=True)
@option.ignore_missing
@click.pass_obj
def unload(current: session.Session, ids: tuple[int, ...], ignore_missing: bool) -> None:
    """Remove programs."""
    with current.open() as skep:
        program.remove(skep, ids, current, ignore_missing=ignore_missing)


def detach() -> click.Command:
    """``detach LINK`` is ``link detach LINK``."""
    return link.detach


def attach() -> click.Command:
    """``attach PROGRAM TYPE …``: the id before the type, everything else a flag."""
    made = lazy.Group(
        name="attach",
        params=[click.Argument(["program_id"], metavar="PROGRAM", type=option.PROGRAM_ID)],
        callback=_remember,
        help="bpfman 0.5's form of skep link attach: skep attach 123 xdp -i eth0 -p 50",
    )
    for hook in hooks.HOOKS:
        made.add_command(_command(hook, hook.name))
        for name in hook.family:
            if name not in {other.name for other in hooks.HOOKS}:
                made.add_command(_command(hook, name))
    return made


@click.pass_context
def _remember(ctx: click.Context, program_id: int) -> None:
    ctx.meta["skep.program"] = program_id


def _flag(field: str) -> tuple[str, ...]:
    return (f"--{field.replace('_', '-')}",)


def _command(hook: hooks.Hook[Any], name: str) -> click.Command:  # Any: see hooks.HOOKS
    parameters: list[click.Parameter] = [
        click.Option(
            [*FLAGS.get(row.field, row.flags or _flag(row.field)), row.field],
            metavar=row.metavar,
            help=row.help,
            type=attaching.TableType(row),
            required=row.required,
            multiple=row.field in attaching.LISTS,
        )
        for row in hook.options
    ]

    several = next((row for row in hook.options if row.field == "proceed_on"), None)
    if several is not None:  # ``--proceed-on pass drop`` takes several words here
        parameters.append(click.Argument(["more"], nargs=-1, metavar=""))

    @click.command(name, cls=lazy.Command, params=parameters, help=hook.doc)
    @option.metadata
    @option.dry_run
    @output.option
    @click.pass_context
    def command(
        ctx: click.Context,
        /,
        metadata: tuple[str, ...],
        dry_run: bool,
        form: output.Format,
        more: tuple[str, ...] = (),
        **values: Any,  # the table's own names, which no signature can spell
    ) -> None:
        if several is not None and more:
            if not values.get(several.field):
                ctx.fail(f"Got unexpected extra argument ({' '.join(more)})")
            values[several.field] += (several.parse(",".join(more)),)
        attaching.attach(
            ctx.ensure_object(session.Session),
            hook,
            ctx.meta["skep.program"],
            values,
            metadata=metadata,
            dry_run=dry_run,
            form=form,
        )

    return command
