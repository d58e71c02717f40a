"""The gate between an image and the kernel: asks the policy, has signatures judged if it wants that, and remembers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from skep import errors
from skep.image import judging
from skep.image.judging import Request
from skep.image.reference import Digest
from skep.image.signatures import collect
from skep.image.source import Repository
from skep.policy import images as policy
from skep.policy.images import Asked, Decision, ImagePolicy, Remembered
from skep.trust.verdict import Verdict


class Memory(Protocol):
    """Where it is kept which digest a rule accepted; ``Store`` is one."""

    def verified_image(self, digest: str, rule: str) -> Remembered | None:
        """What was kept under a digest and a rule's fingerprint."""
        ...

    def remember_image(self, digest: str, rule: str, image: str, one: Remembered) -> None:
        """Keep it."""
        ...


MOST_FILE: Final = 4 << 20
"""Bytes of the policy, a key or a root."""


def contents(path: str) -> bytes:
    """A file that the policy is made of. ``OSError``."""
    with open(path, "rb") as file:
        return file.read(MOST_FILE + 1)


class Forgetful:
    """Remembers nothing, for who only wants to know."""

    def verified_image(self, digest: str, rule: str) -> Remembered | None:
        """Nothing."""
        return None

    def remember_image(self, digest: str, rule: str, image: str, one: Remembered) -> None:
        """Not kept."""


class Gate:
    """One instance's policy for images, read anew whenever it is asked: a change needs no restart."""

    def __init__(self, path: str, memory: Memory, read: Callable[[str], bytes], clock: Callable[[], float]) -> None:
        self._path = path
        self._memory = memory
        self._read = read
        self._clock = clock

    def rules(self) -> ImagePolicy:
        """The policy as it is now. InvalidRequest."""
        from skep.image import trustfile  # and with it PyYAML, which few instances need

        return trustfile.load(self._path, self._read)

    def decide(self, name: str, digests: tuple[Digest, ...], place: Callable[[], Repository]) -> Decision:
        """May the image be loaded? ``name``: without tag and digest; ``digests``: from the top down; ``place``: where
        it and its signatures are. A policy that cannot be read refuses everything that is not remembered.
        """
        now = datetime.fromtimestamp(self._clock(), UTC)
        rules = self.rules()
        rule = rules.choose(name)
        mark = "" if rule is None else rules.fingerprint(rule)
        top = str(digests[0])
        remembered = None if rule is None else self._memory.verified_image(top, mark)
        at_once = policy.decide_at_once(rules, name, top, remembered)
        if at_once is not None:
            return at_once
        assert rule is not None
        try:
            verdict = self.judge(f"{name}@{top}", digests, place(), rules, rule, now)
            signature = verdict.require()
        except (errors.Untrusted, errors.Unavailable, errors.NotFound, errors.Exhausted, errors.Broken) as failed:
            return policy.decide_unverified(rule, name, top, failed)
        decision = policy.decide_verified(rule, name, top, str(signature))
        self._memory.remember_image(top, mark, name, Remembered(signer=str(signature), at=now))
        return decision

    def look(
        self, name: str, digests: tuple[Digest, ...], place: Repository, asked: Asked | None = None
    ) -> tuple[Decision, Verdict]:
        """What would be decided now, with all that was found: by the policy, or by whom ``asked`` names. Nothing is
        remembered, and what is remembered does not count.
        """
        now = datetime.fromtimestamp(self._clock(), UTC)
        rules = self.rules() if asked is None else ImagePolicy(root=asked.root)
        rule = rules.choose(name) if asked is None else asked.rule()
        top = str(digests[0])
        nothing = Verdict(image=f"{name}@{top}")
        at_once = policy.decide_at_once(rules, name, top, None) if asked is None else None
        if at_once is not None or rule is None:
            assert at_once is not None
            return at_once, nothing
        verdict = self.judge(f"{name}@{top}", digests, place, rules, rule, now)
        try:
            return policy.decide_verified(rule, name, top, str(verdict.require())), verdict
        except errors.Untrusted as failed:
            return policy.decide_unverified(rule, name, top, failed), verdict

    def judge(
        self,
        image: str,
        digests: tuple[Digest, ...],
        place: Repository,
        rules: ImagePolicy,
        rule: policy.Rule,
        now: datetime,
    ) -> Verdict:
        """What the signatures are worth by one rule."""
        pieces = collect(place, digests)
        return judging.judge_apart(Request(image=image, pieces=pieces, wanted=rule.wanted, root=rules.root), now)
