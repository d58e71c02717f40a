"""``skep program replace``: new code for a loaded program; its maps, links and identity stay."""

from __future__ import annotations

import click

from skep import model
from skep.cli import host, lazy, objectfile, operate, option, output, program, session, value
from skep.cli.render import program as render


@click.command(
    "replace",
    cls=lazy.Command,
    help="""Put a new object in the place of a loaded program.

    Maps that are equal in type, key, value, size and flags keep their contents and pins; all links move to the new
    code in one atomic swap per hook. When the kernel refuses the new code, the old runs on. The program gets a new
    kernel id.
    """,
    examples="""
        skep program replace 123 xdp_pass_v2.o --dry-run
        skep program replace 123 xdp_pass_v2.o
        skep program replace 123 all.o --name pass_v2 -g rate:u32=2000
    """,
)
@click.argument("program_id", metavar="PROGRAM", type=option.PROGRAM_ID)
@click.argument("path", metavar="PATH", type=click.Path())
@click.option("--name", default=None, metavar="NAME", help="Program in the new object.  [default: the old name]")
@click.option(
    "-g",
    "--global",
    "global_data",
    multiple=True,
    metavar="NAME=HEX",
    help="Value of a global variable, as for load; without any the old values are kept.",
)
@option.dry_run
@option.verifier_log
@output.option
@click.pass_obj
def replace(
    current: session.Session,
    program_id: int,
    path: str,
    name: str | None,
    global_data: tuple[str, ...],
    dry_run: bool,
    form: output.Format,
) -> None:
    """Swap a program's code."""
    op = model.ReplaceProgram(
        program=model.ProgramId(program_id),
        object=objectfile.read(path),
        source=objectfile.source(path),
        name=name,
        global_data=value.global_data(global_data) if global_data else None,
    )
    with current.open() as skep:
        if dry_run:
            operate.preview(skep, op, form)
            return
        done = operate.run(skep, op, current, f"replacing program {program_id}")
        around = program.surroundings(skep, *done.programs)
    output.show(render.loaded(done.programs, around, host.here()), form)
