"""The trusted root: whom to believe, as Sigstore's ``trusted_root.json`` says it. With it in a file, nothing has to be
asked over a network.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from cryptography import x509

from skep import errors
from skep.trust.keys import Public, public_from_der
from skep.trust.reading import Fields, malformed, read_object
from skep.trust.refused import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From ``start`` until ``end``, both included; None is without bound."""

    start: datetime | None = None
    end: datetime | None = None

    def holds(self, moment: datetime) -> bool:
        """Whether the moment lies within."""
        return (self.start is None or self.start <= moment) and (self.end is None or moment <= self.end)

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%dT%H:%M:%SZ}" + (f" to {self.end:%Y-%m-%dT%H:%M:%SZ}" if self.end else " onwards")


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log: of signatures (Rekor), or of certificates. Entries name it by one of ``ids``."""

    ids: frozenset[bytes]
    note_hash: bytes
    """The first four bytes of its key's id, as signed notes begin with them."""
    url: str
    key: Public
    valid: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """One that issues certificates, or timestamps: ``chain`` begins with the one that signs and ends with its root."""

    url: str
    chain: tuple[x509.Certificate, ...]
    valid: Span


Logs: TypeAlias = tuple[Log, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedRoot:
    """Everybody who is believed. ``digest`` (hex SHA-256 of the file) names this root in records."""

    digest: str
    authorities: tuple[Authority, ...]
    logs: Logs
    certificate_logs: Logs
    timestamp_authorities: tuple[Authority, ...]


def read_root(data: bytes, name: str) -> TrustedRoot:
    """The root in a file; ``name`` is said in errors."""
    try:
        top = read_object(data, "root")
        if "trustedroot" not in top.text("mediaType", ""):
            raise malformed("root.mediaType is not application/vnd.dev.sigstore.trustedroot+json")
        root = TrustedRoot(
            digest=hashlib.sha256(data).hexdigest(),
            authorities=tuple(_authority(each) for each in top.each("certificateAuthorities")),
            logs=tuple(_log(each) for each in top.each("tlogs")),
            certificate_logs=tuple(_log(each) for each in top.each("ctlogs")),
            timestamp_authorities=tuple(_authority(each) for each in top.each("timestampAuthorities")),
        )
    except Refused as error:
        raise errors.InvalidRequest(
            f"{name} is no trusted root",
            why=error.why,
            do="name a trusted_root.json of Sigstore, or make one with `cosign trusted-root create`",
        ) from error
    return root


def _span(fields: Fields | None) -> Span:
    return Span() if fields is None else Span(start=fields.moment("start"), end=fields.moment("end"))


def _log(fields: Fields) -> Log:
    key = fields.fields("publicKey")
    try:
        public = public_from_der(key.raw("rawBytes"))
    except ValueError as error:
        raise key.wrong("rawBytes", f"a public key that can be used ({error})") from error
    ids = [fields.fields(name).raw("keyId") for name in ("logId", "checkpointKeyId") if fields.has(name)]
    if not ids:
        raise fields.wrong("logId", "an object")
    return Log(
        ids=frozenset(ids),
        note_hash=ids[-1][:4],
        url=fields.text("baseUrl", ""),
        key=public,
        valid=_span(key.maybe("validFor")),
    )


def _authority(fields: Fields) -> Authority:
    chain = []
    for each in fields.fields("certChain").each("certificates"):
        try:
            chain.append(x509.load_der_x509_certificate(each.raw("rawBytes")))
        except ValueError as error:
            raise each.wrong("rawBytes", "a certificate") from error
    if not chain:
        raise fields.wrong("certChain", "a chain of at least one certificate")
    return Authority(url=fields.text("uri", ""), chain=tuple(chain), valid=_span(fields.maybe("validFor")))
