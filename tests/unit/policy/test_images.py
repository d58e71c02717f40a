from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep import errors, model
from skep.model.capability import Capability, ProgramCapabilities
from skep.policy.images import (
    ImagePolicy,
    Mode,
    Outcome,
    Remembered,
    Root,
    Rule,
    decide_at_once,
    decide_unverified,
    decide_verified,
    explain,
    limit,
    matches,
)
from skep.trust.refused import Reason, Refused
from skep.trust.wanted import Identity, KeyFile, LogUse, Pattern, Wanted

DIGEST = "sha256:" + "a" * 64
KEYS = Wanted(keys=(KeyFile(name="release.pub", pem=b"pem"),))
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def rule(name: str, *images: str, mode: Mode = Mode.REQUIRE, wanted: Wanted = KEYS) -> Rule:
    return Rule(name=name, images=images, mode=mode, wanted=wanted)


@pytest.mark.parametrize(
    "pattern, image, means",
    [
        ("registry.test/team/app", "registry.test/team/app", True),
        ("registry.test/team/app", "registry.test/team/apple", False),
        ("registry.test/team/*", "registry.test/team/app", True),
        ("registry.test/team/*", "registry.test/team/sub/app", False),
        ("registry.test/team/**", "registry.test/team/sub/app", True),
        ("registry.test/**", "registry.test.evil.org/app", False),
        ("registry.test/*/app", "registry.test/a/app", True),
        ("**", "anything/at:all", True),
        ("registry.test/a.b", "registry.test/axb", False),
    ],
)
def test_patterns(pattern: str, image: str, means: bool) -> None:
    assert matches(pattern, image) is means


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_pattern_without_wildcards_means_itself(pattern: str, image: str) -> None:
    if "*" not in pattern:
        assert matches(pattern, image) is (pattern == image)


def test_the_most_specific_pattern_wins_wherever_it_stands() -> None:
    rules = (rule("all", "**"), rule("exact", "r.test/a/b"), rule("team", "r.test/a/*"), rule("registry", "r.test/**"))
    for order in (rules, rules[::-1]):
        policy = ImagePolicy(rules=order)
        chosen = {image: policy.choose(image) for image in ("r.test/a/b", "r.test/a/c", "r.test/x", "other/x")}
        assert {image: one.name for image, one in chosen.items() if one} == {
            "r.test/a/b": "exact", "r.test/a/c": "team", "r.test/x": "registry", "other/x": "all",
        }  # fmt: skip


def test_the_first_of_equals_wins() -> None:
    policy = ImagePolicy(rules=(rule("one", "r.test/a*"), rule("two", "r.test/*a")))
    chosen = policy.choose("r.test/a")
    assert chosen is not None and chosen.name == "one"


@pytest.mark.parametrize(
    "mode, outcome", [(Mode.ALLOW, Outcome.ACCEPTED), (Mode.WARN, Outcome.WARNED), (Mode.REQUIRE, Outcome.REFUSED)]
)
def test_an_image_that_no_rule_names(mode: Mode, outcome: Outcome) -> None:
    decision = decide_at_once(ImagePolicy(otherwise=mode, path="/etc/trust.yaml"), "r.test/a", DIGEST, None)
    assert decision is not None and decision.outcome is outcome
    assert explain(decision).startswith(f"{outcome} because no rule of /etc/trust.yaml names it")
    if outcome is Outcome.REFUSED:
        with pytest.raises(errors.Untrusted, match="add a rule for it"):
            decision.check()
    else:
        decision.check()


def test_without_a_policy_images_are_loaded_with_a_warning() -> None:
    decision = decide_at_once(ImagePolicy(), "r.test/a", DIGEST, None)
    assert decision is not None and decision.outcome is Outcome.WARNED
    assert explain(decision) == (
        "accepted with a warning because there is no trust policy: nobody's signature was asked for"
    )


