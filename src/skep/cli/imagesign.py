"""``skep image sign`` and ``skep image trusted-root``."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

import click

from skep import errors
from skep.cli import lazy, output, session

PASSWORD_VARIABLES = ("SKEP_KEY_PASSWORD", "COSIGN_PASSWORD")
MOST_KEY = 1 << 16


@click.command(
    "sign",
    cls=lazy.Command,
    help="""Sign an image with a private key, and put the signature beside it.

    IMAGE is a registry's, or oci:PATH[:NAME]; what is signed is the digest that it has now. FILE is a key of `cosign
    generate-key-pair`, or PEM of openssl. Its password is read from --password-file, SKEP_KEY_PASSWORD or
    COSIGN_PASSWORD, or asked for on a terminal. The form `bundle` is what cosign 3 reads first, `tag` is for older
    verifiers.
    """,
    examples="""
        skep image sign registry.example/bpf/xdp_pass:v1 --key release.key
        skep image sign oci:./xdp_pass --key release.key --form both --password-file password
    """,
)
@click.argument("image", metavar="IMAGE")
@click.option("--key", "key", required=True, metavar="FILE", help="Private key.")
@click.option("--password-file", default=None, metavar="FILE", help="File whose first line is the key's password.")
@click.option("--form", "kind", type=click.Choice(["bundle", "tag", "both"]), default="bundle", show_default=True)
@click.pass_obj
def sign(current: session.Session, image: str, key: str, password_file: str | None, kind: str) -> None:
    """Sign an image."""
    from skep.cli.imageverify import local_url
    from skep.image import place, registries, signing
    from skep.trust.secret import is_encrypted, read_private

    pem = _file(key)
    private = read_private(pem, key, _password(key, password_file) if is_encrypted(pem) else b"")
    where, name, digest = place.writable(local_url(image), registries.of(current.settings), os.environ)
    if kind in ("bundle", "both"):
        signing.push_bundle(where, digest, private, datetime.now(UTC))
    if kind in ("tag", "both"):
        signing.push_tagged(where, name, digest, private)
    print(f"signed {name}@{digest}")


@click.command(
    "trusted-root",
    cls=lazy.Command,
    help="""Fetch the trusted root of Sigstore's public instance, for hosts that have no network: copy the file there
    and name it in the trust policy.
    """,
    examples="skep image trusted-root --out trusted_root.json",
)
@click.option("--out", default="-", show_default=True, metavar="FILE", help="Where to write it.")
@click.option("--offline", is_flag=True, help="As it was fetched last.")
def trusted_root(out: str, offline: bool) -> None:
    """Write the public root."""
    from skep.image import publicroot

    data = publicroot.fetch(offline=offline)
    if out == "-":
        sys.stdout.write(data.decode() + "\n")
        return
    try:
        with open(out, "wb") as file:
            file.write(data)
    except OSError as error:
        raise errors.InvalidRequest(
            f"{out} cannot be written", why=error.strerror or "", do="name another file"
        ) from error
    output.note(f"wrote {out}")


def _password(key: str, file: str | None) -> bytes:
    """Never from the command line: everybody on the host reads that."""
    if file is not None:
        return _file(file).split(b"\n", 1)[0]
    for name in PASSWORD_VARIABLES:
        if name in os.environ:
            return os.fsencode(os.environ[name])
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass(f"Password of {key}: ").encode()
    raise errors.InvalidRequest(
        f"{key} needs a password", why="there is none, and no terminal to ask at",
        do=f"set {PASSWORD_VARIABLES[0]}, or use --password-file FILE",
    )  # fmt: skip


def _file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MOST_KEY)
    except OSError as error:
        raise errors.InvalidRequest(
            f"{path} cannot be read", why=error.strerror or "", do="check the path and its mode"
        ) from error
