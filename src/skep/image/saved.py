"""OCI layouts of ``cosign save``: an image with its signatures, for hosts that have no registry to ask.

Its index lists the image and cosign's older signatures, by an annotation and without a name; bundles lie among the
blobs and stand in no list, so that every small blob is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from skep import errors
from skep.image import manifest
from skep.image.layout import NAME, Layout, described, directory_reader
from skep.image.manifest import Descriptor, Manifest
from skep.image.reference import Digest, Tag, is_digest
from skep.image.source import Document, check_digest

KIND: Final = "kind"
_IMAGES: Final = ("dev.cosignproject.cosign/image", "dev.cosignproject.cosign/imageIndex")
_TAGS: Final = {".sig": "dev.cosignproject.cosign/sigs", ".att": "dev.cosignproject.cosign/atts"}
MOST_LOOKED_AT: Final = 4096
_LARGEST: Final = 64 << 10
"""Bytes of a manifest that refers to an image; cosign's have one."""


def is_saved(layout: Layout) -> bool:
    """Whether cosign saved it."""
    return any(each.annotations.get(KIND) in _IMAGES for each in layout.index().manifests)


class Saved(Layout):
    """One saved image; implements ``source.Repository``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        super().__init__(directory_reader(directory), where=str(directory))

    def find(self, tag: str | None) -> Descriptor:
        """The image. Its name is not kept by cosign, so that any is right. NotFound."""
        for each in self.index().manifests:
            if each.annotations.get(KIND) in _IMAGES and (tag is None or not is_digest(tag) or tag == each.digest):
                return each
        raise errors.NotFound(f"{self._directory} has no image {tag}", do="save it again: cosign save --dir DIRECTORY")

    def manifest(self, which: Tag | Digest) -> Document:
        """By digest, or cosign's tag of signatures."""
        kind = next((kind for suffix, kind in _TAGS.items() if which.endswith(suffix)), None)
        if is_digest(which) or kind is None:
            return super().manifest(which)
        for each in self.index().manifests:
            if each.annotations.get(KIND) == kind or each.annotations.get(NAME) == which:
                return super().manifest(each.digest)
        raise errors.NotFound(f"{self._directory} has no {which}", do="sign the image before it is saved")

    def referrers(self, digest: Digest, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """The blobs that are manifests and say that ``digest`` is their subject."""
        found = []
        for document in self._small():
            try:
                one = document.parse()
            except errors.InvalidRequest:
                continue
            if not isinstance(one, Manifest) or one.subject is None or one.subject.digest != digest:
                continue
            if artifact_type is None or one.kind == artifact_type:
                found.append(described(document.descriptor(), one))
        return tuple(found)

    def _small(self) -> Iterator[Document]:
        below = self._directory / "blobs" / "sha256"
        with os.scandir(below) as entries:
            names = sorted(one.name for one in entries if one.stat(follow_symlinks=False).st_size <= _LARGEST)
        for name in names[:MOST_LOOKED_AT]:
            digest = Digest(f"sha256:{name}")
            if not is_digest(digest):
                continue
            data = self._read(f"blobs/sha256/{name}", _LARGEST)
            check_digest(data, digest)
            yield Document(data=data, media_type=manifest.OCI_MANIFEST, digest=digest)
