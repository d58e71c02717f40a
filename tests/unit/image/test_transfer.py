"""An image arrives whole, with its digest and its signatures, and its tag comes last."""

from __future__ import annotations

from pathlib import Path

import pytest

from skep.bytecode.elf import ByteOrder
from skep.image import layout, making, manifest, transfer
from skep.image.manifest import Descriptor, Manifest, Platform
from skep.image.reference import Tag, digest_of, fallback_tag
from skep.image.source import read_blob
from tests import bpf_build


def built(*architectures: str) -> making.Built:
    data = bpf_build.build("count").read_bytes()
    return making.build(
        [
            making.Part(
                platform=Platform(os="linux", architecture=one), order=ByteOrder.LITTLE, name="count.o", data=data
            )
            for one in architectures
        ]
    )


def artifact(subject: Descriptor) -> tuple[tuple[Descriptor, bytes], bytes]:
    """A blob and a manifest that refers to ``subject``."""
    blob = Descriptor(media_type="application/octet-stream", digest=digest_of(b"signed"), size=6)
    whole = Manifest(
        media_type=manifest.OCI_MANIFEST,
        config=blob,
        layers=(blob,),
        artifact_type="application/x-test",
        subject=subject,
    )
    return (blob, b"signed"), manifest.pack(whole)


@pytest.mark.parametrize("architectures", [("amd64",), ("amd64", "arm64")], ids=["one", "two"])
def test_a_pushed_image_can_be_read(tmp_path: Path, architectures: tuple[str, ...]) -> None:
    image = built(*architectures)
    place = layout.Writable(tmp_path / "layout")

    digest = transfer.push(image, place, Tag("v1"))

    assert digest == image.top.digest == place.manifest(Tag("v1")).digest
    for one, data in image.blobs:
        assert read_blob(place, one) == data
    assert place.find(None).digest == digest, "one image, whatever it consists of"


def test_a_copy_has_the_same_digest_and_its_signatures(tmp_path: Path) -> None:
    image = built("amd64", "arm64")
    origin, copy = layout.Writable(tmp_path / "origin"), layout.Writable(tmp_path / "copy")
    transfer.push(image, origin, Tag("v1"))
    (blob, data), whole = artifact(image.top)
    origin.upload_blob(blob, data)
    origin.put_manifest(whole, manifest.OCI_MANIFEST)
    plain = manifest.pack(Manifest(media_type=manifest.OCI_MANIFEST, config=blob, layers=(blob,)))
    origin.put_manifest(plain, manifest.OCI_MANIFEST, fallback_tag(image.top.digest, ".sig"))

    assert transfer.copy(origin, Tag("v1"), copy, Tag("v2")) == image.top.digest

    assert copy.manifest(Tag("v2")).data == origin.manifest(Tag("v1")).data
    assert [one.digest for one in copy.referrers(image.top.digest)] == [digest_of(whole)]
    assert copy.manifest(fallback_tag(image.top.digest, ".sig")).digest == digest_of(plain)


def test_signatures_may_stay_behind(tmp_path: Path) -> None:
    image = built("amd64")
    origin, copy = layout.Writable(tmp_path / "origin"), layout.Writable(tmp_path / "copy")
    transfer.push(image, origin, Tag("v1"))
    (blob, data), whole = artifact(image.top)
    origin.upload_blob(blob, data)
    origin.put_manifest(whole, manifest.OCI_MANIFEST)

    transfer.copy(origin, Tag("v1"), copy, Tag("v1"), signatures=False)

    assert copy.referrers(image.top.digest) == ()


def test_the_tag_comes_last(tmp_path: Path) -> None:
    """Whoever sees the tag can read all that it stands for."""
    image = built("amd64", "arm64")
    seen: list[str] = []

    transfer.push(image, layout.Writable(tmp_path), Tag("v1"), lambda one: seen.append(one.digest))

    assert seen[-1] == image.top.digest
    assert len(seen) == len(image.blobs) + len(image.manifests)
