"""Timestamps (RFC 3161): that an authority saw the signature at a time, after which its certificate may expire."""

from __future__ import annotations

from datetime import UTC, datetime

from rfc3161_client import TimeStampResponse, VerificationError, VerifierBuilder, decode_timestamp_response

from skep.trust.refused import Reason, Refused
from skep.trust.root import Authority

MOST = 32
"""Most timestamps of one signature that are looked at, as in sigstore-go."""


def check_timestamp(der: bytes, signature: bytes, authorities: tuple[Authority, ...]) -> datetime:
    """When an authority saw ``signature``. Raises ``Refused``: not readable, of something else, or of nobody known."""
    try:
        response = decode_timestamp_response(der)
        at = response.tst_info.gen_time
    except ValueError as error:
        raise Refused(Reason.BAD_TIMESTAMP, f"the timestamp cannot be read: {error}") from error
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    if not authorities:
        raise Refused(Reason.BAD_TIMESTAMP, "the trusted root holds no timestamp authority")
    why = ""
    for authority in authorities:
        try:
            _by(response, signature, authority)
        except (VerificationError, ValueError) as error:
            why = why or f"{authority.url} did not make it: {error}"
            continue
        if not authority.valid.holds(at):
            why = f"{authority.url} is trusted from {authority.valid}, and the timestamp is of {at:%Y-%m-%dT%H:%M:%SZ}"
            continue
        return at
    raise Refused(
        Reason.BAD_TIMESTAMP, f"the timestamp is by no authority of the trusted root, or of something else: {why}"
    )


def _by(response: TimeStampResponse, signature: bytes, authority: Authority) -> None:
    """Raise unless this authority made it over this signature."""
    first, *others = authority.chain
    builder = VerifierBuilder().tsa_certificate(first).add_root_certificate(others[-1] if others else first)
    for certificate in others[:-1]:
        builder = builder.add_intermediate_certificate(certificate)
    builder.build().verify_message(response, signature)
