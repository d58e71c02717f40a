"""Signatures as they lie in a registry, not yet looked into: what is handed to the process that judges them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skep.trust.bundle import read_bundle
from skep.trust.evidence import BUNDLE_PREFIX, Evidence
from skep.trust.tagged import read_layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One layer of a manifest of signatures. ``digest`` is the image's that it was found for."""

    digest: str
    source: str
    media_type: str
    data: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)

    def read(self) -> Evidence:
        """What is in it. Raises ``Refused``."""
        if self.media_type.startswith(BUNDLE_PREFIX):
            return read_bundle(self.data, self.source)
        return read_layer(self.media_type, self.data, self.annotations, self.source)
