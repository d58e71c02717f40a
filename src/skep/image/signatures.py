"""Collects what was signed about an image from wherever the image is: cosign's tags, and bundles that refer to it.

Nothing is believed here and nothing of it is read: that is for the process that judges (``judging``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from skep import errors
from skep.image.manifest import Manifest
from skep.image.reference import Digest, Tag
from skep.image.source import Repository, read_blob
from skep.trust.evidence import BUNDLE_PREFIX
from skep.trust.piece import Piece
from skep.trust.reading import MOST_BYTES
from skep.trust.tagged import attestation_tag, signature_tag

MOST_SIGNATURES: Final = 64
"""Signatures and attestations of one digest that are looked at, of each kind of place."""

_COSIGN_ARTIFACT: Final = "application/vnd.dev.cosign.artifact."
"""What cosign 2 writes with ``--registry-referrers-mode=oci-1-1``: the layers of its tag, as a referrer."""


def collect(repository: Repository, digests: Iterable[Digest]) -> tuple[Piece, ...]:
    """Everything there is about these digests, bundles first. Raises Unavailable when the place does not answer."""
    return tuple(piece for digest in digests for piece in _about(repository, digest))


def _about(repository: Repository, digest: Digest) -> Iterator[Piece]:
    kinds = (BUNDLE_PREFIX, _COSIGN_ARTIFACT)
    referring = [one for one in repository.referrers(digest) if one.artifact_type.startswith(kinds)]
    for one in referring[:MOST_SIGNATURES]:
        yield from _layers(repository, digest, one.digest, str(one.digest))
    for tag in (signature_tag(digest), attestation_tag(digest)):
        try:
            found = repository.manifest(Tag(tag))
        except errors.NotFound:
            continue
        yield from _layers(repository, digest, found.digest, tag)


def _layers(repository: Repository, image: Digest, which: Digest, source: str) -> Iterator[Piece]:
    """The signatures in one manifest. What is broken is handed on as it is, and is then no signature."""
    try:
        manifest = repository.manifest(which).parse()
    except (errors.BadObject, errors.NotFound):
        manifest = None
    if not isinstance(manifest, Manifest):
        yield Piece(digest=image, source=source, media_type="", data=b"")
        return
    for layer in manifest.layers[:MOST_SIGNATURES]:
        try:
            data = read_blob(repository, layer, MOST_BYTES)
        except (errors.BadObject, errors.NotFound, errors.Exhausted):
            data = b""
        yield Piece(digest=image, source=source, media_type=layer.media_type, data=data, annotations=layer.annotations)
