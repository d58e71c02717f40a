"""``skep link``: list, get, update and detach. Attaching is in ``attach``."""

from __future__ import annotations

import click

from skep import errors, model
from skep.cli import door, lazy, operate, option, output, select, session
from skep.cli.document import link as document
from skep.cli.document import program as program_document
from skep.cli.render import link as render

LINK = lazy.Group(
    name="link",
    entries=(
        lazy.Entry(name="attach", target="attach:group", help="Attach a program."),
        lazy.Entry(name="list", target="link:list_", help="List links."),
        lazy.Entry(name="get", target="link:get", help="Show one link."),
        lazy.Entry(name="read", target="run:read", help="Print what an iterator prints."),
        lazy.Entry(name="update", target="link:update", help="Change a link's place or proceed-on set, without a gap."),
        lazy.Entry(name="detach", target="link:detach", help="Take links away."),
        lazy.Entry(name="delete", target="link:delete", help="Take links away.", hidden=True),
    ),
    help="Attach, list, change and detach links. A link is one program at one attach point.",
    examples="""
        skep link attach xdp 123 eth0 --priority 50
        skep link update 7 --priority 10
        skep link detach 7
    """,
)


@click.command(
    "list",
    cls=lazy.Command,
    help="List links. Type, application and metadata are the program's.",
    examples="""
        skep link list
        skep link list --program-id 123
        skep link list --kind xdp,tcx --application firewall -o wide
    """,
)
@option.quiet
@click.option("--program-id", type=option.PROGRAM_ID, metavar="PROGRAM", help="Only this program's links.")
@option.kinds
@option.program_type
@option.select_application
@option.select_metadata
@output.option
@click.pass_obj
def list_(
    current: session.Session,
    quiet: bool,
    program_id: int | None,
    kinds: tuple[str, ...],
    types: tuple[str, ...],
    application: str | None,
    metadata: tuple[str, ...],
    form: output.Format,
) -> None:
    """Print links."""
    kind_choice = select.Programs.parse(types=kinds)
    owners = select.Programs.parse(types=types, application=application, metadata=metadata)
    with current.open() as skep:
        links = skep.links(
            model.LinkFilter(
                program_id=None if program_id is None else model.ProgramId(program_id),
                hooks=kind_choice.hooks,
                metadata=owners.metadata,
            )
        )
        applications: dict[model.ProgramId, str] = {}
        if owners.hooks or application is not None or not (form.structured or quiet):
            programs = owners.keep(skep.programs(owners.filter()))
            managed = (each for each in programs if isinstance(each, model.Program))
            applications = {each.record.id: program_document.application(each) for each in managed}
        if owners.hooks or application is not None:
            links = tuple(link for link in links if link.program_id in applications)
        chains = _chains(skep, links)
    if quiet:
        form = output.Format.NAME
    output.show(render.listing(links, chains, applications, bare=quiet), form)


@click.command("get", cls=lazy.Command, help="Show one link.", examples="skep link get 7\nskep link get 7 -o json")
@click.argument("link_id", metavar="LINK", type=option.LINK_ID)
@output.option
@click.pass_obj
def get(current: session.Session, link_id: int, form: output.Format) -> None:
    """Print a link."""
    with current.open() as skep:
        show(skep, (model.LinkId(link_id),), form)


