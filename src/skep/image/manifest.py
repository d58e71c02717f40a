"""What describes an image: indexes and manifests, from hostile bytes to frozen values. Pure.

Sources: OCI image-spec 1.1 (``manifest.md``, ``image-index.md``), docker's "Image Manifest V2, Schema 2", and
CVE-2021-41190 for documents that are two things at once. Every failure is a ``BadObject``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from skep import errors
from skep.image import document
from skep.image.reference import Digest, is_digest

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY: Final = "application/vnd.oci.empty.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"

INDEXES: Final = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
CONFIGS: Final = frozenset({OCI_CONFIG, DOCKER_CONFIG})
ACCEPTED: Final = (OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST)
"""What to ask a registry for."""

MOST_BYTES: Final = 4 << 20
"""Of one index, manifest or configuration; registries take no larger manifest (OCI distribution-spec 1.1)."""
MOST_MANIFESTS: Final = 512
"""Entries of one index."""
MOST_LAYERS: Final = 128
MOST_ANNOTATIONS: Final = 1024
DEEPEST: Final = 3
"""Indexes inside of indexes."""
_MOST_SIZE: Final = 1 << 62
_MEDIA_TYPE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\Z")
_SCHEMA_1: Final = "application/vnd.docker.distribution.manifest.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What a manifest is for, in Go's words: os "linux", architecture "amd64" or "bpfel"."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """Points at a blob or a document: its digest and its size in bytes, which hold it to what it says."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    artifact_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Manifests to choose from; docker calls it a manifest list."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    subject: Descriptor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One image or artifact: its configuration and its layers."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    subject: Descriptor | None = None

    @property
    def kind(self) -> str:
        """What the artifact is, "" for an ordinary image: ``artifactType``, or else the configuration's type (OCI
        image-spec 1.1, "guidelines for artifact usage")."""
        if self.artifact_type:
            return self.artifact_type
        return "" if self.config.media_type in CONFIGS else self.config.media_type


def parse(data: bytes, media_type: str = "") -> Index | Manifest:
    """The document that ``data`` is. ``media_type``: what came with it from a registry or a descriptor, "" for nothing.

    A document is refused whose own media type is another one, or that is an index and a manifest at once: two readers
    would see two images.
    """
    if media_type.startswith(_SCHEMA_1):
        raise errors.BadObject(
            "the image is in docker's schema 1",
            why="that format has no digests of its parts and nobody makes it any more",
            do="push the image again with a present tool",
        )
    top = document.read(data, MOST_BYTES)
    if top.get("schemaVersion") == 1:
        raise errors.BadObject(
            "the image is in docker's schema 1", why="schemaVersion is 1", do="push the image again with a present tool"
        )
    told = document.text(top, "mediaType")
    if told and media_type and told != media_type:
        raise bad(f"it came as {media_type} and says of itself that it is {told}")
    both = "manifests" in top and ("layers" in top or "config" in top)
    if both:
        raise bad("it is an index and a manifest at once")
    if "manifests" in top:
        return _index(top, told or media_type or OCI_INDEX)
    if "layers" in top or "config" in top:
        return _manifest(top, told or media_type or OCI_MANIFEST)
    raise bad("it has neither manifests nor layers")


def descriptor(fields: object, where: str) -> Descriptor:
    """One descriptor. ``where`` is for the error: "layer 3"."""
    if not isinstance(fields, dict):
        raise bad(f"{where} is not an object")
    media_type = document.text(fields, "mediaType")
    if not _MEDIA_TYPE.match(media_type):
        raise bad(f"{where} has no valid media type")
    digest = fields.get("digest")
    if not isinstance(digest, str) or not is_digest(digest):
        raise bad(f"{where} has no valid digest")
    size = fields.get("size")
    if type(size) is not int or not 0 <= size <= _MOST_SIZE:
        raise bad(f"{where} has no valid size")
    return Descriptor(
        media_type=media_type,
        digest=Digest(digest),
        size=size,
        annotations=_annotations(fields, where),
        platform=_platform(fields.get("platform"), where),
        artifact_type=document.text(fields, "artifactType"),
    )


