"""Bring an image from one place to another: blobs first, then what names them, the tag last.

Whoever reads meanwhile sees the old image or the whole new one; a push that is cut leaves blobs without a name, which
registries collect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from skep import errors
from skep.image import manifest, source
from skep.image.making import Built
from skep.image.manifest import Descriptor, Index, Manifest
from skep.image.reference import Digest, Tag, fallback_tag
from skep.image.source import Destination, Document, Repository

Told = Callable[[Descriptor], None]
"""Called before each blob and document that is brought over."""

_COSIGNS = (".sig", ".att", ".sbom")
"""Ends of the tags under which cosign keeps signatures, attestations and SBOMs."""


def push(built: Built, destination: Destination, tag: Tag | None, told: Told = lambda _: None) -> Digest:
    """Put a built image into a place, under a tag when one is given; its digest."""
    for one, data in built.blobs:
        told(one)
        destination.upload_blob(one, data)
    *inner, (top, whole) = built.manifests
    for one, data in inner:
        told(one)
        destination.put_manifest(data, one.media_type)
    told(top)
    return destination.put_manifest(whole, top.media_type, tag)


def copy(
    origin: Repository,
    which: Tag | Digest,
    destination: Destination,
    tag: Tag | None,
    told: Told = lambda _: None,
    *,
    signatures: bool = True,
) -> Digest:
    """Copy an image with all its platforms, unchanged, so that its digest stays; its digest.

    ``signatures``: also what refers to it: signatures and attestations by the referrers API or cosign's tags. Errors
    are those of both places.
    """
    top = origin.manifest(which)
    digests = [top.digest, *_bring(origin, top, destination, tag, told, depth=0)]
    if signatures:
        for digest in digests:
            _bring_referrers(origin, digest, destination, told)
    return top.digest


def _bring(
    origin: Repository, one: Document, destination: Destination, tag: Tag | None, told: Told, *, depth: int
) -> list[Digest]:
    """Bring a document and all that it names; the digests of the manifests that an index names."""
    if depth > manifest.DEEPEST:
        raise manifest.bad(f"indexes lie in each other more than {manifest.DEEPEST} deep")
    inner: list[Digest] = []
    whole = one.parse()
    match whole:
        case Index():
            for each in whole.manifests:
                document = origin.manifest(each.digest)
                inner += [each.digest, *_bring(origin, document, destination, None, told, depth=depth + 1)]
        case Manifest():
            for each in {part.digest: part for part in (whole.config, *whole.layers)}.values():
                told(each)
                destination.upload_blob(each, source.read_blob(origin, each))
        case _:
            assert_never(whole)
    told(one.descriptor())
    destination.put_manifest(one.data, one.media_type or whole.media_type, tag)
    return inner


def _bring_referrers(origin: Repository, digest: Digest, destination: Destination, told: Told) -> None:
    for each in origin.referrers(digest):
        _bring(origin, origin.manifest(each.digest), destination, None, told, depth=0)
    for suffix in _COSIGNS:
        tag = fallback_tag(digest, suffix)
        try:
            found = origin.manifest(tag)
        except errors.NotFound:
            continue
        _bring(origin, found, destination, tag, told, depth=0)
