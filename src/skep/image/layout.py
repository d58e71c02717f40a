"""OCI image layouts: a directory, or whatever else hands out files by name (a tar archive, a caller's own files).

Source: OCI image-spec 1.1, ``image-layout.md``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from skep import errors
from skep.image import document, manifest
from skep.image.manifest import Descriptor, Index, Manifest
from skep.image.reference import Digest, Tag, algorithm_of, digest_of, hex_of, is_digest
from skep.image.source import MOST_BLOB, Document, check_digest, check_size, verified

Reader = Callable[[str, int], bytes]
"""Reads a file by its name in the layout, of at most so many bytes; raises ``NotFound``."""

INDEX: Final = "index.json"
MARKER: Final = "oci-layout"
MARKER_TEXT: Final = b'{"imageLayoutVersion":"1.0.0"}'
NAME: Final = "org.opencontainers.image.ref.name"
"""The annotation that is an entry's tag."""
_SIGNATURES: Final = re.compile(r"sha256-[0-9a-f]{64}(\.sig|\.att|\.sbom)?\Z")
"""Tags of what is said about an image: cosign's older ones, and the fallback for referrers."""
_SAVED_IMAGE: Final = "dev.cosignproject.cosign/image"
"""What the annotation ``kind`` of an image begins with, in a layout of ``cosign save``."""


