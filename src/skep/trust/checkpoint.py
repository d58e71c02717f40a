"""Checkpoints: what a transparency log says of itself, as a signed note (C2SP tlog-checkpoint and signed-note)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from skep.trust.reading import malformed

_MOST_SIGNATURES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One line of signature below a note: who, the first four bytes of the key's id, the signature."""

    name: str
    key_hash: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A log of ``size`` entries has the root hash ``root``; ``text`` is what is signed."""

    origin: str
    size: int
    root: bytes
    text: bytes
    signatures: tuple[NoteSignature, ...]


def read_checkpoint(envelope: str) -> Checkpoint:
    """A checkpoint with its signatures."""
    head, gap, tail = envelope.partition("\n\n")
    lines = head.split("\n")
    if not gap or len(lines) < 3 or not lines[0]:
        raise malformed("the checkpoint is not a signed note")
    if not (lines[1].isascii() and lines[1].isdigit() and len(lines[1]) < 20):
        raise malformed("the checkpoint states no size")
    signatures = []
    for line in tail.splitlines()[:_MOST_SIGNATURES]:
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        signature = _decoded(encoded)
        if dash != "—" or len(signature) < 5:
            raise malformed("a signature of the checkpoint cannot be read")
        signatures.append(NoteSignature(name=name, key_hash=signature[:4], signature=signature[4:]))
    return Checkpoint(
        origin=lines[0],
        size=int(lines[1]),
        root=_decoded(lines[2]),
        text=(head + "\n").encode(),
        signatures=tuple(signatures),
    )


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise malformed("the checkpoint holds what is not base64") from error
