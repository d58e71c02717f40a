"""Signatures below a tag: what cosign 1 and 2 write to ``sha256-….sig`` and ``.att``. Each is a layer of the tag's
manifest: the payload is the layer, everything else is in the layer's annotations.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from skep.trust.bundle import read_envelope
from skep.trust.evidence import DSSE, SIMPLE_SIGNING, Evidence, Form, LogEntry, pae
from skep.trust.reading import Fields, malformed, read_object
from skep.trust.refused import Reason, Refused

SIGNATURE = "dev.cosignproject.cosign/signature"
CERTIFICATE = "dev.sigstore.cosign/certificate"
CHAIN = "dev.sigstore.cosign/chain"
BUNDLE = "dev.sigstore.cosign/bundle"
TIMESTAMP = "dev.sigstore.cosign/rfc3161timestamp"


def signature_tag(digest: str) -> str:
    """The tag of an image's signatures: ``sha256:ab…`` -> ``sha256-ab….sig``."""
    return digest.replace(":", "-") + ".sig"


def attestation_tag(digest: str) -> str:
    """The tag of an image's attestations."""
    return digest.replace(":", "-") + ".att"


def read_layer(media_type: str, data: bytes, annotations: Mapping[str, str], source: str) -> Evidence:
    """The evidence in one layer. Raises ``Refused``: malformed, or unsupported."""
    notes = Fields(dict(annotations), "annotations")
    if media_type == DSSE:
        content_type, content, signature = read_envelope(read_object(data, "envelope"))
        message = pae(content_type, content)
    elif media_type == SIMPLE_SIGNING:
        content_type, content, message, signature = SIMPLE_SIGNING, data, data, notes.raw(SIGNATURE)
    else:
        raise Refused(Reason.UNSUPPORTED, f"a layer of type {media_type} is no signature that is known")
    return Evidence(
        form=Form.TAG,
        source=source,
        message=message,
        content=content,
        content_type=content_type,
        signature=signature,
        certificate=_certificate(notes),
        entries=_entries(notes),
        timestamps=_timestamps(notes),
    )


def _certificate(notes: Fields) -> bytes:
    text = notes.text(CERTIFICATE, "")
    if not text:
        return b""
    try:
        return x509.load_pem_x509_certificate(text.encode()).public_bytes(Encoding.DER)
    except ValueError as error:
        raise notes.wrong(CERTIFICATE, "a certificate in PEM") from error


def _entries(notes: Fields) -> tuple[LogEntry, ...]:
    """The one entry, whose log signs a promise and gives no proof."""
    text = notes.text(BUNDLE, "")
    if not text:
        return ()
    bundle = read_object(text.encode(), BUNDLE)
    payload = bundle.fields("Payload")
    try:
        log_id = bytes.fromhex(payload.text("logID"))
    except ValueError as error:
        raise payload.wrong("logID", "hexadecimal") from error
    return (
        LogEntry(
            log_id=log_id,
            index=payload.number("logIndex"),
            integrated=payload.number("integratedTime"),
            body=payload.raw("body"),
            promise=bundle.raw("SignedEntryTimestamp") if bundle.has("SignedEntryTimestamp") else b"",
            proof=None,
        ),
    )


def _timestamps(notes: Fields) -> tuple[bytes, ...]:
    text = notes.text(TIMESTAMP, "")
    if not text:
        return ()
    stamp = read_object(text.encode(), TIMESTAMP)
    if not stamp.has("SignedRFC3161Timestamp"):
        return ()
    try:
        return (base64.b64decode(stamp.text("SignedRFC3161Timestamp"), validate=True),)
    except (binascii.Error, ValueError) as error:
        raise malformed(f"{TIMESTAMP} is not base64") from error
