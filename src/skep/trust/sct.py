"""Signed certificate timestamps: that a log of certificates promised to publish the signer's (RFC 6962, 3.2)."""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC

from cryptography import x509
from cryptography.x509.certificate_transparency import LogEntryType, SignedCertificateTimestamp

from skep.trust.keys import public_of, spki_of, verifies
from skep.trust.refused import Reason, Refused
from skep.trust.root import Log, Logs


def check_scts(certificate: x509.Certificate, issuer: x509.Certificate, logs: Logs) -> Log:
    """The log that promised. Raises ``Refused`` when none that is known did."""
    try:
        return _promised(certificate, issuer, logs)
    except x509.ExtensionNotFound as error:
        raise Refused(Reason.NO_SCT, "the certificate holds no timestamp of a certificate log") from error
    except (ValueError, OverflowError) as error:  # years beyond 9999, hashes that nobody knows
        raise Refused(Reason.BAD_SCT, f"the timestamp in the certificate cannot be read: {error}") from error


def _promised(certificate: x509.Certificate, issuer: x509.Certificate, logs: Logs) -> Log:
    scts = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    known = {log_id: log for log in logs for log_id in log.ids}
    found = [(sct, known[sct.log_id]) for sct in scts if sct.log_id in known]
    if not found:
        raise Refused(
            Reason.BAD_SCT, "the certificate was logged only in certificate logs that the trusted root does not hold"
        )
    for sct, log in found:
        if log.valid.holds(sct.timestamp.replace(tzinfo=UTC)) and verifies(
            log.key, sct.signature, _signed(sct, certificate, issuer)
        ):
            return log
    raise Refused(Reason.BAD_SCT, f"the timestamp in the certificate is not by {found[0][1].url}, whose it says it is")


def _signed(sct: SignedCertificateTimestamp, certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    """What the log signed: the certificate without the timestamp itself, and the hash of the issuer's key."""
    if sct.entry_type is not LogEntryType.PRE_CERTIFICATE:
        raise Refused(Reason.BAD_SCT, "the timestamp in the certificate is not for a certificate to be")
    tbs = certificate.tbs_precertificate_bytes
    milliseconds = int(sct.timestamp.replace(tzinfo=UTC).timestamp() * 1000 + 0.5)
    return b"".join(
        (
            struct.pack("!BBQH", sct.version.value, 0, milliseconds, 1),
            hashlib.sha256(spki_of(public_of(issuer))).digest(),
            len(tbs).to_bytes(3, "big"),
            tbs,
            struct.pack("!H", len(sct.extension_bytes)),
            sct.extension_bytes,
        )
    )
