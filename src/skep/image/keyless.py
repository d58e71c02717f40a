"""Signs without a key to keep: for an identity that a token proves, through sigstore-python.

Fulcio issues a certificate for a key that lives in this process' memory for a second, a timestamp authority says when
it signed, Rekor enters it in a log. What comes back is verified with skep's own checks before anybody gets it.
"""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from skep import errors
from skep.image import ceremony, document
from skep.image.ceremony import File
from skep.image.reference import Digest, is_loopback
from skep.trust import sign as make
from skep.trust.judge import judge
from skep.trust.piece import Piece
from skep.trust.refused import Refused
from skep.trust.root import read_root
from skep.trust.verdict import Seen
from skep.trust.wanted import Identity, LogUse, Pattern, Wanted

_MOST: Final = 1 << 20
_SERVICES: Final = ("caUrls", "rekorTlogUrls", "tsaUrls")
_ANYBODY: Final = Identity(
    subject=Pattern(text=r"(?s:.*)", regular=True), issuer=Pattern(text=r"(?s:.*)", regular=True)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A bundle, and what skep's checks see in it."""

    bundle: bytes
    seen: Seen


def sign(token: str, digest: Digest, config: File, root: File) -> Signed:
    """A bundle about the image with this digest. ``config``: Sigstore's SigningConfig; ``root``: the trusted root.

    Raises InvalidRequest (token, or a file), Denied (Fulcio refuses the token), Unavailable (a service does not answer,
    or what it answers does not count), Unsupported without sigstore-python.
    """
    trusted = read_root(root.data, root.path)
    services = _services(config)
    context = ceremony.context_of(config, root)
    signer = ceremony.certificate(context, ceremony.identity_of(token), services["caUrls"])
    bundle = ceremony.bundle(signer, make.statement(digest))
    piece = Piece(digest=digest, source="the new signature", media_type=make.BUNDLE_V03, data=bundle)
    wanted = Wanted(identities=(_ANYBODY,), log=LogUse.REQUIRED)
    verdict = judge(f"image {digest}", (piece,), wanted, trusted, datetime.now(UTC))
    try:
        seen = verdict.require()
    except Refused as error:
        raise errors.Unavailable(
            "the services of the signing config made a signature that does not count",
            why=error.why,
            do=f"nothing is signed; check that {root.path} is the trusted root of {config.path}",
        ) from error
    return Signed(bundle=bundle, seen=seen)


def _services(config: File) -> dict[str, list[str]]:
    """The addresses in a signing config. The token goes to one of them: without TLS only within this host."""
    do = "name a signing config, as `cosign signing-config create` makes it"
    try:
        top = document.read(config.data, _MOST)
        found = {name: [document.text(each, "url") for each in document.array(top, name)] for name in _SERVICES}
    except (errors.BadObject, AttributeError) as error:
        why = error.why if isinstance(error, errors.BadObject) else "a service is not an object"
        raise errors.InvalidRequest(f"{config.path} is no signing config", why=why, do=do) from error
    for url in (each for urls in found.values() for each in urls):
        if not _is_private(url):
            raise errors.InvalidRequest(
                f"{config.path} names {url or 'a service without an address'}",
                why="the identity token would travel where others can read it: plain HTTP is for loopback",
                do="name addresses that begin with https://",
            )
    return found


def _is_private(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    inward = is_loopback(f"[{host}]" if ":" in host else host)
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and inward))
