"""``skep program load file``: programs out of one object file, which is read here and streamed to the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from skep import model
from skep.cli import host, lazy, objectfile, operate, option, output, program, session, value
from skep.cli.document import program as document
from skep.cli.render import program as render

if TYPE_CHECKING:
    from skep.cli import door

LOAD = lazy.Group(
    name="load",
    entries=(
        lazy.Entry(name="file", target="load:file", help="Load programs out of an object file."),
        lazy.Entry(name="image", target="loadimage:image", help="Load programs out of a bytecode image."),
    ),
    default="file",
    help="Load programs. Without a sub-command the file form is meant.",
)


@click.command(
    "file",
    cls=lazy.Command,
    help="""Load programs out of an object file; all of them or none. They share one set of maps.

    A program is TYPE:NAME, or NAME alone to take the type from the ELF section. The file is opened as the user who
    runs skep and may have 16 MiB.
    """,
    examples="""
        skep program load file xdp_pass.o --programs xdp:pass
        skep program load file trace.o --programs tracepoint:enter,tracepoint:exit -a latency -m owner=alice
        skep program load file limit.o --programs xdp:limit -g rate:u32=1000 -g mask=ffff0000
        skep program load file reader.o --programs xdp:reader --map-owner-id 123
    """,
)
@click.argument("path", metavar="PATH", type=click.Path())
@click.option(
    "--programs",
    multiple=True,
    required=True,
    metavar="TYPE:NAME[:FUNCTION],…",
    help="Programs to load; may be repeated.",
)
@option.application
@option.metadata
@option.global_data
@option.map_owner
@click.option("--target-program", type=option.PROGRAM_ID, metavar="PROGRAM", help="Of freplace: the program to change.")
@click.option(
    "--target-function",
    metavar="FUNCTION",
    help="Of freplace: the global function to replace (default: the one in the section's name).",
)
@option.dry_run
@option.verifier_log
@output.option
@click.pass_obj
def file(
    current: session.Session,
    path: str,
    programs: tuple[str, ...],
    application: str | None,
    metadata: tuple[str, ...],
    global_data: tuple[str, ...],
    map_owner_id: int | None,
    target_program: int | None,
    target_function: str | None,
    dry_run: bool,
    form: output.Format,
) -> None:
    """Load a file's programs."""
    load_file(
        current,
        path,
        programs=programs,
        application=application,
        metadata=metadata,
        global_data=global_data,
        map_owner_id=map_owner_id,
        target=value.target(target_program, target_function),
        dry_run=dry_run,
        form=form,
    )


def load_file(
    current: session.Session,
    path: str,
    *,
    programs: tuple[str, ...],
    application: str | None,
    metadata: tuple[str, ...],
    global_data: tuple[str, ...],
    map_owner_id: int | None,
    dry_run: bool,
    form: output.Format,
    target: str | None = None,
) -> None:
    """Parse, read, load and print."""
    op = model.Load(
        object=objectfile.read(path),
        source=objectfile.source(path),
        programs=value.aimed(value.programs(programs), target),
        metadata=labels(metadata, application),
        global_data=value.global_data(global_data),
        map_owner=None if map_owner_id is None else model.ProgramId(map_owner_id),
    )
    with current.open() as skep:
        load(skep, op, current, path, dry_run=dry_run, form=form)


def labels(metadata: tuple[str, ...], application: str | None) -> dict[str, str]:
    """The metadata to keep with the programs."""
    found = value.metadata(metadata)
    if application:
        found[document.APPLICATION] = application
    return found


def load(
    skep: door.Skep, op: model.Load, current: session.Session, what: str, *, dry_run: bool, form: output.Format
) -> None:
    """Load and print, or print what would be done."""
    if dry_run:
        operate.preview(skep, op, form)
        return
    done = operate.run(skep, op, current, f"loading {what}")
    around = document.Surroundings() if form is output.Format.NAME else program.surroundings(skep, *done.programs)
    output.show(render.loaded(done.programs, around, host.here()), form)
