"""Signatures and decisions go over the wire and come back as they were."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from skep import errors
from skep.pb import skep_pb2
from skep.policy.images import Asked, Decision, Outcome, Root, Rule
from skep.rpc.convert import trust
from skep.trust.refused import Reason
from skep.trust.verdict import Fault, InLog, Seen, Verdict
from skep.trust.wanted import Identity, KeyFile, LogUse, Pattern, Wanted

IDENTITY = Identity(subject=Pattern(text="a.*", regular=True), issuer=Pattern(text="b"))
ASKED = Asked(
    wanted=Wanted(
        keys=(KeyFile(name="k", pem=b"pem"),),
        identities=(IDENTITY,),
        log=LogUse.REQUIRED,
        predicates=frozenset(("p", "q")),
    ),
    root=Root(path="trusted_root", data=b"{}"),
)
SEEN = Seen(
    source="s", form="f", kind="k", predicate="p", names=("a", "b"), issuer="i", authority="h", key="",
    claims=(("source", "x"),), facts=(("builder", "y"),), at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), stamped=True,
    logs=(InLog(log="l", index=7, proven=True),),
)  # fmt: skip


@pytest.mark.parametrize("asked", [None, ASKED, Asked(wanted=Wanted(keys=ASKED.wanted.keys))])
def test_questions(asked: Asked | None) -> None:
    assert trust.unpack_question(trust.pack_question("x", asked)) == asked


@pytest.mark.parametrize("outcome", Outcome)
def test_answers(outcome: Outcome) -> None:
    decision = Decision(
        outcome=outcome, image="i", digest="sha256:a", rule=Rule.named("ours"), why="w", reason="unsigned", do="d"
    )
    verdict = Verdict(
        image="i@sha256:a",
        signatures=(SEEN, Seen(source="t", form="f", kind="k", predicate="p", key="release.pub")),
        attestations=(SEEN,),
        faults=(Fault(source="s", reason=Reason.BAD_PROOF, why="w"),),
    )
    assert trust.unpack_answer(trust.pack_answer(decision, verdict)) == (decision, verdict)


@pytest.mark.parametrize(
    "signers, why",
    [
        (skep_pb2.Signers(), "nobody is named"),
        (skep_pb2.Signers(log="sometimes"), "unknown use of logs 'sometimes'"),
        (
            skep_pb2.Signers(identities=[skep_pb2.Identity(subject="(", subject_regexp=True, issuer="b")]),
            "no regular expression",
        ),
    ],
)
def test_questions_that_make_no_sense(signers: skep_pb2.Signers, why: str) -> None:
    with pytest.raises(errors.InvalidRequest, match=why):
        trust.unpack_question(skep_pb2.CheckImageRequest(image="x", signers=signers))
