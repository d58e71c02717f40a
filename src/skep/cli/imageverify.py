"""``skep image verify`` and ``skep image policy``: who signed an image, and what the trust policy says of it.

Both look with the rights and the login of who runs them, and change nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from skep import config, errors
from skep.cli import ground, lazy, output, session
from skep.cli.render import trust as render

if TYPE_CHECKING:
    from skep.image import place


def wanted_options(command: Callable[..., Any]) -> Callable[..., Any]:  # Any: click's decorators
    """cosign's flags that say whose signature counts."""
    for option in reversed(
        (
            click.option("--key", "keys", multiple=True, metavar="FILE", help="Public key in PEM. Repeatable."),
            click.option("--certificate-identity", "subject", metavar="NAME", help="Mail address or URI."),
            click.option("--certificate-identity-regexp", "subject_like", metavar="REGEXP", help="For all of it."),
            click.option("--certificate-oidc-issuer", "issuer", metavar="URL", help="Who vouches for the signer."),
            click.option("--certificate-oidc-issuer-regexp", "issuer_like", metavar="REGEXP", help="For all of that."),
            click.option(
                "--log",
                type=click.Choice(["required", "optional"]),
                default=None,
                help="Must it be in a transparency log?  [default: required of identities, optional for keys]",
            ),
            click.option("--trusted-root", "root", metavar="FILE", help="Whom to believe, as trusted_root.json."),
        )
    ):
        command = option(command)
    return command


@click.command(
    "verify",
    cls=lazy.Command,
    help="""Say who signed an image, or refuse it with the reason.

    IMAGE is a registry's, or oci:PATH[:NAME]. With neither a key nor an identity the trust policy decides. Identities
    are checked against a trusted root: the file of --trusted-root, or that of Sigstore's public instance, which is
    fetched, or with --offline taken as it was fetched last.
    """,
    examples="""
        skep image verify registry.example/bpf/xdp_pass:v1 --key release.pub
        skep image verify registry.example/bpf/xdp_pass:v1 --certificate-identity me@example.org \\
            --certificate-oidc-issuer https://accounts.example.org --trusted-root trusted_root.json
        skep image verify oci:./xdp_pass --key release.pub --offline
    """,
)
@click.argument("image", metavar="IMAGE")
@wanted_options
@click.option("--offline", is_flag=True, help="Ask no network: IMAGE is in files, or already in skep's cache.")
@output.option
@click.pass_obj
def verify(
    current: session.Session, /, image: str, offline: bool, root: str | None, form: output.Format, **who: Any
) -> None:
    """Print who signed an image."""
    from skep.image import judging
    from skep.image.signatures import collect
    from skep.policy.images import Asked, Root

    wanted = render.wanted(who, _read)
    if wanted is None:
        _check(current, image, offline, form)
        return
    trusted = None
    if root is not None:
        trusted = Root(path=root, data=_read(root))
    elif wanted.identities:
        from skep.image import publicroot

        trusted = Root(path="Sigstore's public instance", data=publicroot.fetch(offline=offline).root)
    if offline and _in_cache(image):
        with current.open() as skep:
            one, verdict = skep.images.check(image, Asked(wanted=wanted, root=trusted))
        name, digest = one.image, one.digest
    else:
        found = _find(current, image)
        name, digest = found.name, str(found.digests[0])
        pieces = collect(found.repository, found.digests)
        request = judging.Request(image=str(found), pieces=pieces, wanted=wanted, root=trusted)
        verdict = judging.judge_apart(request, datetime.now(UTC))
    if not form.structured:
        verdict.require()
    output.show(render.verdict(name, digest, verdict), form)
    verdict.require()


POLICY = lazy.Group(
    name="policy",
    entries=(
        lazy.Entry(name="show", target="imageverify:show", help="Show the trust policy."),
        lazy.Entry(name="check", target="imageverify:check", help="Say what the policy decides about an image."),
    ),
    help="Show the trust policy for images and what it decides.",
    examples="skep image policy show\nskep image policy check registry.example/bpf/xdp_pass:v1",
)


@click.command(
    "show",
    cls=lazy.Command,
    help="Show the rules of the trust policy, as they are read from its file.",
    examples="skep image policy show\nskep image policy show -o yaml",
)
@output.option
@click.pass_obj
def show(current: session.Session, form: output.Format) -> None:
    """Print the policy."""
    from skep.image import trustfile
    from skep.image.gate import contents

    output.show(render.policy(trustfile.load(current.settings.trust_policy, contents)), form)


@click.command(
    "check",
    cls=lazy.Command,
    help="""Say what the trust policy decides about an image, by which rule and why, without loading anything.

    What was accepted earlier and is remembered does not count here: signatures are looked at.
    """,
    examples="skep image policy check registry.example/bpf/xdp_pass:v1",
)
@click.argument("image", metavar="IMAGE")
@click.option("--offline", is_flag=True, help="Ask no network: IMAGE is in files, or already in skep's cache.")
@output.option
@click.pass_obj
def check(current: session.Session, image: str, offline: bool, form: output.Format) -> None:
    """Print a decision."""
    _check(current, image, offline, form)


for _command in (verify, show, check):
    _command.params += [ground.setting(row) for row in config.SETTINGS if row.name == "trust_policy"]


def _check(current: session.Session, image: str, offline: bool, form: output.Format) -> None:
    if offline and _in_cache(image):
        with current.open() as skep:
            decision, _ = skep.images.check(image)
    else:
        from skep.capability import manifest
        from skep.image import place
        from skep.image.gate import Forgetful, Gate, contents
        from skep.policy.images import limit

        found = _find(current, image)
        gate = Gate(current.settings.trust_policy, Forgetful(), contents, lambda: datetime.now(UTC).timestamp())
        decision, _ = gate.look(found.name, found.digests, found.repository)
        if decision.rule is not None and decision.rule.denied:
            decision = limit(decision, manifest.read(place.object_of(found)))
    if not form.structured:
        decision.check()
    output.show(render.decision(decision), form)
    decision.check()


def _find(current: session.Session, image: str) -> place.Found:
    """The image at its place, looked at with the rights and the login of who asks."""
    from skep.image import place, registries

    where = local_url(image)
    return place.find(where, registries.of(current.settings), os.environ, os.uname().machine)


def _in_cache(image: str) -> bool:
    from skep.image import local

    return not image.startswith(local.TRANSPORTS)


def local_url(image: str) -> str:
    """An image's name; one in files with its path made absolute."""
    from skep.image import local

    if not image.startswith(local.TRANSPORTS):
        return image
    transport, _, rest = image.partition(":")
    path, colon, name = rest.partition(":")
    return f"{transport}:{os.path.abspath(path)}{colon}{name}"


def _read(path: str) -> bytes:
    try:
        from skep.image.gate import contents

        return contents(path)
    except OSError as error:
        raise errors.InvalidRequest(
            f"{path} cannot be read", why=error.strerror or "", do="check the path and its mode"
        ) from error