def test_what_was_accepted_stays_accepted() -> None:
    policy = ImagePolicy(rules=(rule("ours", "**"),))
    assert decide_at_once(policy, "r.test/a", DIGEST, None) is None
    decision = decide_at_once(policy, "r.test/a", DIGEST, Remembered(signer="key release.pub", at=AT))
    assert decision is not None and decision.outcome is Outcome.ACCEPTED and not decision.fresh
    assert explain(decision) == (
        "accepted because rule 'ours' accepted this digest at 2026-01-02T03:04:05Z: key release.pub"
    )


def test_a_fingerprint_changes_with_whatever_decides() -> None:
    """And with nothing else: a rule that moved or was renamed forgets nobody."""
    one = rule("ours", "r.test/**")
    policy = ImagePolicy(rules=(one,), root=Root(path="root.json", data=b"root"))
    mark = policy.fingerprint(one)
    assert policy.fingerprint(replace(one, name="other", images=("**",), line=9, mode=Mode.WARN)) == mark
    who = Identity(subject=Pattern(text="a"), issuer=Pattern(text="b"))
    wanted = [
        Wanted(keys=(KeyFile(name="release.pub", pem=b"other"),)),
        replace(KEYS, identities=(who,)),
        replace(KEYS, identities=(replace(who, subject=Pattern(text="a", regular=True)),)),
        replace(KEYS, log=LogUse.REQUIRED),
        replace(KEYS, predicates=frozenset(("x",))),
    ]
    marks = {policy.fingerprint(replace(one, wanted=each)) for each in wanted}
    marks.add(replace(policy, root=Root(path="root.json", data=b"another")).fingerprint(one))
    marks.add(replace(policy, root=None).fingerprint(one))
    assert len(marks) == 7 and mark not in marks


def test_explanations() -> None:
    one = rule("ours", "**")
    good = decide_verified(one, "r.test/a", DIGEST, "key release.pub")
    assert explain(good) == "accepted because rule 'ours' accepts its signature: key release.pub"
    assert good.fresh
    failed = Refused(Reason.UNSIGNED, "there is no signature of it")
    bad = decide_unverified(one, "r.test/a", DIGEST, failed)
    assert explain(bad) == "refused because rule 'ours' wants key release.pub, and there is no signature of it"
    assert bad.reason == "unsigned"
    with pytest.raises(errors.Untrusted, match="the image r.test/a is refused".replace(".", r"\.")):
        bad.check()
    warned = decide_unverified(replace(one, mode=Mode.WARN), "r.test/a", DIGEST, failed)
    assert warned.outcome is Outcome.WARNED and warned.reason == "unsigned"
    away = decide_unverified(one, "r.test/a", DIGEST, errors.Unavailable("no answer", do="wait"))
    assert away.reason == "unavailable"


def can(program: str, *kinds: Capability) -> ProgramCapabilities:
    return ProgramCapabilities(
        program=program, section="xdp", type=model.HookName("xdp"), because=dict.fromkeys(kinds, ("helper x",))
    )


@pytest.mark.parametrize("mode", list(Mode))
def test_what_a_rule_denies_is_refused_whoever_signed_it(mode: Mode) -> None:
    denying = replace(rule("strict", "**", mode=mode), denied=frozenset({Capability.REWRITE_PACKETS}))
    accepted = decide_verified(denying, "registry.test/app", DIGEST, "somebody")

    refused = limit(accepted, [can("reads", Capability.SEE_PACKETS), can("writes", Capability.REWRITE_PACKETS)])

    assert refused.outcome is Outcome.REFUSED
    assert refused.reason == "capability"
    assert "'strict' denies rewrite-packets, and program 'writes' can rewrite packets (helper x)" in refused.why
    with pytest.raises(errors.Untrusted, match="denies rewrite-packets"):
        refused.check()


def test_what_no_rule_denies_stays_as_it_was_decided() -> None:
    denying = replace(rule("strict", "**"), denied=frozenset({Capability.REWRITE_PACKETS}))
    accepted = decide_verified(denying, "registry.test/app", DIGEST, "somebody")

    assert limit(accepted, [can("reads", Capability.SEE_PACKETS)]) == accepted
    assert limit(replace(accepted, rule=None), [can("writes", Capability.REWRITE_PACKETS)]).outcome is Outcome.ACCEPTED
