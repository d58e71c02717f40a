"""``skep image``: the images in the cache. Loading from one is in ``load``."""

from __future__ import annotations

import click

from skep import errors, model
from skep.cli import lazy, option, output, pulling, session
from skep.cli.render import image as render
from skep.cli.render import trust as trusted

IMAGE = lazy.Group(
    name="image",
    entries=(
        lazy.Entry(name="pull", target="image:pull", help="Fetch an image into the cache."),
        lazy.Entry(name="build", target="making:build", help="Build an image of object files and push it."),
        lazy.Entry(name="push", target="making:push", help="Copy an image from one place to another."),
        lazy.Entry(
            name="generate-build-args", target="making:arguments", help="Print build arguments for a Containerfile."
        ),
        lazy.Entry(name="list", target="image:list_", help="List the images in the cache."),
        lazy.Entry(name="inspect", target="image:inspect", help="Show one image of the cache."),
        lazy.Entry(name="verify", target="imageverify:verify", help="Say who signed an image, or refuse it."),
        lazy.Entry(name="sign", target="imagesign:sign", help="Sign an image with a key, or for an identity."),
        lazy.Entry(name="policy", target="imageverify:POLICY", help="Show the trust policy and what it decides."),
        lazy.Entry(name="trusted-root", target="imagesign:trusted_root", help="Fetch Sigstore's public trusted root."),
        lazy.Entry(name="prune", target="image:prune", help="Remove images that no program came from."),
    ),
    help="Fetch, list and remove bytecode images.",
    examples="""
        skep image pull registry.example/bpf/xdp_pass:v1
        skep program load image registry.example/bpf/xdp_pass:v1 --programs xdp:pass
        skep image prune --all
    """,
)


@click.command(
    "pull",
    cls=lazy.Command,
    help="""Fetch an image into the cache, with the user's own login for its registry, if there is one.

    IMAGE is [REGISTRY/]NAME[:TAG][@DIGEST], or oci:PATH[:NAME], oci-archive:PATH[:NAME] or docker-archive:PATH[:NAME].
    """,
    examples="""
        skep image pull registry.example/bpf/xdp_pass:v1
        skep image pull docker-archive:xdp_pass.tar -o json
    """,
)
@click.argument("image", metavar="IMAGE", required=False)
@pulling.url_option
@pulling.policy_option(model.PullPolicy.ALWAYS)
@pulling.auth_option
@output.option
@click.pass_obj
def pull(
    current: session.Session,
    image: str | None,
    image_url: str | None,
    policy: model.PullPolicy,
    registry_auth: str | None,
    form: output.Format,
) -> None:
    """Pull an image and print it."""
    wanted = pulling.request(pulling.chosen(image, image_url), policy, registry_auth)
    with current.open() as skep:
        found = pulling.pull(skep, wanted)
    output.show(render.one(found), form)


@click.command(
    "list",
    cls=lazy.Command,
    help="List the images in the cache, the newest first.",
    examples="skep image list\nskep image list -o wide",
)
@click.option("-q", "--quiet", is_flag=True, help="Print digests only, one per line.")
@output.option
@click.pass_obj
def list_(current: session.Session, quiet: bool, form: output.Format) -> None:
    """Print images."""
    with current.open() as skep:
        found = skep.images.listed()
    output.show(render.listing(found, bare=quiet), output.Format.NAME if quiet else form)


@click.command(
    "inspect",
    cls=lazy.Command,
    help="Show one image of the cache, by its reference or by the first digits of its digest.",
    examples="skep image inspect registry.example/bpf/xdp_pass:v1\nskep image inspect 4b77abdf34a6 -o json",
)
@click.argument("image", metavar="IMAGE")
@output.option
@click.pass_obj
def inspect(current: session.Session, image: str, form: output.Format) -> None:
    """Print an image."""
    from skep.cli.imageverify import local_url

    wanted = local_url(image.removeprefix("image/"))
    with current.open() as skep:
        found = skep.images.one(wanted)
        try:
            trust = trusted.report(*skep.images.check(wanted))
        except errors.SkepError as failed:  # a slip in the policy, a damaged blob: the image is shown all the same
            trust = trusted.Report(lines=(("Trust", f"not known: {failed}"),), document={"error": str(failed)})
    output.show(render.one(found, trust), form)


@click.command(
    "prune",
    cls=lazy.Command,
    help="""Remove images that no program came from and that have no name any more, because it leads to another image
    now; with --all also those with a name. A program's image stays, also over a reboot.
    """,
    examples="skep image prune\nskep image prune --all --older-than 30d\nskep image prune --all --dry-run",
)
@click.option("-a", "--all", "everything", is_flag=True, help="Also images with a name.")
@click.option("--older-than", default="0", metavar="TIME", help="Only what was not used for so long: 90m, 12h, 30d.")
@option.dry_run
@output.option
@click.pass_obj
def prune(current: session.Session, everything: bool, older_than: str, dry_run: bool, form: output.Format) -> None:
    """Remove images."""
    seconds = _seconds(older_than)
    with current.open() as skep:
        removed = skep.images.prune(everything=everything, older_than=seconds, dry_run=dry_run)
    output.show(render.pruned(removed, dry_run=dry_run), form)


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(text: str) -> float:
    number, unit = (text[:-1], _UNITS[text[-1]]) if text[-1:] in _UNITS else (text, 1)
    if not (number.isascii() and number.isdigit()) or len(number) > 9:
        raise errors.InvalidRequest(
            f"{text!r} is not a time", why="it is a number and a unit: s, m, h or d", do="for example --older-than 30d"
        )
    return float(number) * unit
