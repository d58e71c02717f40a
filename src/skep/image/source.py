"""What a place that holds images can do: a registry over HTTP, an OCI layout, an archive of ``docker save``, our cache.

Whoever reads from one gets bytes that have the digest asked for, never others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from skep import errors
from skep.image import manifest
from skep.image.manifest import Descriptor, Index, Manifest
from skep.image.reference import Digest, Tag, algorithm_of

MOST_BLOB: Final = 32 << 20
"""Bytes of one layer as it is stored; an object may have 16 MiB, so this leaves room for one that was not packed."""
MOST_REFERRERS: Final = 256
"""What refers to one image: signatures, attestations, SBOMs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """An index or a manifest as its bytes, whose digest was checked. ``media_type`` "" when nobody told it."""

    data: bytes
    media_type: str
    digest: Digest

    def parse(self) -> Index | Manifest:
        """The value. BadObject."""
        return manifest.parse(self.data, self.media_type)

    def descriptor(self) -> Descriptor:
        """What points at it."""
        media_type = self.media_type or self.parse().media_type
        return Descriptor(media_type=media_type, digest=self.digest, size=len(self.data))


class Repository(Protocol):
    """One image's name in one place: documents by tag or digest, blobs by digest.

    NotFound: no such thing. Denied: not for this caller. Unavailable: the place does not answer as it should.
    BadObject: what came has another digest or size, or makes no sense.
    """

    def manifest(self, which: Tag | Digest) -> Document:
        """An index or manifest, of at most ``manifest.MOST_BYTES``."""
        ...

    def blob(self, one: Descriptor) -> Iterator[bytes]:
        """A blob in pieces. Only when the iterator has ended without an error were size and digest right."""
        ...

    def referrers(self, digest: Digest, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """What says that ``digest`` is its subject, by the referrers API or the fallback tag; () when there is none."""
        ...

    def tags(self) -> tuple[Tag, ...]:
        """The tags, sorted."""
        ...


class Destination(Repository, Protocol):
    """A place to push to."""

    def upload_blob(self, one: Descriptor, data: bytes) -> None:
        """Put a blob there; nothing happens when it is there already."""
        ...

    def put_manifest(self, data: bytes, media_type: str, tag: Tag | None = None) -> Digest:
        """Put an index or manifest there, by its digest or under a tag; its digest. Its blobs are there already."""
        ...


def read_blob(repository: Repository, one: Descriptor, most: int = MOST_BLOB) -> bytes:
    """A whole blob of at most ``most`` bytes. Exhausted before anything is fetched when it is said to be larger."""
    check_size(one, most)
    return b"".join(repository.blob(one))


def check_size(one: Descriptor, most: int) -> None:
    """Exhausted when a blob is larger than ``most`` bytes."""
    if one.size > most:
        raise errors.Exhausted(
            f"a part of the image is too large: {one.size} bytes",
            why=f"{one.digest} may have {most}",
            do="strip the object before the image is built: llvm-strip -g FILE",
        )


def verified(pieces: Iterable[bytes], one: Descriptor) -> Iterator[bytes]:
    """The pieces as they come; BadObject at the first byte too many, and at the end unless size and digest fit."""
    hashed = hashlib.new(algorithm_of(one.digest))
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > one.size:
            raise _differs(one, f"it has more than the {one.size} bytes that it should have")
        hashed.update(piece)
        yield piece
    if size != one.size:
        raise _differs(one, f"it has {size} bytes and should have {one.size}")
    if hashed.hexdigest() != one.digest.partition(":")[2]:
        raise _differs(one, f"its digest is {algorithm_of(one.digest)}:{hashed.hexdigest()}")


def check_digest(data: bytes, wanted: Digest) -> None:
    """BadObject unless ``data`` has this digest."""
    found = hashlib.new(algorithm_of(wanted), data).hexdigest()
    if found != wanted.partition(":")[2]:
        raise errors.BadObject(
            f"what came is not {wanted}",
            why=f"its digest is {algorithm_of(wanted)}:{found}",
            do="pull again; if it happens again, the registry or something before it changes what it delivers",
        )


def _differs(one: Descriptor, why: str) -> errors.BadObject:
    return errors.BadObject(
        f"what came is not {one.digest}",
        why=why,
        do="pull again; if it happens again, the registry or something before it changes what it delivers",
    )
