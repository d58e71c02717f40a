"""``skep program``: list, get, unload and delete. Loading is in ``load``, replacing in ``replace``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from skep import errors, model
from skep.cli import host, lazy, option, output, select, session
from skep.cli.document import program as document
from skep.cli.render import program as render

if TYPE_CHECKING:
    from skep.cli import door

PROGRAM = lazy.Group(
    name="program",
    entries=(
        lazy.Entry(name="load", target="load:LOAD", help="Load programs out of an object file."),
        lazy.Entry(name="list", target="program:list_", help="List programs."),
        lazy.Entry(name="get", target="program:get", help="Show one program."),
        lazy.Entry(name="replace", target="replace:replace", help="Put new code in a program's place, without a gap."),
        lazy.Entry(name="run", target="run:run", help="Run a program on request, without attaching it."),
        lazy.Entry(name="unload", target="program:unload", help="Detach and remove programs."),
        lazy.Entry(name="delete", target="program:delete", help="Unload, all at once if asked.", hidden=True),
    ),
    help="Load, list, replace and unload programs.",
    examples="""
        skep program load file xdp_pass.o --programs xdp:pass
        skep program list --all
        skep program get 123 -o json
    """,
)


@click.command(
    "list",
    cls=lazy.Command,
    help="List programs: those that skep manages, or with --all every one in the kernel.",
    examples="""
        skep program list
        skep program list --type xdp,tcx --attached
        skep program list -l 'app in (web,api),!canary' -o wide
        skep program list --all -o json
    """,
)
@option.quiet
@click.option("--attached", is_flag=True, help="Only programs with links.")
@click.option("--unattached", is_flag=True, help="Only programs without links.")
@option.more_types
@option.program_type
@option.select_application
@option.select_metadata
@click.option("-a", "--all", "everything", is_flag=True, help="Also programs that skep does not manage.")
@click.option("-l", "--selector", default="", metavar="SELECTOR", help="Label selector over the metadata.")
@output.option
@click.pass_obj
def list_(
    current: session.Session,
    quiet: bool,
    attached: bool,
    unattached: bool,
    more_types: tuple[str, ...],
    types: tuple[str, ...],
    application: str | None,
    metadata: tuple[str, ...],
    everything: bool,
    selector: str,
    form: output.Format,
) -> None:
    """Print programs."""
    if attached and unattached:
        raise click.UsageError("--attached and --unattached exclude each other")
    chosen = select.Programs.parse(
        types=(*types, *more_types),
        application=application,
        metadata=metadata,
        selector=selector,
        everything=everything,
        attached=True if attached else False if unattached else None,
    )
    with current.open() as skep:
        found = chosen.keep(skep.programs(chosen.filter()))
    if quiet:
        form = output.Format.NAME
    output.show(render.listing(found, host.here(), bare=quiet), form)


@click.command(
    "get", cls=lazy.Command, help="Show one program.", examples="skep program get 123\nskep program get 123 -o yaml"
)
@click.argument("program_id", metavar="PROGRAM", type=option.PROGRAM_ID)
@output.option
@click.pass_obj
def get(current: session.Session, program_id: int, form: output.Format) -> None:
    """Print a program with its links and maps."""
    with current.open() as skep:
        found = skep.program(model.ProgramId(program_id))
        if isinstance(found, model.ForeignProgram):
            output.show(render.foreign(found, host.here()), form)
            return
        around = surroundings(skep, found)
    output.show(render.one(found, around, host.here()), form)


@click.command(
    "unload",
    cls=lazy.Command,
    help="Detach programs' links and remove them; all ids are tried, also after a failure.",
    examples="skep program unload 123\nskep program unload $(skep program list -q --application firewall)",
)
@click.argument("ids", metavar="PROGRAM…", type=option.PROGRAM_ID, nargs=-1, required=True)
@option.ignore_missing
@option.dry_run
@output.option
@click.pass_obj
def unload(
    current: session.Session, ids: tuple[int, ...], ignore_missing: bool, dry_run: bool, form: output.Format
) -> None:
    """Remove programs."""
    with current.open() as skep:
        remove(skep, ids, current, ignore_missing=ignore_missing, dry_run=dry_run, form=form)


@click.command(
    "delete",
    cls=lazy.Command,
    help="Unload programs; without --recursive only those that have no links.",
    examples="skep program delete --recursive --all",
)
@click.argument("ids", metavar="PROGRAM…", type=option.PROGRAM_ID, nargs=-1)
@click.option("-r", "--recursive", is_flag=True, help="Also programs with links, which are detached.")
@click.option("--all", "everything", is_flag=True, help="Every program that skep manages.")
@click.pass_obj
def delete(current: session.Session, ids: tuple[int, ...], recursive: bool, everything: bool) -> None:
    """Remove programs."""
    if bool(ids) is everything:
        raise click.UsageError("name programs, or give --all")
    from skep.cli import operate

    with current.open() as skep:
        programs = [
            each for each in skep.programs(model.ProgramFilter(managed_only=True)) if isinstance(each, model.Program)
        ]
        chosen = tuple(each.record.id for each in programs) if everything else ids
        attached = {each.record.id: each.links for each in programs if each.links}

        def act(id: int) -> None:
            links = attached.get(model.ProgramId(id))
            if links and not recursive:
                raise errors.Conflict(
                    f"program {id} has links",
                    why=f"link {', '.join(map(str, links))}",
                    do="detach them first, or give --recursive",
                )
            operate.run(skep, model.Unload(program=model.ProgramId(id)), current, f"unloading program {id}")

        operate.each(chosen, act, ignore_missing=everything)


def remove(
    skep: door.Skep,
    ids: tuple[int, ...],
    current: session.Session,
    *,
    ignore_missing: bool,
    dry_run: bool = False,
    form: output.Format = output.Format.TABLE,
) -> None:
    """Unload every id, or show what that would do."""
    from skep.cli import operate

    def act(id: int) -> None:
        op = model.Unload(program=model.ProgramId(id))
        if dry_run:
            operate.preview(skep, op, form)
        else:
            operate.run(skep, op, current, f"unloading program {id}")

    operate.each(ids, act, ignore_missing=ignore_missing)


def surroundings(skep: door.Skep, *programs: model.Program) -> document.Surroundings:
    """The links, chains and maps of some programs."""
    links: list[model.Link] = []
    maps: dict[model.MapId, model.MapView] = {}
    for program in programs:
        if program.links:
            links += skep.links(model.LinkFilter(program_id=program.record.id))
        for id in program.status.kernel.map_ids if program.status.kernel else ():
            if id not in maps:
                try:
                    maps[id] = skep.map(id)
                except errors.NotFound:
                    continue  # it went away between the two questions
    linked = any(link.record.chain for link in links)
    chains = {chain.record.key: chain for chain in skep.chains()} if linked else {}
    return document.Surroundings(links=links, chains=chains, maps=maps)
