"""Makes bytecode images for tests: layers, configurations, manifests and indexes as bytes, good ones and bad ones."""

from __future__ import annotations

import gzip
import io
import json
import struct
import sys
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from skep.image import manifest
from skep.image.manifest import Descriptor, Index, Manifest, Platform
from skep.image.reference import Digest, digest_of

LABELS = {"io.ebpf.programs": '{"count":"xdp"}', "io.ebpf.maps": '{"packets":"array"}'}


def elf(*, machine: int = 247, kind: int = 1, little: bool | None = None, size: int = 256) -> bytes:
    """What begins like an object and is none: enough for whoever looks at its head only."""
    little = sys.byteorder == "little" if little is None else little
    head = struct.pack(("<" if little else ">") + "4sBB10xHH", b"\x7fELF", 2, 1 if little else 2, kind, machine)
    return head.ljust(size, b"\0")


def tar(files: Iterable[tuple[str | tarfile.TarInfo, bytes]]) -> bytes:
    """An archive; a TarInfo goes in as it is."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            if isinstance(name, str):
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def layer(data: bytes | None = None, name: str = "count.o") -> bytes:
    """A gzipped layer with one file."""
    return gzip.compress(tar([(name, elf() if data is None else data)]), mtime=0)


def special(name: str, kind: bytes, **fields: Any) -> tarfile.TarInfo:
    """A member that is no regular file."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for field_, value in fields.items():
        setattr(info, field_, value)
    return info


@dataclass
class Store:
    """Blobs and documents of images that belong together; ``tags`` lead to documents."""

    blobs: dict[Digest, bytes] = field(default_factory=dict)
    types: dict[Digest, str] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)

    def put(self, data: bytes, media_type: str) -> Descriptor:
        digest = digest_of(data)
        self.blobs[digest] = data
        self.types[digest] = media_type
        return Descriptor(media_type=media_type, digest=digest, size=len(data))

    def image(
        self,
        *layers: bytes,
        labels: Mapping[str, str] = LABELS,
        tag: str = "",
        docker: bool = False,
        architecture: str = "amd64",
        layer_type: str = "",
        artifact_type: str = "",
        annotations: Mapping[str, str] | None = None,
        subject: Descriptor | None = None,
    ) -> Descriptor:
        """One image; without ``layers`` one with a good layer."""
        layers = layers or (layer(),)
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Labels": dict(labels)},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(_unzipped(each)) for each in layers]},
        }
        kind = manifest.DOCKER_MANIFEST if docker else manifest.OCI_MANIFEST
        of_layer = layer_type or (manifest.DOCKER_LAYER_GZIP if docker else manifest.OCI_LAYER_GZIP)
        described = (
            self.put(b"{}", manifest.OCI_EMPTY)
            if artifact_type
            else self.put(json.dumps(config).encode(), manifest.DOCKER_CONFIG if docker else manifest.OCI_CONFIG)
        )
        whole = Manifest(
            media_type=kind,
            config=described,
            layers=tuple(self.put(each, of_layer) for each in layers),
            artifact_type=artifact_type,
            annotations=annotations or {},
            subject=subject,
        )
        return self.document(manifest.pack(whole), kind, tag)

    def index(self, entries: Iterable[tuple[Descriptor, str]], *, tag: str = "", docker: bool = False) -> Descriptor:
        """An index of images, each for "os/architecture" or for "" (no platform)."""
        kind = manifest.DOCKER_LIST if docker else manifest.OCI_INDEX
        whole = Index(media_type=kind, manifests=tuple(_for(one, platform) for one, platform in entries))
        return self.document(manifest.pack(whole), kind, tag)

    def document(self, data: bytes, media_type: str, tag: str = "") -> Descriptor:
        one = self.put(data, media_type)
        if tag:
            self.tags[tag] = one.digest
        return one

    def files(self) -> dict[str, bytes]:
        """All of it as the files of an OCI layout; every tag is an entry of its index."""
        entries = [
            {
                "mediaType": self.types[digest],
                "digest": digest,
                "size": len(self.blobs[digest]),
                "annotations": {"org.opencontainers.image.ref.name": tag},
            }
            for tag, digest in self.tags.items()
        ]
        index = {"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": entries}
        return {
            "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
            "index.json": json.dumps(index).encode(),
            **{f"blobs/{digest.replace(':', '/')}": data for digest, data in self.blobs.items()},
        }


def docker_archive(store: Store, one: Descriptor, *tags: str) -> bytes:
    """What ``docker save`` writes of an image whose layers are plain tar."""
    found = manifest.parse(store.blobs[one.digest])
    assert isinstance(found, Manifest)
    layers = [f"{each.digest[7:]}/layer.tar" for each in found.layers]
    listed = [{"Config": f"{found.config.digest[7:]}.json", "RepoTags": list(tags), "Layers": layers}]
    return tar(
        [
            *((name, store.blobs[each.digest]) for name, each in zip(layers, found.layers, strict=True)),
            (listed[0]["Config"], store.blobs[found.config.digest]),  # type: ignore[list-item]
            ("manifest.json", json.dumps(listed).encode()),
        ]
    )


def _unzipped(data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError):  # it is none, on purpose or not
        return data


def _for(one: Descriptor, platform: str) -> Descriptor:
    os, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    return Descriptor(
        media_type=one.media_type,
        digest=one.digest,
        size=one.size,
        platform=Platform(os=os, architecture=architecture, variant=variant) if platform else None,
    )
