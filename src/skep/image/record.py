"""What the cache writes down about one image, and how that is read again. Values only.

A record is a JSON file of our own; that its parts are as they were is checked blob by blob when they are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from skep.image import document, manifest
from skep.image.fetcher import Evidence
from skep.image.manifest import Descriptor, Platform
from skep.image.reference import Digest

MOST_BYTES: Final = 4 << 20
VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One image: documents from the top down to this host's manifest, its blobs, and what others say about it."""

    chain: tuple[Descriptor, ...]
    blobs: tuple[Descriptor, ...]
    evidence: tuple[Evidence, ...] = ()
    missed: tuple[str, ...] = ()
    """Why evidence is missing, if it is."""
    platform: Platform | None = None
    """The entry of the index that was chosen; None without an index."""
    pulled_at: float
    """Seconds since the epoch (UTC)."""
    used_at: float

    @property
    def digest(self) -> Digest:
        """Of the top: what a tag leads to."""
        return self.chain[0].digest

    @property
    def manifest(self) -> Digest:
        """Of this host's manifest."""
        return self.chain[-1].digest

    def digests(self) -> frozenset[Digest]:
        """Every blob and document that it needs or has."""
        said = [each for one in self.evidence for each in (one.document, *one.blobs)]
        return frozenset(each.digest for each in (*self.chain, *self.blobs, *said))

    def size(self) -> int:
        """Bytes of all of them, each once."""
        said = [each for one in self.evidence for each in (one.document, *one.blobs)]
        return sum({each.digest: each.size for each in (*self.chain, *self.blobs, *said)}.values())


def pack(one: Record) -> bytes:
    """The file's bytes."""
    return document.write(
        {
            "version": VERSION,
            "chain": _all(one.chain),
            "blobs": _all(one.blobs),
            "evidence": [
                {"document": manifest.pack_descriptor(each.document), "tag": each.tag, "blobs": _all(each.blobs)}
                for each in one.evidence
            ],
            "missed": list(one.missed),
            "platform": None
            if one.platform is None
            else {"os": one.platform.os, "architecture": one.platform.architecture, "variant": one.platform.variant},
            "pulled_at": one.pulled_at,
            "used_at": one.used_at,
        }
    )


def unpack(data: bytes) -> Record:
    """What ``pack`` packed. BadObject for a file that somebody else wrote or cut."""
    fields = document.read(data, MOST_BYTES)
    chain = _descriptors(fields, "chain")
    if fields.get("version") != VERSION or not chain:
        raise document.bad("it is no record of this version")
    return Record(
        chain=chain,
        blobs=_descriptors(fields, "blobs"),
        evidence=tuple(
            Evidence(
                document=manifest.descriptor(document.object(each, "document"), "evidence"),
                tag=document.text(each, "tag"),
                blobs=_descriptors(each, "blobs"),
            )
            for each in document.array(fields, "evidence")
            if isinstance(each, dict)
        ),
        missed=tuple(map(str, document.array(fields, "missed"))),
        platform=_platform(document.object(fields, "platform")),
        pulled_at=_number(fields, "pulled_at"),
        used_at=_number(fields, "used_at"),
    )


def _all(many: tuple[Descriptor, ...]) -> list[dict[str, Any]]:  # Any: JSON
    return [manifest.pack_descriptor(each) for each in many]


def _descriptors(fields: Mapping[str, Any], name: str) -> tuple[Descriptor, ...]:
    return tuple(manifest.descriptor(each, name) for each in document.array(fields, name))


def _platform(fields: Mapping[str, Any]) -> Platform | None:
    if not fields:
        return None
    return Platform(
        os=document.text(fields, "os"),
        architecture=document.text(fields, "architecture"),
        variant=document.text(fields, "variant"),
    )


def _number(fields: Mapping[str, Any], name: str) -> float:
    found = fields.get(name)
    if not isinstance(found, (int, float)):
        raise document.bad(f"{name} is not a number")
    return float(found)
