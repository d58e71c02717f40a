"""Judging what was fetched before it enters the cache: every digest, every relation, and that there is an object in it.

Refused, an image leaves nothing behind.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Final

from skep import errors
from skep.image import bytecode, fetcher, manifest, pulling, staging
from skep.image.bytecode import Labels
from skep.image.cache import Cache
from skep.image.fetcher import Evidence, Fetched
from skep.image.layout import Layout
from skep.image.local import Place
from skep.image.manifest import Descriptor, Index, Manifest, Platform
from skep.image.record import Record
from skep.image.reference import Digest, Reference, Tag, fallback_tag
from skep.image.source import MOST_BLOB, Document, check_size, read_blob

MOST_IMAGE: Final = 64 << 20
"""Bytes of one image's blobs; they are held in memory while they are judged."""

Blob = Callable[[Descriptor], bytes]
"""Reads a blob, whose digest is checked on the way."""


class Admission:
    """Admits images for a host of ``platform`` at the time ``now``."""

    def __init__(self, cache: Cache, platform: Platform, now: float) -> None:
        self._cache = cache
        self._platform = platform
        self._now = now

    def fetched(self, directory: int, wanted: Reference | Place, one: Fetched) -> Record:
        """What a process without rights has put into the staging ``directory``, as if it were an enemy's."""

        def read(each: Descriptor) -> bytes:
            try:
                return self._cache.read(each)
            except errors.Broken:
                return staging.read(directory, each)

        chain = one.resolved.chain
        documents = [Document(data=read(each), media_type=each.media_type, digest=each.digest) for each in chain]
        if isinstance(wanted, Reference) and wanted.digest not in (None, chain[0].digest):
            raise manifest.bad(f"it is {chain[0].digest}, and {wanted.digest} was asked for")
        for above, below in itertools.pairwise(documents):
            index = above.parse()
            if not isinstance(index, Index):
                raise manifest.bad("a manifest leads to another one")
            pulling.check_choice(bytecode.choose(index, self._platform, sys.byteorder), below)
        return self._admit(documents, read, str(wanted), one.evidence, one.missed)

    def layout(self, inside: Layout, place: Place) -> Record:
        """An image out of a layout that the caller may read."""
        entry = inside.find(place.name or None)
        documents = pulling.resolve(inside, entry.digest, self._platform, sys.byteorder)
        said, missed = _said(inside, [each.digest for each in documents])
        return self._admit(documents, lambda each: read_blob(inside, each), str(place), said, missed)

    def _admit(
        self,
        documents: list[Document],
        read: Blob,
        name: str,
        evidence: tuple[Evidence, ...],
        missed: tuple[str, ...],
    ) -> Record:
        image = documents[-1].parse()
        if not isinstance(image, Manifest):
            raise manifest.bad("it ends in an index")
        wanted = {each.digest: each for each in (image.config, *bytecode.layers(image))}
        if sum(each.size for each in wanted.values()) > MOST_IMAGE:
            raise errors.Exhausted(
                "the image is too large", why=f"it may have {MOST_IMAGE} bytes", do="leave out what is no bytecode"
            )
        blobs = {digest: read(each) for digest, each in wanted.items()}
        config = bytecode.read_config(image, blobs[image.config.digest])
        bytecode.labels(image, config)
        if len(documents) == 1:
            bytecode.check_platform(config, self._platform, sys.byteorder)
        object_of(image, lambda each: blobs[each.digest])
        said = _sound(evidence, frozenset(each.digest for each in documents))
        one = Record(
            chain=tuple(each.descriptor() for each in documents),
            blobs=tuple(wanted.values()),
            evidence=said,
            missed=missed,
            platform=None if len(documents) == 1 else self._chosen(documents[-2], documents[-1].digest),
            pulled_at=self._now,
            used_at=self._now,
        )
        with self._cache.changing():
            try:
                for document in documents:
                    self._cache.admit(document.descriptor(), document.data)
                for blob in wanted.values():
                    self._cache.admit(blob, blobs[blob.digest])
                for told in said:
                    for each in (told.document, *told.blobs):
                        self._cache.admit(each, read(each))
                self._cache.remember(one, name)
            except BaseException:
                self._cache.remove(())  # what was admitted already is no image's
                raise
        return one

    def _chosen(self, above: Document, digest: Digest) -> Platform | None:
        index = above.parse()
        assert isinstance(index, Index)
        return next((each.platform for each in index.manifests if each.digest == digest), None)


def object_of(image: Manifest, read: Blob) -> bytes:
    """The object in an image, unpacked by a process without rights."""
    said = bytecode.labels(image, bytecode.read_config(image, read(image.config)))
    layers = bytecode.layers(image)
    for each in layers:
        check_size(each, MOST_BLOB)
    return fetcher.unpack([read(each) for each in layers], said.filename)


def labels_of(one: Record, read: Blob) -> Labels:
    """What an image in the cache says about itself."""
    found = manifest.parse(read(one.chain[-1]), one.chain[-1].media_type)
    if not isinstance(found, Manifest):
        raise manifest.bad("it ends in an index")
    return bytecode.labels(found, bytecode.read_config(found, read(found.config)))


def _said(inside: Layout, digests: list[Digest]) -> tuple[tuple[Evidence, ...], tuple[str, ...]]:
    """What a layout says about an image: signatures, attestations. What cannot be read is noted."""
    found: dict[Digest, Evidence] = {}
    missed = []
    for digest in digests:
        tags = [fallback_tag(digest, suffix) for suffix in pulling.OLDER]
        places: list[Tag | Digest] = [*(each.digest for each in inside.referrers(digest)), *tags]
        for which in places:
            try:
                one = inside.manifest(which)
                whole = one.parse()
                blobs = (whole.config, *whole.layers) if isinstance(whole, Manifest) else ()
                for each in blobs:
                    read_blob(inside, each, pulling.MOST_EVIDENCE_BLOB)
            except errors.NotFound:
                continue
            except errors.InvalidRequest as broken:
                missed.append(str(broken)[:300])
                continue
            found.setdefault(
                one.digest, Evidence(document=one.descriptor(), tag=which if which in tags else "", blobs=blobs)
            )
    return tuple(found.values()), tuple(missed)


def _sound(evidence: tuple[Evidence, ...], about: frozenset[Digest]) -> tuple[Evidence, ...]:
    """Evidence under a tag must be under one that is about this image; whom it names as subject is judged later."""
    tags = {fallback_tag(digest, suffix) for digest in about for suffix in pulling.OLDER}
    if len(evidence) > pulling.MOST_EVIDENCE:
        raise manifest.bad(f"{len(evidence)} documents are said to be about it")
    for each in evidence:
        if each.tag and each.tag not in tags:
            raise manifest.bad(f"{each.tag[:100]!r} is not a tag about it")
    return evidence
