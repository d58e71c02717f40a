"""Who may change things: the table of rules, and why."""

from __future__ import annotations

import pytest

from skep import errors, model, policy

RULES = policy.Access(rules=(policy.Reading(uids=frozenset({1000})), policy.Reading(gids=frozenset({27}))))


@pytest.mark.parametrize(
    "caller, allowed, why",
    [
        pytest.param(model.Caller(uid=0, gid=0, pid=1), True, "root may do everything", id="root"),
        pytest.param(model.Caller(uid=0, gid=27, pid=1), True, "root may do everything", id="root-in-the-group"),
        pytest.param(model.Caller(uid=1000, gid=100, pid=1), False, "uid 1000 is restricted to reading", id="uid"),
        pytest.param(model.Caller(uid=1001, gid=27, pid=1), False, "uid 1001 is restricted to reading", id="gid"),
        pytest.param(
            model.Caller(uid=1001, gid=100, pid=1, groups=(4, 27)), False, "uid 1001 is restricted to reading",
            id="supplementary-group",
        ),
        pytest.param(model.Caller(uid=1001, gid=100, pid=0), True, "uid 1001 may: no rule restricts it", id="nobody's"),
    ],
)  # fmt: skip
def test_the_first_rule_that_matches_decides(caller, allowed, why):
    decision = RULES.decide(caller, "load")
    assert (decision.allowed, policy.explain(decision)) == (allowed, why)
    if not allowed:
        with pytest.raises(errors.Denied, match="load is not allowed"):
            RULES.check(caller, "load")


def test_without_rules_everybody_may():
    assert policy.ANYBODY.decide(model.Caller(uid=65534, gid=65534, pid=0), "unload").allowed
