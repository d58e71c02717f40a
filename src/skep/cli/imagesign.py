"""``skep image sign`` and ``skep image trusted-root``."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

import click

from skep import errors
from skep.cli import lazy, output, session

PASSWORD_VARIABLES = ("SKEP_KEY_PASSWORD", "COSIGN_PASSWORD")
TOKEN_VARIABLE = "SIGSTORE_ID_TOKEN"
MOST_KEY = 1 << 16
MOST_ROOT = 4 << 20


@click.command(
    "sign",
    cls=lazy.Command,
    help="""Sign an image with a private key, or for an identity, and put the signature beside it.

    IMAGE is a registry's, or oci:PATH[:NAME]; what is signed is the digest that it has now.

    With --key, FILE is a key of `cosign generate-key-pair`, or PEM of openssl. Its password is read from
    --password-file, SKEP_KEY_PASSWORD or COSIGN_PASSWORD, or asked for on a terminal. The form `bundle` is what
    cosign 3 reads first, `tag` is for older verifiers.

    Without a key, an identity token (OpenID Connect, for the audience `sigstore`) says who signs. It is read from
    --identity-token-file or SIGSTORE_ID_TOKEN. The signing config says where: Fulcio, which issues a certificate for a
    key that is thrown away, a timestamp authority, and Rekor, whose log keeps the identity for ever and shows it to
    whoever may read it. Nothing is put beside the image before skep has verified it against the trusted root.
    """,
    examples="""
        skep image sign registry.example/bpf/xdp_pass:v1 --key release.key
        skep image sign oci:./xdp_pass --key release.key --form both --password-file password
        skep image sign registry.example/bpf/xdp_pass:v1 --identity-token-file token \\
            --signing-config signing_config.json --trusted-root trusted_root.json
    """,
)
@click.argument("image", metavar="IMAGE")
@click.option("--key", "key", default=None, metavar="FILE", help="Private key.")
@click.option("--password-file", default=None, metavar="FILE", help="File whose first line is the key's password.")
@click.option("--identity-token-file", "token", default=None, metavar="FILE", help="Identity token, instead of a key.")
@click.option("--signing-config", "config", default=None, metavar="FILE", help="Where to sign for an identity.")
@click.option("--trusted-root", "root", default=None, metavar="FILE", help="Whom to believe, as trusted_root.json.")
@click.option("--form", "kind", type=click.Choice(["bundle", "tag", "both"]), default="bundle", show_default=True)
@click.pass_obj
def sign(
    current: session.Session,
    /,
    image: str,
    key: str | None,
    password_file: str | None,
    token: str | None,
    config: str | None,
    root: str | None,
    kind: str,
) -> None:
    """Sign an image."""
    if key is not None:
        if token is not None or config is not None:
            raise errors.InvalidRequest(
                "both a key and an identity are named", why="either signs", do="leave one of them out"
            )
        _by_key(current, image, key, password_file, kind)
        return
    if kind != "bundle":
        raise errors.InvalidRequest(
            f"an identity does not sign in the form {kind!r}",
            why="the log's proof and the timestamp have their place in a bundle",
            do="leave --form out, or sign with --key FILE",
        )
    _by_identity(current, image, _token(token), config, root)


def _by_key(current: session.Session, image: str, key: str, password_file: str | None, kind: str) -> None:
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


def _by_identity(current: session.Session, image: str, token: str, config: str | None, root: str | None) -> None:
    from skep.cli.imageverify import local_url
    from skep.image import ceremony, keyless, place, registries, signing

    if config is None or root is None:
        raise errors.InvalidRequest(
            f"no {'signing config' if config is None else 'trusted root'} is named",
            why="an identity is signed for where a Fulcio, a Rekor and a timestamp authority are",
            do="name them: --signing-config FILE --trusted-root FILE; `skep image trusted-root` fetches both of "
            "Sigstore's public instance",
        )
    config_file = ceremony.File(path=config, data=_file(config, MOST_ROOT))
    root_file = ceremony.File(path=root, data=_file(root, MOST_ROOT))
    where, name, digest = place.writable(local_url(image), registries.of(current.settings), os.environ)
    signed = keyless.sign(token, digest, config_file, root_file)
    signing.attach_bundle(where, digest, signed.bundle, datetime.now(UTC))
    print(f"signed {name}@{digest}: {signed.seen}")


@click.command(
    "trusted-root",
    cls=lazy.Command,
    help="""Fetch the trusted root of Sigstore's public instance, for hosts that have no network: copy the file there
    and name it in the trust policy. With --signing-config also where that instance signs, for `skep image sign`.
    """,
    examples="""
        skep image trusted-root --out trusted_root.json
        skep image trusted-root --out trusted_root.json --signing-config signing_config.json
    """,
)
@click.option("--out", default="-", show_default=True, metavar="FILE", help="Where to write it.")
@click.option("--signing-config", "config", default=None, metavar="FILE", help="Where to write the signing config.")
@click.option("--offline", is_flag=True, help="As it was fetched last.")
def trusted_root(out: str, config: str | None, offline: bool) -> None:
    """Write the public root."""
    from skep.image import publicroot

    public = publicroot.fetch(offline=offline)
    if config is not None:
        _write(config, public.signing_config)
    if out == "-":
        sys.stdout.write(public.root.decode() + "\n")
    else:
        _write(out, public.root)


def _write(path: str, data: bytes) -> None:
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise errors.InvalidRequest(
            f"{path} cannot be written", why=error.strerror or "", do="name another file"
        ) from error
    output.note(f"wrote {path}")


def _token(file: str | None) -> str:
    """Never from the command line, as a password: whoever has it signs as its subject."""
    if file is None and not os.environ.get(TOKEN_VARIABLE):
        raise errors.InvalidRequest(
            "nobody is named who signs",
            why="there is neither a key nor an identity token",
            do=f"use --key FILE or --identity-token-file FILE, or set {TOKEN_VARIABLE}",
        )
    token = os.environ[TOKEN_VARIABLE] if file is None else _file(file).decode("ascii", "replace")
    if not token.strip():
        raise errors.InvalidRequest(f"there is no token in {file}", why="it is empty", do="put an identity token there")
    return token.strip()


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


def _file(path: str, most: int = MOST_KEY) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except OSError as error:
        raise errors.InvalidRequest(
            f"{path} cannot be read", why=error.strerror or "", do="check the path and its mode"
        ) from error