@click.command(
    "update",
    cls=lazy.Command,
    help="Change a link in one atomic swap: its priority or proceed-on set, or the struct_ops that it registers.",
    examples="skep link update 7 --priority 10\nskep link update 7 --proceed-on pass,drop --dry-run\n"
    "skep link update 8 --to-program 124",
)
@click.argument("link_id", metavar="LINK", type=option.LINK_ID)
@click.option("-p", "--priority", default=None, metavar="PRIORITY", help="New place; smaller runs earlier.")
@click.option("--proceed-on", multiple=True, metavar="VERDICT,…", help="Verdicts after which the next program runs.")
@click.option(
    "--to-program",
    default=None,
    type=option.PROGRAM_ID,
    metavar="PROGRAM",
    help="Of struct_ops: the program whose table is registered in the place of this one.",
)
@option.dry_run
@output.option
@click.pass_obj
def update(
    current: session.Session,
    link_id: int,
    priority: str | None,
    proceed_on: tuple[str, ...],
    to_program: int | None,
    dry_run: bool,
    form: output.Format,
) -> None:
    """Change a link."""
    if priority is None and not proceed_on and to_program is None:
        raise click.UsageError("nothing to change: give --priority, --proceed-on or --to-program")
    from skep.hooks import valid

    place = None if priority is None else valid.priority(valid.parse_int(priority))
    with current.open() as skep:
        op = model.UpdateLink(
            link=model.LinkId(link_id),
            priority=place,
            proceed_on=_verdicts(skep.link(model.LinkId(link_id)), ",".join(proceed_on)) if proceed_on else None,
            program=None if to_program is None else model.ProgramId(to_program),
        )
        if dry_run:
            operate.preview(skep, op, form)
            return
        operate.run(skep, op, current, f"changing link {link_id}")
        show(skep, (op.link,), form)


@click.command(
    "detach",
    cls=lazy.Command,
    help="Take links away; when it returns the programs no longer run there.",
    examples="skep link detach 7\nskep link detach $(skep link list -q --program-id 123) --ignore-missing",
)
@click.argument("ids", metavar="LINK…", type=option.LINK_ID, nargs=-1, required=True)
@option.ignore_missing
@option.dry_run
@output.option
@click.pass_obj
def detach(
    current: session.Session, ids: tuple[int, ...], ignore_missing: bool, dry_run: bool, form: output.Format
) -> None:
    """Detach links."""
    with current.open() as skep:
        _remove(skep, ids, current, ignore_missing=ignore_missing, dry_run=dry_run, form=form)


@click.command("delete", cls=lazy.Command, help="Take links away.", examples="skep link delete 7")
@click.argument("ids", metavar="LINK…", type=option.LINK_ID, nargs=-1, required=True)
@click.option("-r", "--recursive", is_flag=True, help="Accepted and without meaning: a link has nothing below it.")
@click.pass_obj
def delete(current: session.Session, ids: tuple[int, ...], recursive: bool) -> None:
    """Detach links."""
    with current.open() as skep:
        _remove(skep, ids, current, ignore_missing=False, dry_run=False, form=output.Format.TABLE)


def show(skep: door.Skep, ids: tuple[model.LinkId, ...], form: output.Format) -> None:
    """Print one link as ``get`` does; several as a table, or as documents like ``get``'s."""
    links = tuple(skep.link(id) for id in ids)
    chains = _chains(skep, links)
    if len(links) == 1:
        output.show(render.one(links[0], chains), form)
    else:
        output.show(render.several(links, chains), form)


def _verdicts(link: model.Link, text: str) -> tuple[int, ...]:
    """A proceed-on set in the words of the link's type; a type without one is refused when it is planned."""
    from skep import hooks

    for row in hooks.by_name(link.record.hook).options:
        if row.field == "proceed_on":
            codes: tuple[int, ...] = row.parse(text)  # type: ignore[assignment]  # each option has a type of its own
            return codes
    return ()


def _remove(
    skep: door.Skep,
    ids: tuple[int, ...],
    current: session.Session,
    *,
    ignore_missing: bool,
    dry_run: bool,
    form: output.Format,
) -> None:
    def act(id: int) -> None:
        op = model.Detach(link=model.LinkId(id))
        if dry_run:
            operate.preview(skep, op, form)
        else:
            operate.run(skep, op, current, f"detaching link {id}")

    operate.each(ids, act, ignore_missing=ignore_missing)


def _chains(skep: door.Skep, links: tuple[model.Link, ...]) -> document.Chains:
    """The chains that some links are members of; not asked for when none is."""
    if not any(link.record.chain for link in links):
        return {}
    try:
        return {chain.record.key: chain for chain in skep.chains()}
    except errors.NotFound:
        return {}
