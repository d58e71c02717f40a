"""Puts a signature beside an image: below cosign's tag, or as a bundle that refers to it."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Final

from skep import errors
from skep.image import document, manifest
from skep.image.manifest import Descriptor, Manifest
from skep.image.reference import Digest, Tag, digest_of
from skep.image.source import Destination
from skep.trust import sign as make
from skep.trust.claims import COSIGN_SIGN
from skep.trust.evidence import SIMPLE_SIGNING
from skep.trust.secret import Private, sign
from skep.trust.tagged import SIGNATURE, signature_tag

_EMPTY: Final = b"{}"


def push_tagged(place: Destination, name: str, digest: Digest, private: Private) -> Digest:
    """Sign below the tag ``sha256-….sig``, behind what others signed there; the digest of the tag's manifest."""
    payload = make.simple_payload(name, digest)
    signature = base64.b64encode(sign(private, payload)).decode()
    layer = _put(place, payload, SIMPLE_SIGNING, {SIGNATURE: signature})
    tag = Tag(signature_tag(digest))
    layers = (*_present(place, tag), layer)
    config = document.write(
        {
            "architecture": "",
            "config": {},
            "os": "",
            "rootfs": {"type": "layers", "diff_ids": [each.digest for each in layers]},
        }
    )
    whole = Manifest(media_type=manifest.OCI_MANIFEST, config=_put(place, config, manifest.OCI_CONFIG), layers=layers)
    return place.put_manifest(manifest.pack(whole), whole.media_type, tag)


def push_bundle(place: Destination, digest: Digest, private: Private, now: datetime) -> Digest:
    """Sign with a bundle that refers to the image, as cosign 3 does; the digest of the referrer."""
    return attach_bundle(place, digest, make.bundle(private, make.statement(digest)), now)


def attach_bundle(place: Destination, digest: Digest, bundle: bytes, now: datetime) -> Digest:
    """Put a bundle beside the image that it is about; the digest of the referrer."""
    subject = place.manifest(digest).descriptor()
    layer = _put(place, bundle, make.BUNDLE_V03)
    config = _put(place, _EMPTY, manifest.OCI_EMPTY)
    whole = Manifest(
        media_type=manifest.OCI_MANIFEST,
        artifact_type=make.BUNDLE_V03,
        config=config,
        layers=(layer,),
        subject=Descriptor(media_type=subject.media_type, digest=subject.digest, size=subject.size),
        annotations={
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": COSIGN_SIGN,
            "org.opencontainers.image.created": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        },
    )
    return place.put_manifest(manifest.pack(whole), whole.media_type)


def _present(place: Destination, tag: Tag) -> tuple[Descriptor, ...]:
    try:
        found = place.manifest(tag).parse()
    except errors.NotFound:
        return ()
    return found.layers if isinstance(found, Manifest) else ()


def _put(place: Destination, data: bytes, media_type: str, annotations: dict[str, str] | None = None) -> Descriptor:
    one = Descriptor(media_type=media_type, digest=digest_of(data), size=len(data), annotations=annotations or {})
    place.upload_blob(one, data)
    return one
