"""``skep program replace``: new code for a loaded program; its maps, links and identity stay."""

from __future__ import annotations

import dataclasses

import click

from skep import errors, model
from skep.cli import host, lazy, objectfile, operate, option, output, program, pulling, session, value
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
        skep program replace 123 --image registry.example/bpf/xdp_pass:v2
    """,
)
@click.argument("program_id", metavar="PROGRAM", type=option.PROGRAM_ID)
@click.argument("path", metavar="[PATH]", required=False, type=click.Path())
@click.option("--image", default=None, metavar="IMAGE", help="Take the object out of this image, as for load image.")
@pulling.policy_option(model.PullPolicy.IF_NOT_PRESENT)
@pulling.auth_option
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
    path: str | None,
    image: str | None,
    policy: model.PullPolicy,
    registry_auth: str | None,
    name: str | None,
    global_data: tuple[str, ...],
    dry_run: bool,
    form: output.Format,
) -> None:
    """Swap a program's code."""
    if (path is None) == (image is None):
        raise errors.InvalidRequest(
            "nothing to replace it by" if path is None else "a file and an image cannot both replace it",
            why="the new code comes out of one of them",
            do="write PATH, or --image IMAGE",
        )
    data = value.global_data(global_data) if global_data else None
    op = model.ReplaceProgram(
        program=model.ProgramId(program_id),
        object=b"" if path is None else objectfile.read(path),
        source=model.FileSource(path="") if path is None else objectfile.source(path),
        name=name,
        global_data=data,
    )
    with current.open() as skep:
        if image is not None:
            wanted = pulling.request(image, policy, registry_auth)
            found = pulling.pull(skep, wanted)
            source = model.ImageSource(url=wanted.url, pull_policy=policy, digest=found.digest)
            op = dataclasses.replace(op, source=source)
        if dry_run:
            operate.preview(skep, op, form)
            return
        done = operate.run(skep, op, current, f"replacing program {program_id}")
        around = program.surroundings(skep, *done.programs)
    output.show(render.loaded(done.programs, around, host.here()), form)
