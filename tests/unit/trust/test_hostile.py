"""Whatever a stranger sends as a signature, it is refused with a reason, and nothing else happens."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skep import errors
from skep.trust import sign
from skep.trust.bundle import read_bundle
from skep.trust.evidence import DSSE, SIMPLE_SIGNING
from skep.trust.judge import UNEXPECTED, judge
from skep.trust.piece import Piece
from skep.trust.refused import Reason
from skep.trust.root import read_root
from skep.trust.tagged import BUNDLE, CERTIFICATE, SIGNATURE, TIMESTAMP
from skep.trust.wanted import Identity, KeyFile, Pattern, Wanted

DIGEST = "sha256:" + "a" * 64
KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
WANTED = Wanted(
    keys=(KeyFile(name="k", pem=PEM),),
    identities=(Identity(subject=Pattern(text="a"), issuer=Pattern(text="b")),),
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPKI = base64.b64encode(KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
ROOT: dict[str, Any] = {
    "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "tlogs": [{"baseUrl": "https://log.test", "publicKey": {"rawBytes": SPKI}, "logId": {"keyId": "AAAAAAAA"}}],
    "certificateAuthorities": [],
}
TRUSTED = read_root(json.dumps(ROOT).encode(), "root")
GOOD: dict[str, Any] = json.loads(sign.bundle(KEY, sign.statement(DIGEST)))
FULL = copy.deepcopy(GOOD)
FULL["verificationMaterial"] |= {
    "tlogEntries": [
        {
            "logId": {"keyId": "AAAAAAAA"},
            "logIndex": "3",
            "integratedTime": "1700000000",
            "canonicalizedBody": base64.b64encode(b'{"kind":"hashedrekord","apiVersion":"0.0.1","spec":{}}').decode(),
            "inclusionPromise": {"signedEntryTimestamp": "AAAA"},
            "inclusionProof": {
                "logIndex": "3",
                "treeSize": "5",
                "rootHash": "AAAA",
                "hashes": ["AAAA"],
                "checkpoint": {"envelope": "log.test\n5\nAAAA\n\n— log.test AAAAAAAAAAAA\n"},
            },
        }
    ],
    "timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": "MAMCAQA="}]},
    "certificate": {"rawBytes": "MAMCAQA="},
}


def outcome(piece: Piece) -> Reason | None:
    found = judge("image", (piece,), WANTED, TRUSTED, NOW)
    assert len(found.signatures) + len(found.attestations) + len(found.faults) == 1
    assert not any(each.why.startswith(UNEXPECTED) for each in found.faults), found.faults
    return found.faults[0].reason if found.faults else None


def bundle(data: bytes) -> Piece:
    return Piece(digest=DIGEST, source="x", media_type=sign.BUNDLE_V03, data=data)


def test_the_seed_is_good() -> None:
    assert outcome(bundle(json.dumps(GOOD).encode())) is None


@given(st.binary(max_size=400))
def test_bytes(data: bytes) -> None:
    """Mostly no JSON; "{}" is a bundle of no known version."""
    assert outcome(bundle(data)) in (Reason.MALFORMED, Reason.UNSUPPORTED)
    assert outcome(Piece(digest=DIGEST, source="x", media_type=DSSE, data=data)) is Reason.MALFORMED


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["AAAA", "0", "-1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [here] if here else []
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        found += paths(inner, (*here, step))
    return found


def changed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    value = copy.deepcopy(value)
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    if to is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return value


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(st.sampled_from(paths(FULL)), JSON | st.just(...))
def test_any_field_of_a_bundle_may_be_anything(path: tuple[Any, ...], to: Any) -> None:
    """A good signature by a known key with nonsense beside it is good or refused; it never ends otherwise."""
    reason = outcome(bundle(json.dumps(changed(FULL, path, to)).encode()))
    assert reason is None or reason in Reason


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from([SIGNATURE, CERTIFICATE, BUNDLE, TIMESTAMP]), JSON.map(json.dumps) | st.text()))
def test_annotations_of_any_kind(notes: dict[str, str]) -> None:
    piece = Piece(digest=DIGEST, source="x", media_type=SIMPLE_SIGNING, data=b"{}", annotations=notes)
    assert outcome(piece) is not None


@settings(max_examples=200)
@given(st.sampled_from(paths(ROOT)), JSON | st.just(...))
def test_a_root_of_any_kind(path: tuple[Any, ...], to: Any) -> None:
    with contextlib.suppress(errors.InvalidRequest):
        read_root(json.dumps(changed(ROOT, path, to)).encode(), "root")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'{"critical":{}}',
        b'{"critical":{"type":"x","image":{"docker-manifest-digest":"a"}}}',
        b'{"critical":{"type":"cosign container image signature","image":{"docker-manifest-digest":7}}}',
        b"[" * 100_000,
    ],
)
def test_payloads_signed_by_a_known_key(payload: bytes) -> None:
    """The key is right, and what it signed is nonsense."""
    from skep.trust.secret import sign as made

    note = {SIGNATURE: base64.b64encode(made(KEY, payload)).decode()}
    piece = Piece(digest=DIGEST, source="x", media_type=SIMPLE_SIGNING, data=payload, annotations=note)
    assert outcome(piece) is Reason.MALFORMED


def test_limits() -> None:
    big = b" " * (4 << 20) + b"{}"
    assert outcome(bundle(big)) is Reason.MALFORMED
    many = copy.deepcopy(FULL)
    many["verificationMaterial"]["tlogEntries"] *= 65
    assert outcome(bundle(json.dumps(many).encode())) is Reason.MALFORMED
    stamps = copy.deepcopy(FULL)
    stamps["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"] *= 33
    assert outcome(bundle(json.dumps(stamps).encode())) is Reason.MALFORMED
    twice = copy.deepcopy(GOOD)
    twice["dsseEnvelope"]["signatures"] *= 2
    assert outcome(bundle(json.dumps(twice).encode())) is Reason.MALFORMED


def test_what_is_signed_but_no_signature() -> None:
    file = {**GOOD, "messageSignature": {"signature": "AAAA"}}
    del file["dsseEnvelope"]
    assert outcome(bundle(json.dumps(file).encode())) is Reason.UNSUPPORTED
    assert outcome(Piece(digest=DIGEST, source="x", media_type="text/plain", data=b"")) is Reason.UNSUPPORTED
    other = {**GOOD, "mediaType": "application/vnd.example"}
    assert outcome(bundle(json.dumps(other).encode())) is Reason.UNSUPPORTED


def test_an_attestation_is_no_signature() -> None:
    statement = json.loads(sign.statement(DIGEST)) | {
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"runDetails": {"builder": {"id": "https://builder.test"}}},
    }
    data = sign.bundle(KEY, json.dumps(statement).encode())
    found = judge("image", (bundle(data),), WANTED, TRUSTED, NOW)
    assert not found.signatures
    assert found.attestations[0].kind == "SLSA provenance"
    assert found.attestations[0].facts == (("builder", "https://builder.test"),)
    with pytest.raises(errors.Untrusted, match="there is no signature of it, only SLSA provenance by key k"):
        found.require()


def test_a_bug_in_one_signature_hides_no_good_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write beside an image must not be able to have it refused."""
    good = bundle(json.dumps(GOOD).encode())
    bad = Piece(digest=DIGEST, source="bad", media_type="x", data=b"")
    monkeypatch.setattr(Piece, "read", lambda self: 1 // 0 if self is bad else read_bundle(self.data, self.source))
    found = judge("image", (bad, good, bad), WANTED, TRUSTED, NOW)
    assert len(found.signatures) == 1
    assert all(each.why.startswith(f"{UNEXPECTED}: ZeroDivisionError") for each in found.faults)
