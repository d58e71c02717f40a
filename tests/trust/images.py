"""Small images in a registry, and skep's two sides of a signature, as the tests want them."""

from __future__ import annotations

import itertools
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from skep.image import bytecode, manifest
from skep.image.access import Access
from skep.image.layout import Writable
from skep.image.manifest import Descriptor, Manifest
from skep.image.reference import Digest, Tag, digest_of
from skep.image.reference import parse as parse_reference
from skep.image.registry import Registry
from skep.image.signatures import collect
from skep.image.source import read_blob
from skep.trust.judge import judge
from skep.trust.root import read_root
from skep.trust.verdict import Seen, Verdict
from skep.trust.wanted import Identity, KeyFile, LogUse, Pattern, Wanted
from tests.images import LABELS
from tests.images import layer as layer_of

_NUMBERS = itertools.count()
NOW = datetime.now(UTC)


class Image:
    """One image of its own in the registry at ``registry`` ("127.0.0.1:5000")."""

    def __init__(self, registry: str, object: bytes | None = None, name: str = "") -> None:
        """``object``: one that the kernel loads; without it nobody looks inside."""
        self.name = f"{registry}/{name or f'tests/image{next(_NUMBERS)}'}"
        self.repository = Registry(parse_reference(self.name), Access())
        architecture = bytecode.host_platform(os.uname().machine, sys.byteorder).architecture
        said = {"architecture": architecture, "os": "linux", "config": {"Labels": LABELS | {"test": self.name}}}
        config = self._put(json.dumps(said).encode(), manifest.OCI_CONFIG)
        layer = self._put(layer_of(object), manifest.OCI_LAYER_GZIP)
        whole = Manifest(media_type=manifest.OCI_MANIFEST, config=config, layers=(layer,))
        self.digest: Digest = self.repository.put_manifest(manifest.pack(whole), whole.media_type, Tag("v1"))

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}"

    def _put(self, data: bytes, media_type: str) -> Descriptor:
        one = Descriptor(media_type=media_type, digest=digest_of(data), size=len(data))
        self.repository.upload_blob(one, data)
        return one

    def copy(self, directory: Path) -> None:
        """Into an OCI layout, with all that is said about it, as `oras copy --recursive` does."""
        layout = Writable(directory)
        whole = self.repository.manifest(self.digest)
        referring = [self.repository.manifest(each.digest) for each in self.repository.referrers(self.digest)]
        tags: dict[Digest, Tag] = {self.digest: Tag("v1")}
        documents = [whole, *referring]
        for tag in self.repository.tags():
            if tag.endswith((".sig", ".att")):
                documents.append(self.repository.manifest(tag))
                tags[documents[-1].digest] = tag
        for document in documents:
            found = document.parse()
            assert isinstance(found, Manifest)
            for one in (found.config, *found.layers):
                layout.upload_blob(one, read_blob(self.repository, one))
            layout.put_manifest(document.data, document.media_type, tags.get(document.digest))

    def judge(self, wanted: Wanted, root: Path | None = None, now: datetime | None = None) -> Verdict:
        trusted = None if root is None else read_root(root.read_bytes(), root.name)
        return judge(str(self), collect(self.repository, (self.digest,)), wanted, trusted, now or datetime.now(UTC))

    def verify(self, wanted: Wanted, root: Path | None = None, now: datetime | None = None) -> Seen:
        return self.judge(wanted, root, now).require()


def by_key(path: Path, log: LogUse | None = None) -> Wanted:
    return Wanted(keys=(KeyFile(name=path.name, pem=path.read_bytes()),), log=log)


def by_identity(subject: str, issuer: str, log: LogUse | None = None) -> Wanted:
    return Wanted(identities=(Identity(subject=Pattern(text=subject), issuer=Pattern(text=issuer)),), log=log)
