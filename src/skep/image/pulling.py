"""Taking one image out of a repository, in the process without rights: documents, blobs, and what others say of it.

Sources: OCI distribution-spec 1.1 (referrers); cosign's older tags.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from skep import errors
from skep.image import bytecode, channel, manifest, staging
from skep.image.manifest import Descriptor, Index, Manifest, Platform
from skep.image.reference import Digest, Tag, fallback_tag
from skep.image.source import MOST_BLOB, Document, Repository, check_size

MOST_EVIDENCE: Final = 64
"""Signatures, attestations and the like that are fetched with one image."""
MOST_EVIDENCE_BLOB: Final = 8 << 20
OLDER: Final = (".sig", ".att", ".sbom")
"""What cosign's older tags end in."""
_SAY_EVERY: Final = 0.1  # seconds between two messages of progress


@dataclass(slots=True)
class _Progress:
    """Bytes so far, told now and then."""

    ours: socket.socket
    total: int
    done: int = 0
    told: float = 0.0

    def watched(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces, counted."""
        for piece in pieces:
            self.done += len(piece)
            now = time.monotonic()
            if now - self.told >= _SAY_EVERY:
                self.tell(now)
            yield piece

    def tell(self, now: float) -> None:
        """One message."""
        self.told = now
        channel.send(self.ours, {"progress": {"done": self.done, "total": self.total}})


class Pull:
    """One image out of one repository into the staging directory."""

    def __init__(self, ours: socket.socket, directory: int, repository: Repository, head: dict[str, Any]) -> None:
        self._ours = ours
        self._directory = directory
        self._repository = repository
        self._platform = Platform(**head["platform"])
        self._byteorder: str = head["byteorder"]
        self._evidence: bool = head["evidence"]

    def run(self, which: Tag | Digest) -> None:
        """Documents, then, when the daemon says which of them it lacks, blobs; then what is said about the image."""
        documents = resolve(self._repository, which, self._platform, self._byteorder)
        image = documents[-1].parse()
        assert isinstance(image, Manifest)
        blobs = {each.digest: each for each in (image.config, *bytecode.layers(image))}
        for each in blobs.values():
            check_size(each, manifest.MOST_BYTES if each is image.config else MOST_BLOB)
        for one in documents:
            self._keep(one)
        channel.send(
            self._ours,
            {
                "resolved": {
                    "chain": [manifest.pack_descriptor(one.descriptor()) for one in documents],
                    "blobs": [manifest.pack_descriptor(each) for each in blobs.values()],
                }
            },
        )
        answer = channel.receive(self._ours)
        if answer is None:
            return
        lacking = [each for each in blobs.values() if each.digest in answer[0]["fetch"]]
        progress = _Progress(self._ours, sum(each.size for each in lacking))
        for each in lacking:
            staging.write(self._directory, each.digest, progress.watched(self._repository.blob(each)))
        progress.tell(time.monotonic())
        evidence = _Evidence(self._repository, self._directory)
        if self._evidence:
            for one in documents:
                evidence.gather(one.digest)
        channel.send(self._ours, {"done": {"evidence": evidence.found, "missed": evidence.missed}})

    def _keep(self, one: Document) -> None:
        staging.write(self._directory, one.digest, [one.data])


def resolve(repository: Repository, which: Tag | Digest, platform: Platform, byteorder: str) -> list[Document]:
    """The documents from the top down to the manifest for a host, which is the last."""
    documents = [repository.manifest(which)]
    while isinstance(found := documents[-1].parse(), Index):
        if len(documents) > manifest.DEEPEST:
            raise manifest.bad(f"its indexes are nested more than {manifest.DEEPEST} deep")
        chosen = bytecode.choose(found, platform, byteorder)
        check_size(chosen, manifest.MOST_BYTES)
        following = repository.manifest(chosen.digest)
        check_choice(chosen, following)
        documents.append(following)
    return documents


def check_choice(chosen: Descriptor, following: Document) -> None:
    """BadObject unless an index's entry and the document that it leads to agree."""
    if chosen.media_type not in manifest.INDEXES | manifest.MANIFESTS:
        raise manifest.bad(f"its index leads to something of type {chosen.media_type}")
    if following.digest != chosen.digest or len(following.data) != chosen.size:
        raise manifest.bad(f"{chosen.digest} is not the document of {chosen.size} bytes that its index tells of")
    if following.media_type != chosen.media_type:
        raise manifest.bad(f"{chosen.digest} is {following.media_type}, and its index says {chosen.media_type}")


class _Evidence:
    """What others say about an image: by the referrers API, its fallback tag, and cosign's older tags.

    None of it is needed to load the image; what cannot be had is noted, for whoever wants it later.
    """

    def __init__(self, repository: Repository, directory: int) -> None:
        self._repository = repository
        self._directory = directory
        self.found: list[dict[str, Any]] = []
        """``document``: its descriptor; ``tag``: where it stood, or ""; ``blobs``: what was fetched of it."""
        self.missed: list[str] = []
        self._seen: set[Digest] = set()

    def gather(self, digest: Digest) -> None:
        """All about one digest."""
        with _Noted(self.missed):
            for each in self._repository.referrers(digest):
                with _Noted(self.missed):
                    self._take(self._repository.manifest(each.digest), "")
        for suffix in OLDER:
            tag = fallback_tag(digest, suffix)
            with _Noted(self.missed):
                try:
                    one = self._repository.manifest(tag)
                except errors.NotFound:
                    continue
                self._take(one, tag)

    def _take(self, one: Document, tag: str) -> None:
        if one.digest in self._seen:
            return
        if len(self._seen) >= MOST_EVIDENCE:
            raise errors.Exhausted(
                "too much is said about the image", why=f"{MOST_EVIDENCE} are read", do="remove old signatures"
            )
        self._seen.add(one.digest)
        found = one.parse()
        blobs: list[Descriptor] = []
        if isinstance(found, Manifest):
            for each in (found.config, *found.layers):
                check_size(each, MOST_EVIDENCE_BLOB)
                staging.write(self._directory, each.digest, self._repository.blob(each))
                blobs.append(each)
        staging.write(self._directory, one.digest, [one.data])
        self.found.append(
            {
                "document": manifest.pack_descriptor(one.descriptor()),
                "tag": tag,
                "blobs": [manifest.pack_descriptor(each) for each in blobs],
            }
        )


class _Noted:
    """Turns an error about evidence into a note; a full disk stays an error."""

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        if isinstance(error, errors.SkepError) and not error.errno:
            self._notes.append(str(error)[:300])
            return True
        return False
