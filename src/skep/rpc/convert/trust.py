"""Signatures of images and decisions about them, between domain and ``skep.v1``."""

from __future__ import annotations

from datetime import UTC, datetime

from skep import errors
from skep.pb import skep_pb2
from skep.policy.images import Asked, Decision, Outcome, Root, Rule
from skep.trust.refused import Reason
from skep.trust.verdict import Fault, InLog, Seen, Verdict
from skep.trust.wanted import Identity, KeyFile, LogUse, Pattern, Wanted, regular


def pack_question(image: str, asked: Asked | None) -> skep_pb2.CheckImageRequest:
    """A question about an image, as a request."""
    if asked is None:
        return skep_pb2.CheckImageRequest(image=image)
    wanted = asked.wanted
    signers = skep_pb2.Signers(
        keys=[skep_pb2.PublicKey(name=each.name, pem=each.pem.decode("latin-1")) for each in wanted.keys],
        identities=[
            skep_pb2.Identity(
                subject=each.subject.text,
                subject_regexp=each.subject.regular,
                issuer=each.issuer.text,
                issuer_regexp=each.issuer.regular,
            )
            for each in wanted.identities
        ],
        log=wanted.log or "",
        predicate_types=sorted(wanted.predicates),
        trusted_root=b"" if asked.root is None else asked.root.data,
    )
    return skep_pb2.CheckImageRequest(image=image, signers=signers)


def unpack_question(message: skep_pb2.CheckImageRequest) -> Asked | None:
    """A request as a question. InvalidRequest."""
    if not message.HasField("signers"):
        return None
    given = message.signers
    if given.log not in ("", *LogUse):
        raise errors.InvalidRequest(
            f"unknown use of logs {given.log[:40]!r}", do=f"fill in one of {', '.join(LogUse)}, or nothing"
        )
    wanted = Wanted(
        keys=tuple(KeyFile(name=each.name, pem=each.pem.encode()) for each in given.keys),
        identities=tuple(
            Identity(
                subject=_pattern(each.subject, each.subject_regexp), issuer=_pattern(each.issuer, each.issuer_regexp)
            )
            for each in given.identities
        ),
        log=LogUse(given.log) if given.log else None,
        predicates=frozenset(given.predicate_types) or Wanted().predicates,
    )
    if not wanted.keys and not wanted.identities:
        raise errors.InvalidRequest("nobody is named whose signature would count", do="fill in keys or identities")
    return Asked(wanted=wanted, root=Root(path="trusted_root", data=given.trusted_root) if given.trusted_root else None)


def _pattern(text: str, like: bool) -> Pattern:
    return regular(text) if like else Pattern(text=text)


def pack_answer(decision: Decision, verdict: Verdict) -> skep_pb2.CheckImageResponse:
    """What was decided and found, as a message."""
    return skep_pb2.CheckImageResponse(
        image=decision.image,
        digest=decision.digest,
        outcome=decision.outcome,
        rule="" if decision.rule is None else decision.rule.name,
        why=decision.why,
        reason=decision.reason,
        remedy=decision.do,
        signatures=[_pack(each) for each in verdict.signatures],
        attestations=[_pack(each) for each in verdict.attestations],
        not_counted=[
            skep_pb2.ImageFault(source=each.source, reason=each.reason, why=each.why) for each in verdict.faults
        ],
    )


def unpack_answer(message: skep_pb2.CheckImageResponse) -> tuple[Decision, Verdict]:
    """A message as what was decided and found; of the rule, only its name."""
    decision = Decision(
        outcome=Outcome(message.outcome),
        image=message.image,
        digest=message.digest,
        rule=Rule.named(message.rule) if message.rule else None,
        why=message.why,
        reason=message.reason,
        do=message.remedy,
    )
    verdict = Verdict(
        image=f"{message.image}@{message.digest}",
        signatures=tuple(map(_unpack, message.signatures)),
        attestations=tuple(map(_unpack, message.attestations)),
        faults=tuple(
            Fault(source=each.source, reason=Reason(each.reason), why=each.why) for each in message.not_counted
        ),
    )
    return decision, verdict


def _pack(seen: Seen) -> skep_pb2.ImageSignature:
    return skep_pb2.ImageSignature(
        source=seen.source,
        form=seen.form,
        kind=seen.kind,
        predicate_type=seen.predicate,
        key=seen.key,
        identities=seen.names,
        issuer=seen.issuer,
        authority=seen.authority,
        claims=dict(seen.claims),
        facts=dict(seen.facts),
        signed_at=None if seen.at is None else seen.at.timestamp(),
        timestamped=seen.stamped,
        log_entries=[skep_pb2.LogEntry(log=each.log, index=each.index, proven=each.proven) for each in seen.logs],
    )


def _unpack(message: skep_pb2.ImageSignature) -> Seen:
    return Seen(
        source=message.source,
        form=message.form,
        kind=message.kind,
        predicate=message.predicate_type,
        key=message.key,
        names=tuple(message.identities),
        issuer=message.issuer,
        authority=message.authority,
        claims=tuple(sorted(message.claims.items())),
        facts=tuple(sorted(message.facts.items())),
        at=datetime.fromtimestamp(message.signed_at, UTC) if message.HasField("signed_at") else None,
        stamped=message.timestamped,
        logs=tuple(InLog(log=each.log, index=each.index, proven=each.proven) for each in message.log_entries),
    )
