"""What the process that judges says of an image's signatures: values without any cryptography, and how they travel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from skep.trust.reading import Fields
from skep.trust.refused import Reason, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class InLog:
    """An entry of a transparency log; ``proven`` by an inclusion proof, else promised."""

    log: str
    index: int
    proven: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A signature or attestation by somebody who is wanted. ``at``: when it was made, None when nobody saw that."""

    source: str
    form: str
    """``trust.evidence.Form``."""
    kind: str
    """"signature", "SLSA provenance", "SBOM (SPDX)"…"""
    predicate: str
    key: str = ""
    """The name of the key; "" when an identity signed."""
    names: tuple[str, ...] = ()
    issuer: str = ""
    authority: str = ""
    claims: tuple[tuple[str, str], ...] = ()
    """What else the certificate says: the source, the workflow."""
    facts: tuple[tuple[str, str], ...] = ()
    """What an attestation says: builder, sources, packages."""
    at: datetime | None = None
    stamped: bool = False
    logs: tuple[InLog, ...] = ()

    @property
    def signer(self) -> str:
        """Who, in words."""
        return f"key {self.key}" if self.key else f"{', '.join(self.names)}, vouched for by {self.issuer}"

    def __str__(self) -> str:
        text = self.signer
        if self.at is not None:
            text += f" at {self.at:%Y-%m-%dT%H:%M:%SZ}"
        for entry in self.logs:
            text += f", in log {entry.log} as entry {entry.index}"
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A signature that does not count, and why."""

    source: str
    reason: Reason
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Everything about one image: signatures that count, attestations by the same people, and what does not count."""

    image: str
    signatures: tuple[Seen, ...] = ()
    attestations: tuple[Seen, ...] = ()
    faults: tuple[Fault, ...] = ()

    def require(self) -> Seen:
        """The first signature that counts. Raises ``Refused`` with the fault of each that does not."""
        if self.signatures:
            return self.signatures[0]
        what = f"the image {self.image} is not accepted"
        if not self.faults:
            also = f", only {self.attestations[0].kind} by {self.attestations[0].signer}" if self.attestations else ""
            raise Refused(Reason.UNSIGNED, f"there is no signature of it{also}", what=what)
        raise Refused(self.faults[0].reason, "; ".join(dict.fromkeys(each.why for each in self.faults[:5])), what=what)


def pack(verdict: Verdict) -> dict[str, Any]:  # Any: JSON
    """The verdict as JSON."""
    return {
        "signatures": [_pack(each) for each in verdict.signatures],
        "attestations": [_pack(each) for each in verdict.attestations],
        "faults": [{"source": each.source, "reason": str(each.reason), "why": each.why} for each in verdict.faults],
    }


def unpack(fields: dict[str, Any], image: str) -> Verdict:
    """What ``pack`` packed. Raises ``Refused`` (malformed) for anything else."""
    top = Fields(fields, "verdict", most=1024)
    return Verdict(
        image=image,
        signatures=tuple(map(_unpack, top.each("signatures"))),
        attestations=tuple(map(_unpack, top.each("attestations"))),
        faults=tuple(
            Fault(source=each.text("source"), reason=_reason(each), why=each.text("why")) for each in top.each("faults")
        ),
    )


def _reason(fields: Fields) -> Reason:
    try:
        return Reason(fields.text("reason"))
    except ValueError as error:
        raise fields.wrong("reason", "a known one") from error


_TEXTS = ("source", "form", "kind", "predicate", "key", "issuer", "authority")


def _pack(seen: Seen) -> dict[str, Any]:
    packed = {
        name: getattr(seen, name) for name in ("source", "form", "kind", "predicate", "key", "issuer", "authority")
    }
    return packed | {
        "names": [{"name": each} for each in seen.names],
        "claims": [{"label": label, "text": text} for label, text in seen.claims],
        "facts": [{"label": label, "text": text} for label, text in seen.facts],
        "at": None if seen.at is None else seen.at.astimezone(UTC).isoformat(),
        "stamped": {} if seen.stamped else None,
        "logs": [{"log": each.log, "index": each.index, "proven": int(each.proven)} for each in seen.logs],
    }


def _unpack(fields: Fields) -> Seen:
    return Seen(
        **{name: fields.text(name) for name in _TEXTS},
        names=tuple(each.text("name") for each in fields.each("names")),
        claims=tuple((each.text("label"), each.text("text")) for each in fields.each("claims")),
        facts=tuple((each.text("label"), each.text("text")) for each in fields.each("facts")),
        at=fields.moment("at"),
        stamped=fields.has("stamped"),
        logs=tuple(
            InLog(log=each.text("log"), index=each.number("index"), proven=bool(each.number("proven")))
            for each in fields.each("logs")
        ),
    )
