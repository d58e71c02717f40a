"""Signatures, decisions and the trust policy as documents and for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from skep.cli.output import View
from skep.policy.images import Decision, ImagePolicy, Rule, explain
from skep.trust.verdict import Seen, Verdict
from skep.trust.wanted import Identity, KeyFile, LogUse, Pattern, Wanted, regular


def wanted(given: Mapping[str, Any], read: Callable[[str], bytes]) -> Wanted | None:
    """Whose signature the flags name; None when they name nobody. UsageError for half an identity."""
    subject = _pattern(given, "subject", "--certificate-identity")
    issuer = _pattern(given, "issuer", "--certificate-oidc-issuer")
    if (subject is None) is not (issuer is None):
        raise click.UsageError("an identity is --certificate-identity and --certificate-oidc-issuer together")
    keys = tuple(KeyFile(name=path, pem=read(path)) for path in given["keys"])
    if subject is None or issuer is None:
        identities: tuple[Identity, ...] = ()
    else:
        identities = (Identity(subject=subject, issuer=issuer),)
    if not keys and not identities:
        return None
    return Wanted(keys=keys, identities=identities, log=None if given["log"] is None else LogUse(given["log"]))


def _pattern(given: Mapping[str, Any], name: str, flag: str) -> Pattern | None:
    exact, like = given[name], given[f"{name}_like"]
    if exact and like:
        raise click.UsageError(f"{flag} and {flag}-regexp exclude each other")
    if like:
        return regular(like)
    return Pattern(text=exact) if exact else None


def verdict(name: str, digest: str, found: Verdict) -> View:
    """What was found about an image's signatures."""

    def document() -> dict[str, object]:
        return {
            "image": name,
            "digest": digest,
            "accepted": bool(found.signatures),
            **_found(found),
        }

    def text(wide: bool) -> None:
        print(f"accepted because of its signature: {found.signatures[0]}")
        for each in (*found.signatures[1:], *found.attestations):
            print(f"also {each.kind}: {each}")
            for label, value in each.facts:
                print(f"  {label}: {value}")
        if wide:
            for label, value in found.signatures[0].claims:
                print(f"  {label}: {value}")
        for fault in found.faults:
            print(f"not counted: {fault.source}: {fault.why}")

    return View(document=document, items=lambda: [document()], names=lambda: [digest], text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything about an image's signatures: as (label, text), and for programs."""

    lines: tuple[tuple[str, str], ...]
    document: dict[str, object]


def report(one: Decision, found: Verdict) -> Report:
    """What the policy decides about an image and what was found."""
    whole = {**_decision(one), **_found(found)}
    return Report(lines=_lines(one, found), document=whole)


def _lines(one: Decision, found: Verdict) -> tuple[tuple[str, str], ...]:
    told = [("Trust", explain(one))]
    for each in (*found.signatures, *found.attestations):
        facts = "".join(f"; {label}: {value}" for label, value in each.facts)
        told.append((each.kind[:1].upper() + each.kind[1:], f"{each}{facts}"))
    told += [("Not Counted", f"{each.source}: {each.why}") for each in found.faults]
    return tuple(told)


def decision(one: Decision) -> View:
    """What the policy decides about an image."""

    def document() -> dict[str, object]:
        return {"image": one.image, "digest": one.digest, **_decision(one)}

    def text(wide: bool) -> None:
        print(explain(one))

    return View(document=document, items=lambda: [document()], names=lambda: [one.digest], text=text)


def _decision(one: Decision) -> dict[str, object]:
    return {
        "outcome": str(one.outcome),
        "rule": one.rule.name if one.rule is not None and one.rule.name else None,
        "reason": one.reason,
        "why": one.why,
    }


def _found(found: Verdict) -> dict[str, object]:
    return {
        "signatures": [_seen(each) for each in found.signatures],
        "attestations": [_seen(each) for each in found.attestations],
        "not_counted": [{"source": each.source, "reason": str(each.reason), "why": each.why} for each in found.faults],
    }


def policy(one: ImagePolicy) -> View:
    """The rules, in the order of the file."""

    def document() -> dict[str, object]:
        return {
            "file": one.path,
            "default": str(one.otherwise),
            "trusted_root": None if one.root is None else one.root.path,
            "rules": [_rule(each) for each in one.rules],
        }

    def text(wide: bool) -> None:
        print(f"file:          {one.path or 'none'}")
        print(f"trusted root:  {one.root.path if one.root is not None else 'none'}")
        for each in one.rules:
            print(f"\nrule {each.name} (line {each.line}): {each.mode}")
            for pattern in each.images:
                print(f"  image:   {pattern}")
            for key in each.wanted.keys:
                print(f"  key:     {key.name}")
            for identity in each.wanted.identities:
                print(f"  signer:  {identity}")
            if each.signers:
                print(f"  log:     {each.log}")
        print(f"\nany other image: {one.otherwise}")

    return View(
        document=document,
        items=lambda: [_rule(each) for each in one.rules],
        names=lambda: [f"rule/{each.name}" for each in one.rules],
        text=text,
    )


def _rule(one: Rule) -> dict[str, object]:
    return {
        "name": one.name,
        "line": one.line,
        "images": list(one.images),
        "mode": str(one.mode),
        "keys": [each.name for each in one.wanted.keys],
        "identities": [{"subject": str(each.subject), "issuer": str(each.issuer)} for each in one.wanted.identities],
        "log": one.log,
        "predicates": sorted(one.wanted.predicates),
    }


def _seen(one: Seen) -> dict[str, object]:
    return {
        "source": one.source,
        "form": one.form,
        "kind": one.kind,
        "predicate_type": one.predicate,
        "key": one.key or None,
        "identities": list(one.names),
        "issuer": one.issuer or None,
        "claims": dict(one.claims),
        "facts": dict(one.facts),
        "signed_at": None if one.at is None else one.at.isoformat(),
        "timestamped": one.stamped,
        "log_entries": [{"log": each.log, "index": each.index, "proven": each.proven} for each in one.logs],
    }
