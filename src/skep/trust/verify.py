"""One signature against what is wanted: the whole way from bytes to "signed by …", or the first thing that is wrong.

The order is fixed, and each step has an error of its own: is it signed by the key at hand; is it in the log; when was
it made; who issued the certificate, and was it valid then; for whom is it; and is it about this image at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from skep.trust import claims
from skep.trust.certificate import Subject, check_chain, check_purpose, lifetime, read_certificate, read_subject
from skep.trust.claims import Claim
from skep.trust.entry import Logged, check_entry
from skep.trust.evidence import Evidence
from skep.trust.keys import Key, public_of, spki_of, verifies
from skep.trust.reading import MOST_ITEMS, malformed
from skep.trust.refused import Reason, Refused
from skep.trust.root import TrustedRoot
from skep.trust.sct import check_scts
from skep.trust.timestamp import MOST, check_timestamp
from skep.trust.wanted import Identity, LogUse, Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who signed: a key that was named, or a subject whose certificate an authority issued."""

    key: str = ""
    subject: Subject | None = None
    authority: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A signature that counts. ``at`` is when it was made, as a log or a timestamp authority saw; None: nobody saw."""

    evidence: Evidence
    claim: Claim
    signer: Signer
    logged: tuple[Logged, ...] = ()
    at: datetime | None = None
    stamped: bool = False
    """Whether a timestamp authority saw it."""


def verify(
    evidence: Evidence, digest: str, wanted: Wanted, keys: tuple[Key, ...], root: TrustedRoot | None, now: datetime
) -> Verified:
    """Raise ``Refused`` unless somebody who is wanted signed the image with this digest ("sha256:…").

    ``keys``: those of ``wanted``, read. ``root`` None: nothing but keys can be checked.
    ``now`` matters only for a certificate that nobody stamped.
    """
    if len(evidence.entries) > MOST_ITEMS or len(evidence.timestamps) > MOST:
        raise malformed("the signature brings more log entries or timestamps than are looked at")
    key = next((each for each in keys if verifies(each.public, evidence.signature, evidence.message)), None)
    if key is not None:
        verified = _by_key(evidence, key, wanted, root)
    elif evidence.certificate and wanted.identities:
        verified = _by_identity(evidence, wanted, root, now)
    else:
        raise _by_nobody(evidence, keys, wanted)
    _check_claim(verified.claim, digest, wanted)
    return verified


def _check_claim(claim: Claim, digest: str, wanted: Wanted) -> None:
    if digest not in claim.digests:
        about = ", ".join(sorted(claim.digests)) or "no image"
        raise Refused(Reason.OTHER_DIGEST, f"it is about {about}, not {digest}")
    if claim.predicate not in wanted.predicates:
        raise Refused(
            Reason.OTHER_STATEMENT, f"it is an attestation ({claims.kind_of(claim.predicate)}, {claim.predicate})"
        )


def _by_nobody(evidence: Evidence, keys: tuple[Key, ...], wanted: Wanted) -> Refused:
    names = ", ".join(key.name for key in keys)
    if not keys and not wanted.identities:
        return Refused(Reason.NO_KEY, "nobody was named whose signature would count")
    if evidence.certificate:
        return Refused(Reason.OTHER_KEY, f"an identity signed it, and only keys are wanted: {names}")
    if not keys:
        return Refused(Reason.OTHER_KEY, "a key signed it, and only identities are wanted")
    if evidence.key_hint and evidence.key_hint not in (key.hint for key in keys):
        return Refused(Reason.OTHER_KEY, f"the key {evidence.key_hint} signed it, and none of these is that: {names}")
    return Refused(Reason.BAD_SIGNATURE, f"it does not verify with {names}: altered, or by another key")


def _by_key(evidence: Evidence, key: Key, wanted: Wanted, root: TrustedRoot | None) -> Verified:
    logged: tuple[Logged, ...] = ()
    times: list[datetime] = []
    if root is not None:
        logged = tuple(check_entry(each, evidence, key.spki, root.logs) for each in evidence.entries)
        if root.timestamp_authorities:
            times = [
                check_timestamp(each, evidence.signature, root.timestamp_authorities) for each in evidence.timestamps
            ]
    if wanted.log is LogUse.REQUIRED:
        _need_log(logged, root)
    return Verified(
        evidence=evidence,
        claim=claims.read_claim(evidence),
        signer=Signer(key=key.name),
        logged=logged,
        at=min([*times, *(each.at for each in logged if each.at is not None)], default=None),
        stamped=bool(times),
    )


def _by_identity(evidence: Evidence, wanted: Wanted, root: TrustedRoot | None, now: datetime) -> Verified:
    if root is None:
        raise Refused(Reason.NO_ROOT, "a certificate can be checked only against a trusted root")
    certificate = read_certificate(evidence.certificate)
    public = public_of(certificate)
    if not verifies(public, evidence.signature, evidence.message):
        raise Refused(Reason.BAD_SIGNATURE, "it was not made with the certificate's key, or altered since")
    logged = tuple(check_entry(each, evidence, spki_of(public), root.logs) for each in evidence.entries)
    if wanted.log is not LogUse.OPTIONAL:
        _need_log(logged, root)
    stamps = tuple(
        check_timestamp(each, evidence.signature, root.timestamp_authorities) for each in evidence.timestamps
    )
    times = (*stamps, *(each.at for each in logged if each.at is not None))
    _check_lifetime(certificate, times, now)
    issuer, authority = check_chain(certificate, root.authorities, min(times, default=now))
    check_purpose(certificate)
    if root.certificate_logs:
        check_scts(certificate, issuer, root.certificate_logs)
    subject = read_subject(certificate)
    _check_identity(subject, wanted.identities)
    return Verified(
        evidence=evidence,
        claim=claims.read_claim(evidence),
        signer=Signer(subject=subject, authority=authority.url),
        logged=logged,
        at=min(times, default=None),
        stamped=bool(stamps),
    )


def _need_log(logged: tuple[Logged, ...], root: TrustedRoot | None) -> None:
    if root is None:
        raise Refused(Reason.NO_ROOT, "a transparency log is required, and can be checked only against a trusted root")
    if not logged:
        raise Refused(Reason.NO_LOG_ENTRY, "it is in no transparency log, and one is required")


def _check_lifetime(certificate: x509.Certificate, times: tuple[datetime, ...], now: datetime) -> None:
    """The certificate was valid whenever somebody saw the signature; seen by nobody, it has to be valid now."""
    valid = lifetime(certificate)
    for at in times:
        if not valid.holds(at):
            raise Refused(Reason.EXPIRED, f"the certificate was valid from {valid}, and it was signed at {at:%FT%TZ}")
    if not times and not valid.holds(now):
        raise Refused(
            Reason.NO_TIME, f"the certificate was valid from {valid}, and nobody who is trusted says when it was signed"
        )


def _check_identity(subject: Subject, identities: tuple[Identity, ...]) -> None:
    """The subject's name first: with the right name and the wrong issuer, the issuer is what is wrong."""
    named = [each for each in identities if any(each.subject.matches(name) for name in subject.names)]
    if not named:
        wanted = "; ".join(map(str, identities))
        raise Refused(Reason.OTHER_IDENTITY, f"{', '.join(subject.names) or 'nobody'} signed it; wanted: {wanted}")
    if not any(each.issuer.matches(subject.issuer) for each in named):
        wanted = "; ".join(str(each.issuer) for each in named)
        raise Refused(
            Reason.OTHER_ISSUER,
            f"{subject.issuer or 'no issuer'} vouches for {', '.join(subject.names)}; wanted: {wanted}",
        )
