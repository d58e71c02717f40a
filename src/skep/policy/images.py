"""Which images may be loaded: for each, the rule with the most specific pattern, and whose signature that rule wants.

A digest that a rule accepted stays accepted while the rule, its keys and the trusted root are the same: nothing is
asked again, so that no outage can block what ran yesterday.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from skep import errors
from skep.model.capability import Capability, ProgramCapabilities
from skep.trust.refused import Refused
from skep.trust.wanted import Wanted


class Mode(enum.StrEnum):
    """What a rule asks of an image."""

    REQUIRE = "require"
    """A signature that counts, or it is not loaded."""
    WARN = "warn"
    """A signature is looked for; without one that counts, it is loaded and the event says so."""
    ALLOW = "allow"
    """Nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the policy. ``line`` is where it stands in the file."""

    name: str
    images: tuple[str, ...]
    mode: Mode
    wanted: Wanted = field(default_factory=Wanted)
    denied: frozenset[Capability] = frozenset()
    """What no program of such an image may be able to do, whoever signed it."""
    line: int = 0

    @classmethod
    def named(cls, name: str) -> Rule:
        """A rule of which only the name is known, as a client is told it."""
        return cls(name=name, images=(), mode=Mode.REQUIRE)

    @property
    def signers(self) -> str:
        """Whose signature counts, in words."""
        return "; ".join([*(f"key {key.name}" for key in self.wanted.keys), *map(str, self.wanted.identities)])

    @property
    def log(self) -> str:
        """Whether a transparency log is asked for, in words."""
        if self.wanted.log is not None:
            return str(self.wanted.log)
        told = ["required of identities"] if self.wanted.identities else []
        told += ["optional for keys"] if self.wanted.keys else []
        return ", ".join(told) or "not asked for"


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """The file of the trusted root, as it was read."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Whose signature counts in one question, instead of the policy."""

    wanted: Wanted
    root: Root | None = None

    def rule(self) -> Rule:
        """As a rule without a name."""
        return Rule(name="", images=("**",), mode=Mode.REQUIRE, wanted=self.wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePolicy:
    """The whole policy. ``path`` is its file, "" when there is none."""

    rules: tuple[Rule, ...] = ()
    otherwise: Mode = Mode.WARN
    """For images that no rule names."""
    root: Root | None = None
    path: str = ""

    def choose(self, image: str) -> Rule | None:
        """The rule for an image, by its name without tag and digest ("registry.example.org/team/app").

        The pattern with the most characters that are no wildcard wins; among equals the one with fewer wildcards, then
        the one that stands first.
        """
        best: tuple[int, int] | None = None
        chosen: Rule | None = None
        for rule in self.rules:
            for pattern in rule.images:
                if not matches(pattern, image):
                    continue
                rank = (len(pattern.replace("*", "")), -pattern.count("*"))
                if best is None or rank > best:
                    best, chosen = rank, rule
        return chosen

    def fingerprint(self, rule: Rule) -> str:
        """A hex SHA-256 that changes whenever this rule might accept another signature: what records are kept by."""
        root = hashlib.sha256(self.root.data).hexdigest() if self.root is not None else ""
        return hashlib.sha256(f"{rule.wanted.digest} {root}".encode()).hexdigest()


def matches(pattern: str, image: str) -> bool:
    """Whether a pattern means an image: ``*`` is anything but ``/``, ``**`` is anything."""
    parts = re.split(r"(\*\*|\*)", pattern)
    meaning = {"**": ".*", "*": "[^/]*"}
    return re.fullmatch("".join(meaning.get(part) or re.escape(part) for part in parts), image) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A signature that a rule accepted earlier."""

    signer: str
    at: datetime


class Outcome(enum.StrEnum):
    """What happens with an image."""

    ACCEPTED = "accepted"
    WARNED = "accepted with a warning"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """May ``image`` be loaded, by which ``rule`` (None: by none), and why. ``reason`` is a stable word, or ""."""

    outcome: Outcome
    image: str
    digest: str
    rule: Rule | None = None
    why: str
    reason: str = ""
    do: str = ""
    signer: str = ""
    fresh: bool = False
    """Whether a signature was verified just now, and is worth remembering."""

    def check(self) -> None:
        """Raise ``Untrusted`` unless it may be loaded."""
        if self.outcome is Outcome.REFUSED:
            raise errors.Untrusted(f"the image {self.image} is refused", why=self.why, do=self.do)


def limit(decision: Decision, programs: Iterable[ProgramCapabilities]) -> Decision:
    """The decision, with a look at what the programs can do that are to be loaded: a rule may deny that."""
    rule = decision.rule
    if rule is None or decision.outcome is Outcome.REFUSED:
        return decision
    for one in programs:
        for kind in (each for each in Capability if each in rule.denied and each in one.because):
            return replace(
                decision,
                outcome=Outcome.REFUSED,
                why=f"rule {rule.name!r} denies {kind.value}, and program {one.program!r} can {kind.sentence} "
                f"({', '.join(one.because[kind])})",
                reason="capability",
                do=f"load a program that cannot, or take {kind.value} out of the rule's deny",
            )
    return decision


def explain(decision: Decision) -> str:
    """The decision in one sentence: "accepted because …", "refused because …"."""
    return f"{decision.outcome} because {decision.why}"


def decide_at_once(policy: ImagePolicy, image: str, digest: str, remembered: Remembered | None) -> Decision | None:
    """The decision, when it needs no look at a signature; else None. ``remembered`` is by the rule's fingerprint."""
    rule = policy.choose(image)
    if rule is None:
        return _without_rule(policy, image, digest)
    if rule.mode is Mode.ALLOW:
        return _accepted(image, digest, rule, f"rule {rule.name!r} allows it without a signature")
    if remembered is not None:
        why = f"rule {rule.name!r} accepted this digest at {remembered.at:%Y-%m-%dT%H:%M:%SZ}: {remembered.signer}"
        return _accepted(image, digest, rule, why, signer=remembered.signer)
    return None


def decide_verified(rule: Rule, image: str, digest: str, signer: str) -> Decision:
    """The decision about a signature that counts; ``signer`` is who made it, in words."""
    why = f"rule {rule.name!r} accepts its signature: {signer}" if rule.name else f"of its signature: {signer}"
    return _accepted(image, digest, rule, why, signer=signer, fresh=True)


def decide_unverified(rule: Rule, image: str, digest: str, error: errors.SkepError) -> Decision:
    """The decision when no signature counts, or none could be looked at."""
    why = error.why or error.what
    if rule.name:
        why = f"rule {rule.name!r} wants {rule.signers or 'a signature'}, and {why}"
    return Decision(
        outcome=Outcome.REFUSED if rule.mode is Mode.REQUIRE else Outcome.WARNED,
        image=image,
        digest=digest,
        rule=rule,
        why=why,
        reason=str(error.reason) if isinstance(error, Refused) else "unavailable",
        do=error.do,
    )


def _accepted(image: str, digest: str, rule: Rule, why: str, *, signer: str = "", fresh: bool = False) -> Decision:
    return Decision(
        outcome=Outcome.ACCEPTED, image=image, digest=digest, rule=rule, why=why, signer=signer, fresh=fresh
    )


def _without_rule(policy: ImagePolicy, image: str, digest: str) -> Decision:
    where = f"no rule of {policy.path} names it" if policy.path else "there is no trust policy"
    outcome, why = {
        Mode.ALLOW: (Outcome.ACCEPTED, f"{where}, and `default` allows it"),
        Mode.WARN: (Outcome.WARNED, f"{where}: nobody's signature was asked for"),
        Mode.REQUIRE: (Outcome.REFUSED, f"{where}, and `default` requires one"),
    }[policy.otherwise]
    return Decision(
        outcome=outcome,
        image=image,
        digest=digest,
        why=why,
        reason="" if outcome is Outcome.ACCEPTED else "no-rule",
        do=f"add a rule for it to {policy.path or '/etc/skep/trust.yaml'}",
    )
