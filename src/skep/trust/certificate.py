"""The signer's certificate: which authority issued it, when it was valid, that it was logged, and for whom it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from skep.trust.refused import Reason, Refused
from skep.trust.root import Authority, Span

_FULCIO = "1.3.6.1.4.1.57264.1."
"""Fulcio's arc of extensions (fulcio, docs/oid-info.md)."""

_CLAIMS = {
    "9": "build signer", "11": "runner", "12": "source", "13": "source digest", "14": "source ref",
    "18": "build config", "20": "build trigger", "21": "run",
}  # fmt: skip
"""Extensions that are shown: the end of their OID, and what they say in words."""

_LONGEST = 2048
"""Longest name or issuer that is compared, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """For whom a certificate is: the names in it (mail address, URI), who vouched for them, and what else it claims."""

    names: tuple[str, ...]
    issuer: str
    claims: dict[str, str] = field(default_factory=dict)


def read_certificate(der: bytes) -> x509.Certificate:
    """A certificate that can be read to its end; OpenSSL and ``cryptography`` parse each part only when asked."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.extensions, certificate.public_key(), certificate.tbs_certificate_bytes
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        _ = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    except Exception as error:  # of many classes: ValueError, TypeError, UnsupportedAlgorithm, x509's own
        raise Refused(Reason.BAD_CERTIFICATE, f"the certificate cannot be read: {error}") from error
    return certificate


def lifetime(certificate: x509.Certificate) -> Span:
    """When the certificate says that it is valid."""
    return Span(start=certificate.not_valid_before_utc, end=certificate.not_valid_after_utc)


def check_chain(
    certificate: x509.Certificate, authorities: tuple[Authority, ...], at: datetime
) -> tuple[x509.Certificate, Authority]:
    """The certificate that issued this one, and its authority, valid at that time. Raises ``Refused``."""
    if not authorities:
        raise Refused(Reason.UNKNOWN_AUTHORITY, "the trusted root holds no authority for certificates")
    why = ""
    for authority in authorities:
        try:
            issuer = _chain(certificate, authority, at)
        except (VerificationError, ValueError, x509.UnsupportedGeneralNameType) as error:
            why = why or str(error)
            continue
        if not authority.valid.holds(at):
            why = f"{authority.url} is trusted from {authority.valid}"
            continue
        return issuer, authority
    raise Refused(
        Reason.UNKNOWN_AUTHORITY,
        f"no authority of the trusted root issued the certificate of {certificate.issuer.rfc4514_string()!r}: {why}",
    )


def _chain(certificate: x509.Certificate, authority: Authority, at: datetime) -> x509.Certificate:
    # A verifier of clients wants their extended key usage; these are for code signing, which `check_purpose` looks at.
    ca = ExtensionPolicy.webpki_defaults_ca().may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, None)
    leaf = ExtensionPolicy.webpki_defaults_ee().may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, None)
    verifier = (
        PolicyBuilder()
        .store(Store([authority.chain[-1]]))
        .time(at)
        .extension_policies(ca_policy=ca, ee_policy=leaf)
        .build_client_verifier()
    )
    return verifier.verify(certificate, list(authority.chain[:-1])).chain[1]


def check_purpose(certificate: x509.Certificate) -> None:
    """Raise ``Refused`` unless it is for signatures, of code, and no authority's own."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound as error:
        raise Refused(Reason.BAD_CERTIFICATE, "the certificate does not say what its key is for") from error
    if not usage.digital_signature or ExtendedKeyUsageOID.CODE_SIGNING not in purposes:
        raise Refused(Reason.BAD_CERTIFICATE, "the certificate is not for signing code")


def read_subject(certificate: x509.Certificate) -> Subject:
    """For whom it is, of a certificate whose chain was checked."""
    extensions = {each.oid.dotted_string: each.value for each in certificate.extensions}
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise Refused(Reason.BAD_CERTIFICATE, "the certificate names nobody") from error

    def said(number: str) -> str:
        value = extensions.get(_FULCIO + number)
        return _utf8(value.value) if isinstance(value, x509.UnrecognizedExtension) else ""

    old = extensions.get(_FULCIO + "1")
    return Subject(
        names=tuple(name for name in map(_name, names) if name and len(name) <= _LONGEST),
        issuer=said("8") or (_text(old.value) if isinstance(old, x509.UnrecognizedExtension) else ""),
        claims={words: said(number) for number, words in _CLAIMS.items() if said(number)},
    )


def _name(name: x509.GeneralName) -> str:
    match name:
        case x509.RFC822Name() | x509.UniformResourceIdentifier() | x509.DNSName():
            return name.value
        case x509.OtherName() if name.type_id.dotted_string == _FULCIO + "7":
            return _utf8(name.value)
    return ""


def _utf8(der: bytes) -> str:
    """The text of a DER UTF8String, "" for anything else."""
    if len(der) < 2 or der[0] != 0x0C:
        return ""
    length, start = der[1], 2
    if length & 0x80:
        count = length & 0x7F
        length, start = int.from_bytes(der[2 : 2 + count], "big"), 2 + count
    return _text(der[start:]) if length == len(der) - start else ""


def _text(data: bytes) -> str:
    try:
        return data.decode() if len(data) <= _LONGEST else ""
    except UnicodeDecodeError:
        return ""
