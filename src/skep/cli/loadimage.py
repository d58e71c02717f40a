"""``skep program load image``: programs out of a bytecode image, which skep fetches."""

from __future__ import annotations

import click

from skep import errors, hooks, model
from skep.cli import lazy, load, option, output, pulling, session, value


@click.command(
    "image",
    cls=lazy.Command,
    help="""Load programs out of a bytecode image; all of them or none. They share one set of maps.

    IMAGE is [REGISTRY/]NAME[:TAG][@DIGEST], or files: oci:PATH[:NAME], oci-archive:PATH[:NAME] or
    docker-archive:PATH[:NAME]. Without --programs all that the image's labels name are loaded. A login for the registry
    is looked for where docker and podman keep the user's, then where the daemon has its own.
    """,
    examples="""
        skep program load image registry.example/bpf/xdp_pass:v1 --programs xdp:pass
        skep program load image registry.example/bpf/xdp_pass:v1 -p Always -a firewall
        skep program load image oci:./layout:v1
        skep program load image docker-archive:xdp_pass.tar --programs xdp:pass
    """,
)
@click.argument("image", metavar="IMAGE", required=False)
@pulling.url_option
@click.option("--programs", multiple=True, metavar="TYPE:NAME[:FUNCTION],…", help="Programs to load; may be repeated.")
@pulling.policy_option(model.PullPolicy.IF_NOT_PRESENT)
@pulling.auth_option
@option.application
@option.metadata
@option.global_data
@option.map_owner
@option.dry_run
@option.verifier_log
@output.option
@click.pass_obj
def image(
    current: session.Session,
    image: str | None,
    image_url: str | None,
    programs: tuple[str, ...],
    policy: model.PullPolicy,
    registry_auth: str | None,
    application: str | None,
    metadata: tuple[str, ...],
    global_data: tuple[str, ...],
    map_owner_id: int | None,
    dry_run: bool,
    form: output.Format,
) -> None:
    """Pull, load and print."""
    url = pulling.chosen(image, image_url)
    specs = value.programs(programs) if programs else ()
    labels = load.labels(metadata, application)
    data = value.global_data(global_data)
    wanted = pulling.request(url, policy, registry_auth)
    with current.open() as skep:
        found = pulling.pull(skep, wanted)
        op = model.Load(
            object=b"",
            source=model.ImageSource(url=wanted.url, pull_policy=policy, digest=found.digest),
            programs=specs or named(found, url),
            metadata=labels,
            global_data=data,
            map_owner=None if map_owner_id is None else model.ProgramId(map_owner_id),
        )
        load.load(skep, op, current, url, dry_run=dry_run, form=form)


def named(found: model.Image, url: str) -> tuple[model.ProgramSpec, ...]:
    """The programs that an image's labels name; a type that skep does not know is taken from the ELF section."""
    if not found.programs:
        raise errors.InvalidRequest(
            f"{url} does not say which programs it holds",
            why="its labels name none" if found.labelled else "it has no io.ebpf labels",
            do="name them: --programs TYPE:NAME; and build the image with its labels",
        )
    known = set(hooks.declarable())
    return tuple(
        model.ProgramSpec(name=name, hook=model.HookName(kind) if kind in known else None)
        for name, kind in sorted(found.programs.items())
    )
