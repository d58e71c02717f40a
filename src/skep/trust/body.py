"""What a log's entry says, and whether that is the signature at hand: an entry about another one proves nothing
(CVE-2022-36056). The kinds are Rekor's: ``hashedrekord``, ``dsse``, ``intoto``, of version 1 and of tiles.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from skep import errors
from skep.trust.evidence import Evidence
from skep.trust.keys import public_from_der, public_of, read_key, spki_of
from skep.trust.reading import Fields, read_object
from skep.trust.refused import Reason, Refused

_HASHES = {"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}
"""Names of hashes in entries of tiles (protobuf-specs, ``HashAlgorithm``)."""


def check(data: bytes, evidence: Evidence, spki: bytes) -> None:
    """Raise ``Refused`` unless the entry is about this evidence, signed by the key with this ``spki`` (DER)."""
    top = read_object(data, "entry")
    spec = top.fields("spec")
    match top.text("kind"), top.text("apiVersion"):
        case "hashedrekord", "0.0.1":
            _hashedrekord_1(spec, evidence, spki)
        case "hashedrekord", "0.0.2":
            _hashedrekord_2(spec.fields("hashedRekordV002"), evidence, spki)
        case "dsse", "0.0.1":
            _dsse_1(spec, evidence, spki)
        case "dsse", "0.0.2":
            _dsse_2(spec.fields("dsseV002"), evidence, spki)
        case "intoto", "0.0.2":
            _intoto_2(spec.fields("content"), evidence, spki)
        case kind, version:
            raise Refused(Reason.UNSUPPORTED, f"the log's entry is of kind {kind} {version}, which is not known")


def _other(what: str) -> Refused:
    return Refused(Reason.OTHER_ENTRY, f"the log's entry is about another {what}")


def _same_hash(named: str, value: str, data: bytes, what: str) -> None:
    if named not in ("sha256", "sha384", "sha512"):
        raise Refused(Reason.UNSUPPORTED, f"the log's entry is hashed with {named}, which is not known")
    if hashlib.new(named, data).hexdigest() != value:
        raise _other(what)


def _same_signature(signature: bytes, evidence: Evidence) -> None:
    if signature != evidence.signature:
        raise _other("signature")


def _same_signer(pem: bytes, evidence: Evidence, spki: bytes) -> None:
    """Whether the PEM in an entry is the certificate, or the key, that signed."""
    if b"BEGIN CERTIFICATE" in pem:
        try:
            certificate = x509.load_pem_x509_certificate(pem)
        except ValueError as error:
            raise _other("certificate") from error
        _same_certificate(certificate, evidence, spki)
        return
    try:
        found = read_key(pem, "entry").spki
    except errors.InvalidRequest as error:
        raise _other("key") from error
    if found != spki:
        raise _other("key")


def _same_certificate(certificate: x509.Certificate, evidence: Evidence, spki: bytes) -> None:
    if evidence.certificate:
        if certificate != x509.load_der_x509_certificate(evidence.certificate):
            raise _other("certificate")
    elif spki_of(public_of(certificate)) != spki:
        raise _other("key")


def _hashedrekord_1(spec: Fields, evidence: Evidence, spki: bytes) -> None:
    digest = spec.fields("data").fields("hash")
    signature = spec.fields("signature")
    _same_hash(digest.text("algorithm"), digest.text("value"), evidence.message, "payload")
    _same_signature(signature.raw("content"), evidence)
    _same_signer(signature.fields("publicKey").raw("content"), evidence, spki)


def _dsse_1(spec: Fields, evidence: Evidence, spki: bytes) -> None:
    """The hash of the envelope cannot be compared: its JSON has no canonical form. Payload and signatures can."""
    digest = spec.fields("payloadHash")
    _same_hash(digest.text("algorithm"), digest.text("value"), evidence.content, "payload")
    for each in spec.each("signatures"):
        _same_signature(each.raw("signature"), evidence)
        _same_signer(each.raw("verifier"), evidence, spki)
        return
    raise _other("signature")


def _intoto_2(content: Fields, evidence: Evidence, spki: bytes) -> None:
    digest = content.fields("payloadHash")
    _same_hash(digest.text("algorithm"), digest.text("value"), evidence.content, "payload")
    for each in content.fields("envelope").each("signatures"):
        # The signature is in base64 twice: Rekor encodes the envelope's text as if it were bytes.
        try:
            signature = base64.b64decode(each.raw("sig"), validate=True)
        except (binascii.Error, ValueError) as error:
            raise each.wrong("sig", "base64 in base64") from error
        _same_signature(signature, evidence)
        _same_signer(each.raw("publicKey"), evidence, spki)
        return
    raise _other("signature")


def _hashedrekord_2(spec: Fields, evidence: Evidence, spki: bytes) -> None:
    digest = spec.fields("data")
    _same_hash(_hash_name(digest), digest.raw("digest").hex(), evidence.message, "payload")
    _signature_2(spec.fields("signature"), evidence, spki)


def _dsse_2(spec: Fields, evidence: Evidence, spki: bytes) -> None:
    digest = spec.fields("payloadHash")
    _same_hash(_hash_name(digest), digest.raw("digest").hex(), evidence.content, "payload")
    for each in spec.each("signatures"):
        _signature_2(each, evidence, spki)
        return
    raise _other("signature")


def _hash_name(digest: Fields) -> str:
    return _HASHES.get(name := digest.text("algorithm"), name)


def _signature_2(signature: Fields, evidence: Evidence, spki: bytes) -> None:
    _same_signature(signature.raw("content"), evidence)
    verifier = signature.fields("verifier")
    try:
        if (certificate := verifier.maybe("x509Certificate")) is not None:
            _same_certificate(x509.load_der_x509_certificate(certificate.raw("rawBytes")), evidence, spki)
        elif spki_of(public_from_der(verifier.fields("publicKey").raw("rawBytes"))) != spki:
            raise _other("key")
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _other("key") from error
