"""What a signature's content says: which image it is about, and what it states of it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from skep.trust.evidence import IN_TOTO, Evidence
from skep.trust.reading import Fields, malformed, read_object
from skep.trust.refused import Reason, Refused

COSIGN_SIGN = "https://sigstore.dev/cosign/sign/v1"
"""The predicate that says no more than "signed": what cosign 3 writes for ``cosign sign``."""

_PAYLOAD_TYPE = "cosign container image signature"
_STATEMENTS = ("https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The content of a signature. ``predicate`` is the predicate's type; of a simple payload, the one of cosign."""

    digests: frozenset[str]
    """The images that it is about ("sha256:…")."""
    predicate: str
    statement: dict[str, object]


def read_claim(evidence: Evidence) -> Claim:
    """What the content says. Raises ``Refused``: malformed, or unsupported."""
    top = read_object(evidence.content, "payload")
    return _statement(top, evidence) if evidence.enveloped else _simple(top)


def _simple(top: Fields) -> Claim:
    critical = top.fields("critical")
    if critical.text("type") not in (_PAYLOAD_TYPE, COSIGN_SIGN):
        raise malformed(f"payload.critical.type is {critical.text('type')!r}, not {_PAYLOAD_TYPE!r}")
    digest = critical.fields("image").text("docker-manifest-digest")
    return Claim(digests=frozenset((digest,)), predicate=COSIGN_SIGN, statement=top.values)


def _statement(top: Fields, evidence: Evidence) -> Claim:
    if evidence.content_type != IN_TOTO or top.text("_type", "") not in _STATEMENTS:
        raise Refused(Reason.UNSUPPORTED, f"the envelope holds {evidence.content_type!r}, no in-toto statement")
    digests = set()
    for subject in top.each("subject"):
        for name in subject.fields("digest").values:
            digests.add(f"{name}:{subject.fields('digest').text(name)}")
    return Claim(digests=frozenset(digests), predicate=top.text("predicateType"), statement=top.values)


def summary(claim: Claim) -> tuple[tuple[str, str], ...]:
    """An attestation's facts that a person looks for, as (label, text) in a fixed order: who built it from what, or
    which packages it lists. Unknown predicates have none.
    """
    predicate = claim.statement.get("predicate")
    if not isinstance(predicate, dict):
        return ()
    found: list[tuple[str, object]] = []
    if claim.predicate.startswith("https://slsa.dev/provenance/v1"):
        build = _at(predicate, "buildDefinition")
        found = [
            ("builder", _at(predicate, "runDetails", "builder", "id")),
            ("build type", _at(build, "buildType")),
            ("parameters", _at(build, "externalParameters")),
            ("sources", _sources(_at(build, "resolvedDependencies"))),
        ]
    elif claim.predicate.startswith("https://slsa.dev/provenance/"):
        found = [
            ("builder", _at(predicate, "builder", "id")),
            ("build type", _at(predicate, "buildType")),
            ("sources", _sources(_at(predicate, "materials"))),
        ]
    elif claim.predicate.startswith("https://spdx.dev/Document"):
        found = [("name", _at(predicate, "name")), ("packages", _count(_at(predicate, "packages")))]
    elif claim.predicate.startswith("https://cyclonedx.org/bom"):
        found = [
            ("name", _at(predicate, "metadata", "component", "name")),
            ("components", _count(_at(predicate, "components"))),
        ]
    return tuple((label, _short(value)) for label, value in found if value not in (None, "", [], {}))


def kind_of(predicate: str) -> str:
    """What people call a predicate type."""
    for prefix, name in (
        (COSIGN_SIGN, "signature"),
        ("https://slsa.dev/provenance/", "SLSA provenance"),
        ("https://spdx.dev/Document", "SBOM (SPDX)"),
        ("https://cyclonedx.org/bom", "SBOM (CycloneDX)"),
    ):
        if predicate.startswith(prefix):
            return name
    return "attestation"


def _at(value: object, *path: str) -> object:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _sources(value: object) -> object:
    if not isinstance(value, list):
        return None
    return ", ".join(str(uri) for each in value if (uri := _at(each, "uri")))


def _count(value: object) -> object:
    return str(len(value)) if isinstance(value, list) else None


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 200 else text[:199] + "…"
