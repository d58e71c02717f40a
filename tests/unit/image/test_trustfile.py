from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep import errors
from skep.image.trustfile import load, parse
from skep.model.capability import Capability
from skep.policy.images import ImagePolicy, Mode
from skep.trust.wanted import LogUse

PEM = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
FILES = {"/etc/skep/release.pub": PEM, "/etc/skep/root.json": b"{}", "/keys/x.pub": PEM}
GOOD = """
default: require
trusted-root: root.json
rules:
  - name: ours
    images: [registry.test/team/**]
    mode: require
    keys:
      - release.pub
      - |
        -----BEGIN PUBLIC KEY-----
        AAAA
        -----END PUBLIC KEY-----
    identities:
      - subject: me@example.org
        issuer: https://accounts.example.org
      - subject-regexp: https://github.com/team/.*
        issuer: https://token.actions.githubusercontent.com
    log: optional
    predicates: [https://slsa.dev/provenance/v1]
  - name: anything else of the team
    images:
      - registry.test/*
    mode: allow
"""


def read(path: str) -> bytes:
    try:
        return FILES[path]
    except KeyError:
        raise FileNotFoundError(2, "No such file or directory", path) from None


def policy(text: str) -> ImagePolicy:
    return parse(text.encode(), "/etc/skep/trust.yaml", read)


def test_a_whole_file() -> None:
    found = policy(GOOD)
    assert found.otherwise is Mode.REQUIRE
    assert found.root is not None and found.root.path == "/etc/skep/root.json"
    ours, other = found.rules
    assert [key.name for key in ours.wanted.keys] == ["/etc/skep/release.pub", "line 10"]
    assert [str(each) for each in ours.wanted.identities] == [
        "me@example.org, vouched for by https://accounts.example.org",
        "/https://github.com/team/.*/, vouched for by https://token.actions.githubusercontent.com",
    ]
    assert ours.wanted.log is LogUse.OPTIONAL
    assert ours.wanted.predicates == {"https://slsa.dev/provenance/v1"}
    assert (ours.line, other.line, other.mode) == (5, 21, Mode.ALLOW)


def test_no_file_and_an_empty_file_warn() -> None:
    assert load("/nowhere", read) == ImagePolicy()
    assert policy("") == ImagePolicy(path="/etc/skep/trust.yaml")
    assert policy("").otherwise is Mode.WARN


def rule(mode: str, *rest: str) -> str:
    """A rule in lines 2 to 4, and more lines below it."""
    return "\n".join(("rules:", "  - name: a", "    images: [x]", f"    mode: {mode}", *rest))


WHO = "    identities:"


@pytest.mark.parametrize(
    "text, line, why",
    [
        ("default: never", 1, "default is one of require, warn, allow, not 'never'"),
        ("defaults: warn", 1, "'defaults' is not known; did you mean default?"),
        ("default: warn\ndefault: allow", 2, "default stands there twice"),
        ("- a", 1, "names with values are wanted here"),
        ("rules: []", 1, "a list with at least one member"),
        ("rules: x", 1, "a list with at least one member"),
        ("rules:\n  - images: [x]\n    mode: allow", 2, "name is missing"),
        ("rules:\n  - name: a\n    mode: allow", 2, "images is missing"),
        ("rules:\n  - name: a\n    images: [x]", 2, "mode is missing"),
        (rule("require"), 2, "a rule with mode require names keys, identities, or both"),
        (rule("warn"), 2, "a rule with mode warn names keys"),
        (rule("allow", "    keys: [release.pub]"), 2, "names no signers"),
        (rule("require", "    keys: [none.pub]"), 5, "/etc/skep/none.pub cannot be read: No such file"),
        (rule("require", "    keys: [root.json]"), 5, "is no public key in PEM"),
        (rule("require", "    keys: [[]]"), 5, "a text is wanted here"),
        (rule("require", WHO, "      - subject: a"), 6, "either issuer or issuer-regexp"),
        (
            rule("require", WHO, "      - subject: a", "        subject-regexp: b", "        issuer: c"),
            6, "either subject or subject-regexp",
        ),
        (
            rule("require", WHO, "      - subject-regexp: '('", "        issuer: c"),
            6, "'(' is no regular expression",
        ),
        (rule("require", WHO, "      - subject: a", "        issuer: c"), 2, "no trusted-root"),
        (rule("allow", "  - name: a", "    images: [y]", "    mode: allow"), 5, "two rules are called 'a'"),
        ("trusted-root: none.json", 1, "/etc/skep/none.json cannot be read"),
        ("a: [", 1, "expected the node content"),
        ("a: &a [*b]", 1, "found undefined alias"),
    ],
)  # fmt: skip
def test_slips_are_told_with_their_line(text: str, line: int, why: str) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        policy(text)
    assert why in caught.value.why
    assert caught.value.what == f"the trust policy cannot be used: /etc/skep/trust.yaml, line {line}"
    assert caught.value.do


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_policy_or_a_slip(text: str) -> None:
    with contextlib.suppress(errors.InvalidRequest):
        assert policy(text).path


@given(st.data())
def test_any_line_may_be_missing(data: st.DataObject) -> None:
    lines = GOOD.splitlines()
    gone = data.draw(st.sets(st.integers(min_value=0, max_value=len(lines) - 1), max_size=4))
    with contextlib.suppress(errors.InvalidRequest):
        assert policy("\n".join(line for at, line in enumerate(lines) if at not in gone)).path


DENYING = """
rules:
  - name: no meddling
    images: ["**"]
    mode: allow
    deny: [rewrite-packets, write-user-memory]
"""


def test_a_rule_may_deny_what_programs_can_do() -> None:
    (rule,) = policy(DENYING).rules

    assert rule.denied == {Capability.REWRITE_PACKETS, Capability.WRITE_USER_MEMORY}


def test_an_unknown_capability_is_told_with_its_line_and_near_misses() -> None:
    with pytest.raises(errors.InvalidRequest, match="line 6") as told:
        policy(DENYING.replace("rewrite-packets", "rewrite-packet"))
    assert "did you mean rewrite-packets" in told.value.why