def pack_descriptor(one: Descriptor) -> dict[str, Any]:  # Any: JSON
    """The JSON object that ``descriptor`` reads."""
    fields: dict[str, Any] = {"mediaType": one.media_type, "digest": one.digest, "size": one.size}
    if one.annotations:
        fields["annotations"] = dict(one.annotations)
    if one.platform is not None:
        fields["platform"] = {"architecture": one.platform.architecture, "os": one.platform.os}
        if one.platform.variant:
            fields["platform"]["variant"] = one.platform.variant
    if one.artifact_type:
        fields["artifactType"] = one.artifact_type
    return fields


def pack(one: Index | Manifest) -> bytes:
    """The document as JSON; the same value gives the same bytes."""
    fields: dict[str, Any] = {"schemaVersion": 2, "mediaType": one.media_type}
    if one.artifact_type:
        fields["artifactType"] = one.artifact_type
    match one:
        case Index():
            fields["manifests"] = [pack_descriptor(each) for each in one.manifests]
        case Manifest():
            fields["config"] = pack_descriptor(one.config)
            fields["layers"] = [pack_descriptor(each) for each in one.layers]
        case _:
            assert_never(one)
    if one.subject is not None:
        fields["subject"] = pack_descriptor(one.subject)
    if one.annotations:
        fields["annotations"] = dict(sorted(one.annotations.items()))
    return document.write(fields)


def bad(why: str) -> errors.BadObject:
    """The error of this module."""
    return errors.BadObject("the image's description cannot be used", why=why, do="build and push the image again")


def _index(top: Mapping[str, Any], media_type: str) -> Index:
    if media_type not in INDEXES:
        raise bad(f"it has manifests, and its media type is {media_type}")
    entries = document.array(top, "manifests")
    if len(entries) > MOST_MANIFESTS:
        raise bad(f"the index has {len(entries)} entries, and {MOST_MANIFESTS} are allowed")
    return Index(
        media_type=media_type,
        manifests=tuple(descriptor(each, f"manifest {at}") for at, each in enumerate(entries)),
        annotations=_annotations(top, "the index"),
        artifact_type=document.text(top, "artifactType"),
        subject=_subject(top),
    )


def _manifest(top: Mapping[str, Any], media_type: str) -> Manifest:
    if media_type not in MANIFESTS:
        raise bad(f"it has layers, and its media type is {media_type}")
    layers = document.array(top, "layers")
    if len(layers) > MOST_LAYERS:
        raise bad(f"the image has {len(layers)} layers, and {MOST_LAYERS} are allowed")
    return Manifest(
        media_type=media_type,
        config=descriptor(top.get("config"), "the configuration"),
        layers=tuple(descriptor(each, f"layer {at}") for at, each in enumerate(layers)),
        annotations=_annotations(top, "the manifest"),
        artifact_type=document.text(top, "artifactType"),
        subject=_subject(top),
    )


def _subject(top: Mapping[str, Any]) -> Descriptor | None:
    return None if top.get("subject") is None else descriptor(top["subject"], "the subject")


def _annotations(fields: Mapping[str, Any], where: str) -> Mapping[str, str]:
    found = document.strings(fields, "annotations")
    if len(found) > MOST_ANNOTATIONS:
        raise bad(f"{where} has {len(found)} annotations, and {MOST_ANNOTATIONS} are allowed")
    return found


def _platform(fields: object, where: str) -> Platform | None:
    if fields is None:
        return None
    if not isinstance(fields, dict):
        raise bad(f"the platform of {where} is not an object")
    return Platform(
        os=document.text(fields, "os"),
        architecture=document.text(fields, "architecture"),
        variant=document.text(fields, "variant"),
    )
