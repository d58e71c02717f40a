"""Whose signature counts: keys, identities, and how much of a log is asked for. No cryptography is here."""

from __future__ import annotations

import enum
import hashlib
import re
from dataclasses import dataclass

from skep import errors
from skep.trust.claims import COSIGN_SIGN


class LogUse(enum.StrEnum):
    """Whether a signature has to be in a transparency log."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    """An entry that is there, of a log that the root holds, must still be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A text, or a regular expression for the whole of it: half a match would let ``evil-example.org`` in."""

    text: str
    regular: bool = False

    def matches(self, value: str) -> bool:
        """Whether the value is meant."""
        return re.fullmatch(self.text, value) is not None if self.regular else self.text == value

    def __str__(self) -> str:
        return f"/{self.text}/" if self.regular else self.text


def regular(text: str) -> Pattern:
    """A pattern that is a regular expression. Raises ``InvalidRequest`` for one that is not."""
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise errors.InvalidRequest(
            f"{text!r} is no regular expression", why=str(error), do="write one that Python's re knows"
        ) from error
    return Pattern(text=text, regular=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody whom an issuer vouches for: both have to match."""

    subject: Pattern
    issuer: Pattern

    def __str__(self) -> str:
        return f"{self.subject}, vouched for by {self.issuer}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """A public key as it was read, not yet looked into: ``name`` is its path, ``pem`` its text."""

    name: str
    pem: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One signature by any of these is enough. ``log`` None: required of identities, optional for keys."""

    keys: tuple[KeyFile, ...] = ()
    identities: tuple[Identity, ...] = ()
    log: LogUse | None = None
    predicates: frozenset[str] = frozenset((COSIGN_SIGN,))
    """The types of statement that count as a signature."""

    @property
    def digest(self) -> str:
        """A hex SHA-256 that changes whenever another signature would count."""
        lines = [f"key {hashlib.sha256(key.pem).hexdigest()}" for key in self.keys]
        lines += [f"identity {each.subject!r} {each.issuer!r}" for each in self.identities]
        lines += [f"log {self.log}", *(f"predicate {each}" for each in sorted(self.predicates))]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()