class Layout:
    """The images of one layout; implements ``source.Repository``."""

    def __init__(self, read: Reader, *, where: str) -> None:
        """``where`` is for errors: the path as the user wrote it."""
        self._read = read
        self._where = where

    def index(self) -> Index:
        """``index.json``. BadObject, NotFound."""
        found = manifest.parse(self._read(INDEX, manifest.MOST_BYTES), manifest.OCI_INDEX)
        if not isinstance(found, Index):
            raise errors.BadObject(
                f"{self._where} is not an OCI layout", why="its index.json is no index", do="make it again"
            )
        return found

    def find(self, tag: str | None) -> Descriptor:
        """The entry with a tag, or the only one there is when ``tag`` is None. NotFound, InvalidRequest."""
        entries = self.index().manifests
        if tag is None:
            entries = self._images(entries)
            if len({each.digest for each in entries}) == 1:
                return entries[0]
            raise errors.InvalidRequest(
                f"{self._where} holds {len(entries)} images",
                why="none of them was named",
                do=f"add one of these after a colon: {', '.join(_names(entries)) or 'none has a name; add a digest'}",
            )
        for each in entries:
            if tag in (each.annotations.get(NAME), each.digest):
                return each
        raise errors.NotFound(
            f"{self._where} has no image {tag}",
            near=errors.near_misses(tag, _names(entries)),
            do=f"it has {', '.join(_names(entries)) or 'none with a name'}",
        )

    def _images(self, entries: tuple[Descriptor, ...]) -> tuple[Descriptor, ...]:
        """The entries that are images themselves, and not what is said of one: signatures, attestations."""
        if len(entries) < 2:
            return entries
        return tuple(
            each
            for each in entries
            if not _SIGNATURES.match(each.annotations.get(NAME, ""))
            and each.annotations.get("kind", _SAVED_IMAGE).startswith(_SAVED_IMAGE)
            and self._document(each.digest, each.media_type).parse().subject is None
        )

    def manifest(self, which: Tag | Digest) -> Document:
        """By tag or digest."""
        if not is_digest(which):
            entry = self.find(which)
            return self._document(entry.digest, entry.media_type)
        known = {each.digest: each.media_type for each in self.index().manifests}
        return self._document(Digest(which), known.get(Digest(which), ""))

    def blob(self, one: Descriptor) -> Iterator[bytes]:
        """In one piece."""
        check_size(one, MOST_BLOB)
        yield from verified([self._read(blob_path(one.digest), one.size)], one)

    def referrers(self, digest: Digest, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """Entries of the index whose subject is ``digest``."""
        found = []
        for entry in self.index().manifests:
            if entry.media_type not in manifest.MANIFESTS:
                continue
            one = self._document(entry.digest, entry.media_type).parse()
            if one.subject is None or one.subject.digest != digest or not isinstance(one, Manifest):
                continue
            if artifact_type is None or one.kind == artifact_type:
                found.append(described(entry, one))
        return tuple(found)

    def tags(self) -> tuple[Tag, ...]:
        """The names of the index's entries."""
        return tuple(sorted(map(Tag, _names(self.index().manifests))))

    def _document(self, digest: Digest, media_type: str) -> Document:
        data = self._read(blob_path(digest), manifest.MOST_BYTES)
        check_digest(data, digest)
        return Document(data=data, media_type=media_type or manifest.parse(data).media_type, digest=digest)


class Writable(Layout):
    """A layout in a directory of ours, to write into; implements ``source.Destination``. Made when it is not there."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory_reader(directory), where=str(directory))
        self._directory = directory
        if not (directory / MARKER).exists():
            try:
                directory.mkdir(parents=True, exist_ok=True)
                (directory / MARKER).write_bytes(MARKER_TEXT)
            except OSError as error:
                raise _failed(f"cannot write {directory}", error) from error
            self._write_index(())

    def upload_blob(self, one: Descriptor, data: bytes) -> None:
        """Written under another name first: a half-written blob never has its digest's name."""
        check_digest(data, one.digest)
        self._write(blob_path(one.digest), data)

    def put_manifest(self, data: bytes, media_type: str, tag: Tag | None = None) -> Digest:
        """The tag moves when another entry has it. Without a tag, only what refers to another image is an entry of its
        own: the manifests of an index are found through the index."""
        parsed = manifest.parse(data, media_type)
        digest = digest_of(data)
        self._write(blob_path(digest), data)
        if tag is None and parsed.subject is None:
            return digest
        annotations = {} if tag is None else {NAME: str(tag)}
        entry = Descriptor(media_type=media_type, digest=digest, size=len(data), annotations=annotations)
        kept = [
            each
            for each in self.index().manifests
            if (tag is None or each.annotations.get(NAME) != tag)
            and not (each.digest == digest and each.annotations.get(NAME) in (None, tag))
        ]
        self._write_index((*kept, entry))
        return digest

    def _write_index(self, entries: tuple[Descriptor, ...]) -> None:
        self._write(INDEX, manifest.pack(Index(media_type=manifest.OCI_INDEX, manifests=entries)))

    def _write(self, name: str, data: bytes) -> None:
        path = self._directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            fresh.write_bytes(data)
            fresh.replace(path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise _failed(f"cannot write {path}", error) from error


def directory_reader(directory: Path) -> Reader:
    """Reads the files of a directory with this process's own rights."""

    def read(name: str, most: int) -> bytes:
        try:
            with (directory / name).open("rb") as file:
                data = file.read(most + 1)
        except OSError as error:
            raise _failed(f"cannot read {directory / name}", error) from error
        if len(data) > most:
            raise errors.Exhausted(
                f"{directory / name} is too large", why=f"{most} bytes are allowed", do="name an image's layout"
            )
        return data

    return read


def blob_path(digest: Digest) -> str:
    """Where a layout keeps a blob: "blobs/sha256/<hex>"."""
    return f"blobs/{algorithm_of(digest)}/{hex_of(digest)}"


def described(entry: Descriptor, one: Manifest) -> Descriptor:
    """A referrer as the referrers API shows it: with the manifest's own kind and annotations."""
    return Descriptor(
        media_type=entry.media_type,
        digest=entry.digest,
        size=entry.size,
        annotations=one.annotations,
        artifact_type=one.kind,
    )


def is_layout(read: Reader) -> bool:
    """Whether what ``read`` reads has the marker of a layout."""
    try:
        return "imageLayoutVersion" in document.read(read(MARKER, 4096), 4096)
    except errors.SkepError:
        return False


def _names(entries: tuple[Descriptor, ...]) -> list[str]:
    return sorted({each.annotations[NAME] for each in entries if NAME in each.annotations})


def _failed(what: str, error: OSError) -> errors.SkepError:
    why, code = error.strerror or str(error), error.errno or 0
    if isinstance(error, FileNotFoundError):
        return errors.NotFound(what, why=why, errno=code, do="check the path: it must be an OCI layout")
    if isinstance(error, PermissionError):
        return errors.Denied(what, why=why, errno=code, do="make it readable for who asks")
    return errors.Unavailable(what, why=why, errno=code, do="see whether the disk is full or damaged")
