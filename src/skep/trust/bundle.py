"""Sigstore bundles: the protobuf-specs ``Bundle`` in JSON, versions 0.1 to 0.3, to evidence."""

from __future__ import annotations

from skep.trust.evidence import BUNDLE_PREFIX, Evidence, Form, LogEntry, Proof, pae
from skep.trust.reading import Fields, malformed, read_object
from skep.trust.refused import Reason, Refused


def read_bundle(data: bytes, source: str) -> Evidence:
    """The evidence in a bundle. Raises ``Refused``: malformed, or unsupported."""
    top = read_object(data, "bundle")
    if not top.text("mediaType", "").startswith(BUNDLE_PREFIX):
        raise Refused(Reason.UNSUPPORTED, f"{top.text('mediaType', '')!r} is no version of a Sigstore bundle")
    if not top.has("dsseEnvelope"):
        raise Refused(
            Reason.UNSUPPORTED,
            "the bundle signs a file (messageSignature), not an image: it holds no in-toto statement",
        )
    payload_type, payload, signature = read_envelope(top.fields("dsseEnvelope"))
    material = top.fields("verificationMaterial")
    stamps = material.maybe("timestampVerificationData")
    hint = material.maybe("publicKey")
    return Evidence(
        form=Form.BUNDLE,
        source=source,
        message=pae(payload_type, payload),
        content=payload,
        content_type=payload_type,
        signature=signature,
        certificate=_certificate(material),
        key_hint=hint.text("hint", "") if hint is not None else "",
        entries=tuple(_entry(each) for each in material.each("tlogEntries")),
        timestamps=()
        if stamps is None
        else tuple(each.raw("signedTimestamp") for each in stamps.each("rfc3161Timestamps")),
    )


def read_envelope(envelope: Fields) -> tuple[str, bytes, bytes]:
    """The payload's type, the payload and the one signature of a DSSE envelope."""
    signatures = list(envelope.each("signatures"))
    if len(signatures) != 1:
        # Several signatures are allowed by DSSE, and by no profile of Sigstore: which of them a log is about is open.
        raise malformed(f"{envelope.path}.signatures has {len(signatures)} members, and has to have one")
    return envelope.text("payloadType"), envelope.raw("payload"), signatures[0].raw("sig")


def _certificate(material: Fields) -> bytes:
    """The signer's certificate; only 0.1 and 0.2 carry a chain, of which the authorities are not needed."""
    if (alone := material.maybe("certificate")) is not None:
        return alone.raw("rawBytes")
    if (chain := material.maybe("x509CertificateChain")) is not None:
        for each in chain.each("certificates"):
            return each.raw("rawBytes")
        raise malformed(f"{chain.path}.certificates is empty")
    return b""


def _entry(fields: Fields) -> LogEntry:
    promise = fields.maybe("inclusionPromise")
    proof = fields.maybe("inclusionProof")
    return LogEntry(
        log_id=fields.fields("logId").raw("keyId"),
        index=fields.number("logIndex", 0),
        integrated=fields.number("integratedTime", 0),
        body=fields.raw("canonicalizedBody"),
        promise=promise.raw("signedEntryTimestamp") if promise is not None else b"",
        proof=_proof(proof) if proof is not None else None,
    )


def _proof(fields: Fields) -> Proof:
    checkpoint = fields.maybe("checkpoint")
    return Proof(
        index=fields.number("logIndex", 0),
        size=fields.number("treeSize"),
        root=fields.raw("rootHash"),
        hashes=fields.raws("hashes"),
        checkpoint=checkpoint.text("envelope") if checkpoint is not None else "",
    )
