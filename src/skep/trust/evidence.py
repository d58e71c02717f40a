"""What comes with an image to show who signed it, the same whatever format it came in."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Form(enum.StrEnum):
    """How a signature is kept in a registry."""

    TAG = "cosign tag"
    """The tag ``sha256-….sig`` (or ``.att``), one layer for each signature: cosign 1 and 2."""
    BUNDLE = "sigstore bundle"
    """A referrer that holds a bundle: cosign 3, sigstore-python, GitHub."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """An inclusion proof: entry ``index`` of ``size`` is in the tree with ``root``."""

    index: int
    size: int
    root: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str
    """The signed note that states the root; "" where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """An entry of a transparency log about a signature."""

    log_id: bytes
    index: int
    integrated: int
    """When the log took it in: seconds since 1970, 0 where it does not say."""
    body: bytes
    promise: bytes
    """The log's signature over the four above (SET); b"" where there is none."""
    proof: Proof | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One signature and all that came with it. ``message`` is what is signed; ``content`` is what that says."""

    form: Form
    source: str
    """Where it was found, for people: a tag, or a referrer's digest."""
    message: bytes
    content: bytes
    content_type: str
    signature: bytes
    certificate: bytes = b""
    """The signer's certificate in DER; b"" when a key signed."""
    key_hint: str = ""
    entries: tuple[LogEntry, ...] = ()
    timestamps: tuple[bytes, ...] = ()
    """RFC 3161 responses in DER."""

    @property
    def enveloped(self) -> bool:
        """Whether ``content`` is an in-toto statement in an envelope (DSSE), not a simple payload."""
        return self.content_type != SIMPLE_SIGNING


SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
DSSE = "application/vnd.dsse.envelope.v1+json"
IN_TOTO = "application/vnd.in-toto+json"
BUNDLE_PREFIX = "application/vnd.dev.sigstore.bundle"
"""What every version of a bundle's media type begins with."""


def pae(payload_type: str, payload: bytes) -> bytes:
    """What an envelope's signature is over (DSSE protocol, pre-authentication encoding)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
