"""An image in the cache as a place that holds images: what verifies signatures needs no network.

Implements ``source.Repository``.
"""

from __future__ import annotations

from collections.abc import Iterator

from skep import errors
from skep.image import layout
from skep.image.cache import Cache
from skep.image.manifest import Descriptor, Manifest
from skep.image.record import Record
from skep.image.reference import Digest, Tag, is_digest
from skep.image.source import Document


class Cached:
    """One image with its evidence. Every byte is checked when it is read; Broken when it is not as it was."""

    def __init__(self, cache: Cache, one: Record) -> None:
        self._cache = cache
        self._record = one
        self._documents = {each.digest: each for each in (*one.chain, *(each.document for each in one.evidence))}

    def manifest(self, which: Tag | Digest) -> Document:
        """By digest, or by one of the older tags of signatures."""
        if is_digest(which):
            found = self._documents.get(Digest(which))
        else:
            found = next((each.document for each in self._record.evidence if each.tag == which), None)
        if found is None:
            raise errors.NotFound(
                f"the cache has no {which}",
                why="it was not there when the image was pulled",
                do="pull again with the policy Always",
            )
        return Document(data=self._cache.read(found), media_type=found.media_type, digest=found.digest)

    def blob(self, one: Descriptor) -> Iterator[bytes]:
        """In one piece."""
        yield self._cache.read(one)

    def referrers(self, digest: Digest, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """What was fetched with the image and says that ``digest`` is its subject."""
        found = []
        for each in self._record.evidence:
            one = self.manifest(each.document.digest).parse()
            if not isinstance(one, Manifest) or one.subject is None or one.subject.digest != digest:
                continue
            if artifact_type is None or one.kind == artifact_type:
                found.append(layout.described(each.document, one))
        return tuple(found)

    def tags(self) -> tuple[Tag, ...]:
        """The older tags of signatures."""
        return tuple(sorted({Tag(each.tag) for each in self._record.evidence if each.tag}))
