"""The ways in which a signature can fail, each with its own words and its own remedy. A reason is stable: scripts and
events name it.
"""

from __future__ import annotations

import enum

from skep import errors


class Reason(enum.StrEnum):
    """Why a signature, or an image as a whole, is not accepted."""

    UNSIGNED = "unsigned"
    MALFORMED = "malformed"
    UNSUPPORTED = "unsupported"
    BAD_SIGNATURE = "bad-signature"
    OTHER_KEY = "other-key"
    OTHER_DIGEST = "other-digest"
    OTHER_STATEMENT = "other-statement"
    UNKNOWN_LOG = "unknown-log"
    NO_LOG_ENTRY = "no-log-entry"
    OTHER_ENTRY = "other-entry"
    BAD_PROMISE = "bad-promise"
    BAD_PROOF = "bad-proof"
    BAD_CHECKPOINT = "bad-checkpoint"
    UNKNOWN_AUTHORITY = "unknown-authority"
    EXPIRED = "expired"
    NO_TIME = "no-time"
    BAD_TIMESTAMP = "bad-timestamp"
    BAD_CERTIFICATE = "bad-certificate"
    NO_SCT = "no-sct"
    BAD_SCT = "bad-sct"
    OTHER_IDENTITY = "other-identity"
    OTHER_ISSUER = "other-issuer"
    NO_KEY = "no-key"
    NO_ROOT = "no-root"


_REMEDY = {
    Reason.UNSIGNED: "sign it with `skep image sign` or cosign and pull it again, or change the trust policy",
    Reason.MALFORMED: "have it signed again; the signature was cut or altered on its way",
    Reason.UNSUPPORTED: "have it signed in a form that docs/trust.md lists",
    Reason.BAD_SIGNATURE: "do not load it unless you know why; have it signed again",
    Reason.OTHER_KEY: "ask for a signature by a key that the rule names, or add this one to the rule",
    Reason.OTHER_DIGEST: "the signature belongs to another image; have this one signed",
    Reason.OTHER_STATEMENT: "an attestation is no signature unless the rule lists its predicate type",
    Reason.UNKNOWN_LOG: "use a trusted root that holds this transparency log, or have it signed with one that is known",
    Reason.NO_LOG_ENTRY: "have it signed with a transparency log, or put `log: optional` in the rule",
    Reason.OTHER_ENTRY: "do not load it: the log's entry was taken from another signature",
    Reason.BAD_PROMISE: "do not load it unless you know why: the log never promised this entry",
    Reason.BAD_PROOF: "do not load it unless you know why: the entry is not in the log that it names",
    Reason.BAD_CHECKPOINT: "do not load it unless you know why: the log never signed this state of itself",
    Reason.UNKNOWN_AUTHORITY: "use a trusted root that holds the authority which issued the certificate",
    Reason.EXPIRED: "have it signed again, with a timestamp from within the certificate's lifetime",
    Reason.NO_TIME: "have it signed with a timestamp authority, or with a log that promises a time",
    Reason.BAD_TIMESTAMP: "use a trusted root that holds the timestamp authority, or have it signed again",
    Reason.BAD_CERTIFICATE: "have it signed with a certificate for code signing, as Fulcio issues them",
    Reason.NO_SCT: "have it signed with a certificate that was logged, or use a trusted root without certificate logs",
    Reason.BAD_SCT: "use a trusted root that holds the certificate log, or have it signed again",
    Reason.OTHER_IDENTITY: "ask for a signature by an identity that the rule names, or add this one to the rule",
    Reason.OTHER_ISSUER: "ask for a signature through the issuer that the rule names, or add this one to the rule",
    Reason.NO_KEY: "name a key or an identity to check against",
    Reason.NO_ROOT: "name a trusted root: `trusted-root:` in the trust policy, or --trusted-root FILE",
}


class Refused(errors.Untrusted):
    """A signature is not accepted, for one ``reason``."""

    def __init__(self, reason: Reason, why: str, *, what: str = "the signature is not accepted") -> None:
        super().__init__(what, why=why, do=_REMEDY[reason])
        self.reason = reason
