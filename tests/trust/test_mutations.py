"""Real certificates and timestamps with bytes changed at random: read or refused, and nothing else."""

from __future__ import annotations

import base64
import contextlib
import json
import random
from datetime import UTC, datetime

import pytest

from skep.image.signatures import collect
from skep.trust.certificate import check_chain, check_purpose, read_certificate, read_subject
from skep.trust.keys import public_of
from skep.trust.refused import Refused
from skep.trust.root import TrustedRoot, read_root
from skep.trust.sct import check_scts
from skep.trust.timestamp import check_timestamp
from tests.trust.images import Image
from tests.trust.rig import Sigstore
from tests.trust.ways import WAYS

ROUNDS = 3000
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def material(sigstore: Sigstore) -> dict[str, bytes]:
    """The certificate, the timestamp and the signature of a bundle."""
    image = Image(sigstore.registry)
    next(way for way in WAYS if way.name == "cosign-identity-bundle").sign(sigstore, image)
    (piece,) = collect(image.repository, (image.digest,))
    bundle = json.loads(piece.data)
    told = bundle["verificationMaterial"]
    stamp = told["timestampVerificationData"]["rfc3161Timestamps"][0]["signedTimestamp"]
    found = {
        "certificate": told["certificate"]["rawBytes"],
        "timestamp": stamp,
        "signature": bundle["dsseEnvelope"]["signatures"][0]["sig"],
    }
    return {name: base64.b64decode(text) for name, text in found.items()}


@pytest.fixture(scope="module")
def root(sigstore: Sigstore) -> TrustedRoot:
    return read_root(sigstore.trusted_root.read_bytes(), "root")


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Some bytes changed, cut out or doubled."""
    out = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        at = dice.randrange(len(out))
        match dice.randrange(4):
            case 0:
                out[at] ^= 1 << dice.randrange(8)
            case 1:
                out[at] = dice.randrange(256)
            case 2:
                del out[at : at + dice.randrange(1, 9)]
            case _:
                out[at:at] = out[at : at + dice.randrange(1, 9)]
        if not out:
            return b""
    return bytes(out)


def test_certificates(material: dict[str, bytes], root: TrustedRoot) -> None:
    """None of them has a chain: the authority signed other bytes."""
    dice = random.Random(11)
    for _ in range(ROUNDS):
        data = mutated(material["certificate"], dice)
        with contextlib.suppress(Refused):
            certificate = read_certificate(data)
            public_of(certificate)
            check_purpose(certificate)
            read_subject(certificate)
            check_scts(certificate, root.authorities[0].chain[0], root.certificate_logs)
        if data != material["certificate"]:
            with pytest.raises(Refused):
                check_chain(read_certificate(data), root.authorities, NOW)


def test_timestamps(material: dict[str, bytes], root: TrustedRoot) -> None:
    """What is accepted says the same time: bytes that no signature covers may differ."""
    dice = random.Random(12)
    true = check_timestamp(material["timestamp"], material["signature"], root.timestamp_authorities)
    accepted = 0
    for _ in range(ROUNDS):
        data = mutated(material["timestamp"], dice)
        with contextlib.suppress(Refused):
            assert check_timestamp(data, material["signature"], root.timestamp_authorities) == true
            accepted += 1
    assert accepted < ROUNDS / 20
