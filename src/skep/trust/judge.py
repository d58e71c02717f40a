"""All signatures of an image against what is wanted: one that counts is enough; else every one's own fault is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from skep.trust import claims
from skep.trust.keys import Key, read_key
from skep.trust.piece import Piece
from skep.trust.refused import Reason, Refused
from skep.trust.root import TrustedRoot
from skep.trust.verdict import Fault, InLog, Seen, Verdict
from skep.trust.verify import Verified, verify
from skep.trust.wanted import Wanted

UNEXPECTED = "it broke what reads it"
"""How the fault of a signature begins that no check foresaw; the tests look for it."""


def judge(image: str, pieces: Iterable[Piece], wanted: Wanted, root: TrustedRoot | None, now: datetime) -> Verdict:
    """``image`` names it in errors. Raises InvalidRequest when a key that is wanted is none."""
    keys = tuple(read_key(each.pem, each.name) for each in wanted.keys)
    signatures: list[Seen] = []
    attestations: list[Seen] = []
    faults: list[Fault] = []
    for piece in pieces:
        try:
            verified = _verify(piece, wanted, keys, root, now)
        except Refused as error:
            faults.append(Fault(source=piece.source, reason=error.reason, why=error.why))
            continue
        except Exception as error:  # a bug of ours or of a library: a stranger's signature must not hide a good one
            why = f"{UNEXPECTED}: {type(error).__name__}: {error}"
            faults.append(Fault(source=piece.source, reason=Reason.MALFORMED, why=why))
            continue
        (signatures if verified.claim.predicate in wanted.predicates else attestations).append(seen(verified))
    return Verdict(image=image, signatures=tuple(signatures), attestations=tuple(attestations), faults=tuple(faults))


def _verify(piece: Piece, wanted: Wanted, keys: tuple[Key, ...], root: TrustedRoot | None, now: datetime) -> Verified:
    """A signature that counts, or an attestation by somebody whose signature would."""
    evidence = piece.read()
    try:
        return verify(evidence, piece.digest, wanted, keys, root, now)
    except Refused as error:
        if error.reason is not Reason.OTHER_STATEMENT:
            raise
        # Checked whole once more, as if its kind of statement counted.
        predicate = claims.read_claim(evidence).predicate
        return verify(evidence, piece.digest, replace(wanted, predicates=frozenset((predicate,))), keys, root, now)


def seen(verified: Verified) -> Seen:
    """What is told of a signature."""
    signer, subject = verified.signer, verified.signer.subject
    return Seen(
        source=verified.evidence.source,
        form=str(verified.evidence.form),
        kind=claims.kind_of(verified.claim.predicate),
        predicate=verified.claim.predicate,
        key=signer.key,
        names=() if subject is None else subject.names,
        issuer="" if subject is None else subject.issuer,
        authority=signer.authority,
        claims=() if subject is None else tuple(subject.claims.items()),
        facts=claims.summary(verified.claim),
        at=verified.at,
        stamped=verified.stamped,
        logs=tuple(InLog(log=each.log, index=each.index, proven=each.proven) for each in verified.logged),
    )
