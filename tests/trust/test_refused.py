"""One thing wrong with a signature that is otherwise real: it is refused for that reason, and for no other.

For bundles by identities, sigstore-python has the same opinion of each.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from skep.image.signatures import collect
from skep.trust.judge import judge
from skep.trust.refused import Reason, Refused
from skep.trust.tagged import CERTIFICATE, SIGNATURE
from skep.trust.wanted import LogUse, Wanted
from tests.trust.altered import Json, Signed, flipped, flipped_text, inside
from tests.trust.images import Image, by_identity, by_key
from tests.trust.rig import Sigstore, authority
from tests.trust.ways import ME, WAYS, attach, python_accepts

LATER = timedelta(days=1)
_WAYS = {way.name: way for way in WAYS}


def made(sigstore: Sigstore, name: str, image: Image | None = None) -> Signed:
    """A signature of one of the ways, of an image of its own."""
    image = image or Image(sigstore.registry)
    _WAYS[name].sign(sigstore, image)
    (piece,) = collect(image.repository, (image.digest,))
    root = json.loads(sigstore.trusted_root.read_text())
    return Signed(piece=piece, root=root, wanted=_WAYS[name].wanted(sigstore), now=datetime.now(UTC))


@pytest.fixture(scope="module")
def bundle(sigstore: Sigstore) -> Signed:
    """By an identity, as a bundle: with a proof of tiles, a timestamp, and a logged certificate."""
    made(sigstore, "cosign-identity-bundle")  # so that the proof of the next one has something to prove
    return made(sigstore, "cosign-identity-bundle")


@pytest.fixture(scope="module")
def other(sigstore: Sigstore) -> Signed:
    """Another one, of another image."""
    return made(sigstore, "cosign-identity-bundle")


@pytest.fixture(scope="module")
def tagged(sigstore: Sigstore) -> Signed:
    """By an identity, below a tag: with the promise of Rekor 1, which is also the time."""
    return made(sigstore, "cosign-identity-tag-log")


@pytest.fixture(scope="module")
def promised(sigstore: Sigstore) -> Signed:
    """By a key, as a bundle with both a promise and a proof of Rekor 1."""
    return made(sigstore, "cosign-key-bundle-log1")


def refused(signed: Signed, reason: Reason, text: str) -> None:
    with pytest.raises(Refused, match=text) as caught:
        signed.verify()
    assert caught.value.reason is reason
    assert caught.value.do


def other_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def other_authority(fields: Json) -> None:
    (one,) = fields["certificateAuthorities"]
    der = authority("fulcio")[1].public_bytes(Encoding.DER)  # the same name, another key
    one["certChain"]["certificates"] = [{"rawBytes": base64.b64encode(der).decode()}]


def other_certificate_log(fields: Json) -> None:
    flipped(fields["ctlogs"][0]["logId"], "keyId")
    fields["ctlogs"][0]["publicKey"]["rawBytes"] = other_key()


def other_hash(entry: Json) -> None:
    entry["inclusionProof"]["hashes"][0] = base64.b64encode(b"x" * 32).decode()


def late_start(fields: Json) -> None:
    for log in fields["tlogs"]:
        log["publicKey"]["validFor"]["start"] = "2099-01-01T00:00:00Z"


ENTRY = ("verificationMaterial", "tlogEntries", 0)
STAMPS = ("verificationMaterial", "timestampVerificationData")
BUNDLES: dict[str, tuple[Callable[[Signed, Signed], Signed], Reason, str]] = {
    "payload": (
        lambda one, _: one.bundle(lambda b: flipped(b["dsseEnvelope"], "payload", at=40)),
        Reason.BAD_SIGNATURE, "not made with the certificate's key, or altered since",
    ),
    "signature": (
        lambda one, _: one.bundle(lambda b: flipped(inside(b, "dsseEnvelope", "signatures", 0), "sig")),
        Reason.BAD_SIGNATURE, "not made with the certificate's key",
    ),
    "certificate of another": (
        lambda one, two: one.bundle(
            lambda b: b["verificationMaterial"].update(
                certificate=inside(json.loads(two.piece.data), "verificationMaterial", "certificate")
            )
        ),
        Reason.BAD_SIGNATURE, "not made with the certificate's key",
    ),
    "entry of another": (
        lambda one, two: one.bundle(
            lambda b: b["verificationMaterial"].update(
                tlogEntries=inside(json.loads(two.piece.data), "verificationMaterial", "tlogEntries")
            )
        ),
        Reason.OTHER_ENTRY, "the log's entry is about another payload",
    ),
    "entry altered": (
        lambda one, _: one.entry(lambda e: flipped(e, "canonicalizedBody", at=60)),
        Reason.BAD_PROOF, "the inclusion proof does not lead to the tree",
    ),
    "proof": (
        lambda one, _: one.entry(other_hash),
        Reason.BAD_PROOF, "the inclusion proof does not lead to the tree",
    ),
    "proof cut": (
        lambda one, _: one.entry(lambda e: e["inclusionProof"]["hashes"].pop()),
        Reason.BAD_PROOF, "the inclusion proof does not lead to the tree",
    ),
    "root hash": (
        lambda one, _: one.entry(lambda e: flipped(e["inclusionProof"], "rootHash")),
        Reason.BAD_CHECKPOINT, "is of another tree than the proof",
    ),
    "checkpoint": (
        lambda one, _: one.entry(
            lambda e: e["inclusionProof"]["checkpoint"].update(
                envelope=e["inclusionProof"]["checkpoint"]["envelope"].replace("127.0.0.1\n", "127.0.0.2\n", 1)
            )
        ),
        Reason.BAD_CHECKPOINT, "is not signed by the key of",
    ),
    "no checkpoint": (
        lambda one, _: one.entry(lambda e: e["inclusionProof"].pop("checkpoint")),
        Reason.BAD_CHECKPOINT, "brings no checkpoint",
    ),
    "no proof": (
        lambda one, _: one.entry(lambda e: e.pop("inclusionProof")),
        Reason.NO_LOG_ENTRY, "neither promises nor proves",
    ),
    "log unknown": (
        lambda one, _: one.trusting(lambda r: r.update(tlogs=r["tlogs"][1:])),
        Reason.UNKNOWN_LOG, "which the trusted root does not hold",
    ),
    "log with another key": (
        lambda one, _: one.trusting(lambda r: [t["publicKey"].update(rawBytes=other_key()) for t in r["tlogs"]]),
        Reason.BAD_CHECKPOINT, "is not signed by the key of",
    ),
    "not in a log": (
        lambda one, _: one.bundle(lambda b: b["verificationMaterial"].pop("tlogEntries")),
        Reason.NO_LOG_ENTRY, "it is in no transparency log, and one is required",
    ),
    "timestamp": (
        lambda one, _: one.bundle(lambda b: flipped(inside(b, *STAMPS, "rfc3161Timestamps", 0), "signedTimestamp")),
        Reason.BAD_TIMESTAMP, "the timestamp is by no authority",
    ),
    "timestamp of another": (
        lambda one, two: one.bundle(
            lambda b: b["verificationMaterial"].update(
                timestampVerificationData=inside(json.loads(two.piece.data), *STAMPS)
            )
        ),
        Reason.BAD_TIMESTAMP, "Mismatch between messages",
    ),
    "timestamp by nobody known": (
        lambda one, _: one.trusting(lambda r: r.pop("timestampAuthorities")),
        Reason.BAD_TIMESTAMP, "the trusted root holds no timestamp authority",
    ),
    "expired, no timestamp": (
        lambda one, _: replace(one.bundle(lambda b: inside(b, *STAMPS).clear()), now=one.now + LATER),
        Reason.NO_TIME, "nobody who is trusted says when it was signed",
    ),
    "authority unknown": (
        lambda one, _: one.trusting(other_authority),
        Reason.UNKNOWN_AUTHORITY, "no authority of the trusted root issued",
    ),
    "certificate log unknown": (
        lambda one, _: one.trusting(other_certificate_log),
        Reason.BAD_SCT, "certificate logs that the trusted root does not hold",
    ),
    "certificate log with another key": (
        lambda one, _: one.trusting(lambda r: r["ctlogs"][0]["publicKey"].update(rawBytes=other_key())),
        Reason.BAD_SCT, "the timestamp in the certificate is not by",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BUNDLES)
def test_one_thing_wrong_with_a_bundle(
    sigstore: Sigstore, bundle: Signed, other: Signed, tmp_path: Path, name: str
) -> None:
    change, reason, text = BUNDLES[name]
    wrong = change(bundle, other)
    refused(wrong, reason, text)
    if name == "expired, no timestamp":
        return  # sigstore-python wants a time always, whatever the present one is
    root = tmp_path / "root.json"
    root.write_text(json.dumps(wrong.root))
    assert not python_accepts(root, wrong.piece.data, sigstore.issuer.url)
    root.write_text(json.dumps(bundle.root))
    assert python_accepts(root, bundle.piece.data, sigstore.issuer.url)


def test_an_expired_certificate_with_a_timestamp_is_accepted(bundle: Signed) -> None:
    found = replace(bundle, now=bundle.now + LATER).verify()
    assert found.stamped and found.names == (ME,)


def test_a_promise_is_a_time_too(tagged: Signed) -> None:
    found = replace(tagged, now=tagged.now + LATER).verify()
    assert found.at is not None and not found.stamped and not found.logs[0].proven


TAGS: dict[str, tuple[Callable[[Signed], Signed], Reason, str]] = {
    "promise": (
        lambda one: one.log_note(lambda b: flipped(b, "SignedEntryTimestamp", at=12)),
        Reason.BAD_PROMISE, "is not by its key",
    ),
    "promised time": (
        lambda one: one.log_note(lambda b: b["Payload"].update(integratedTime=b["Payload"]["integratedTime"] - 1)),
        Reason.BAD_PROMISE, "is not by its key",
    ),
    "promised place": (
        lambda one: one.log_note(lambda b: b["Payload"].update(logIndex=b["Payload"]["logIndex"] + 1)),
        Reason.BAD_PROMISE, "is not by its key",
    ),
    "no promise": (
        lambda one: one.log_note(lambda b: b.pop("SignedEntryTimestamp")),
        Reason.NO_LOG_ENTRY, "neither promises nor proves",
    ),
    "another log": (
        lambda one: one.log_note(lambda b: b["Payload"].update(logID="ab" * 32)),
        Reason.UNKNOWN_LOG, "log abababababababab…",
    ),
    "log not yet trusted": (
        lambda one: one.trusting(late_start), Reason.UNKNOWN_LOG, "is trusted from 2099-01-01",
    ),
    "signature": (
        lambda one: one.note(SIGNATURE, flipped_text), Reason.BAD_SIGNATURE, "not made with the certificate's key",
    ),
    "payload": (
        lambda one: replace(one, piece=replace(one.piece, data=one.piece.data.replace(b"sha256:", b"sha256;"))),
        Reason.BAD_SIGNATURE, "not made with the certificate's key",
    ),
    "no certificate": (
        lambda one: one.note(CERTIFICATE, lambda _: ""), Reason.OTHER_KEY, "a key signed it, and only identities",
    ),
    "no certificate at all": (
        lambda one: one.note(CERTIFICATE, lambda _: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
        Reason.MALFORMED, "is not a certificate in PEM",
    ),
    "another digest": (
        lambda one: replace(one, piece=replace(one.piece, digest="sha256:" + "0" * 64)),
        Reason.OTHER_DIGEST, "it is about sha256:.*, not sha256:000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAGS)
def test_one_thing_wrong_below_a_tag(tagged: Signed, name: str) -> None:
    change, reason, text = TAGS[name]
    refused(change(tagged), reason, text)


def test_a_promise_is_checked_beside_a_proof(promised: Signed) -> None:
    promised.verify()
    refused(
        promised.entry(lambda e: flipped(e["inclusionPromise"], "signedEntryTimestamp", at=12)),
        Reason.BAD_PROMISE, "is not by its key",
    )  # fmt: skip
    refused(promised.entry(lambda e: flipped(e["inclusionProof"], "rootHash")), Reason.BAD_CHECKPOINT, "another tree")


def test_other_people(sigstore: Sigstore, bundle: Signed) -> None:
    issuer = sigstore.issuer.url
    refused(
        replace(bundle, wanted=by_identity("you@example.org", issuer)),
        Reason.OTHER_IDENTITY, "me@example.org signed it; wanted: you@example.org",
    )  # fmt: skip
    refused(
        replace(bundle, wanted=by_identity(ME, "https://accounts.example.org")),
        Reason.OTHER_ISSUER, f"{issuer} vouches for me@example.org; wanted: https://accounts.example.org",
    )  # fmt: skip
    refused(replace(bundle, wanted=by_key(sigstore.public)), Reason.OTHER_KEY, "an identity signed it")
    refused(replace(bundle, wanted=Wanted()), Reason.NO_KEY, "nobody was named")
    refused(replace(bundle, root=None), Reason.NO_ROOT, "only against a trusted root")


def test_other_keys(sigstore: Sigstore) -> None:
    sigstore.cosign("generate-key-pair", "--output-key-prefix=stranger", password="secret")
    stranger = by_key(sigstore.path("stranger.pub"))
    refused(
        replace(made(sigstore, "cosign-key-bundle"), wanted=stranger), Reason.OTHER_KEY, "and none of these is that"
    )
    tag = made(sigstore, "cosign-key-tag")
    refused(replace(tag, wanted=stranger), Reason.BAD_SIGNATURE, "it does not verify with stranger.pub")
    refused(replace(tag, wanted=by_identity(ME, "x")), Reason.OTHER_KEY, "a key signed it, and only identities")
    logged = by_key(sigstore.public, LogUse.REQUIRED)
    refused(replace(tag, wanted=logged), Reason.NO_LOG_ENTRY, "it is in no transparency log")
    refused(replace(tag, wanted=logged, root=None), Reason.NO_ROOT, "only against a trusted root")


def test_a_signature_of_another_image_is_none_of_this(sigstore: Sigstore, bundle: Signed) -> None:
    image = Image(sigstore.registry)
    attach(image, bundle.piece.data)
    with pytest.raises(Refused, match=f"not {image.digest}") as caught:
        image.verify(bundle.wanted, sigstore.trusted_root)
    assert caught.value.reason is Reason.OTHER_DIGEST


def test_unsigned(sigstore: Sigstore) -> None:
    with pytest.raises(Refused, match="there is no signature of it") as caught:
        Image(sigstore.registry).verify(by_key(sigstore.public))
    assert caught.value.reason is Reason.UNSIGNED


def test_one_good_signature_among_bad_ones_is_enough(sigstore: Sigstore, bundle: Signed) -> None:
    bad = bundle.bundle(lambda b: flipped(b["dsseEnvelope"], "payload", at=40)).piece
    assert bundle.root is not None
    from skep.trust.root import read_root

    root = read_root(json.dumps(bundle.root).encode(), "root")
    found = judge("image", (bad, bundle.piece, bad), bundle.wanted, root, bundle.now)
    assert len(found.signatures) == 1 and len(found.faults) == 2


def test_signed_after_its_certificate_expired(sigstore: Sigstore) -> None:
    """A timestamp that is real, by a certificate that had expired by then."""
    expired = _self_issued(sigstore, datetime.now(UTC) - timedelta(hours=2), timedelta(minutes=10))
    refused(expired, Reason.EXPIRED, "the certificate was valid from .* to .*, and it was signed at")


def test_a_certificate_that_is_not_for_code(sigstore: Sigstore) -> None:
    wrong = _self_issued(
        sigstore, datetime.now(UTC) - timedelta(minutes=1), timedelta(hours=1), ExtendedKeyUsageOID.CLIENT_AUTH
    )
    refused(wrong, Reason.BAD_CERTIFICATE, "the certificate is not for signing code")


def test_a_certificate_without_a_log(sigstore: Sigstore) -> None:
    unlogged = _self_issued(sigstore, datetime.now(UTC) - timedelta(minutes=1), timedelta(hours=1))
    refused(unlogged, Reason.NO_SCT, "no timestamp of a certificate log")
    found = unlogged.trusting(lambda r: r.pop("ctlogs")).verify()
    assert found.names == (ME,)


def _self_issued(
    sigstore: Sigstore,
    start: datetime,
    length: timedelta,
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
) -> Signed:
    """A bundle with a certificate by an authority of the test's own, and a timestamp by the real one."""
    from skep.trust import sign
    from skep.trust.evidence import IN_TOTO, pae
    from tests.trust.stamp import stamp

    issuing, root = authority("ours")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + length)
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(ME)]), critical=True)
        .add_extension(x509.KeyUsage(True, *[False] * 8), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing.public_key()), critical=False)
        .add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1"), sigstore.issuer.url.encode()),
            critical=False,
        )
        .sign(issuing, hashes.SHA384())
    )
    image = Image(sigstore.registry)
    payload = sign.statement(image.digest)
    signature = key.sign(pae(IN_TOTO, payload), ec.ECDSA(hashes.SHA256()))
    fields = json.loads(sign.bundle(key, payload))
    der = certificate.public_bytes(Encoding.DER)
    fields["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    fields["verificationMaterial"] = {
        "certificate": {"rawBytes": base64.b64encode(der).decode()},
        "timestampVerificationData": {
            "rfc3161Timestamps": [{"signedTimestamp": base64.b64encode(stamp(sigstore.tsa, signature)).decode()}]
        },
    }
    attach(image, json.dumps(fields).encode())
    (piece,) = collect(image.repository, (image.digest,))
    trusted = json.loads(sigstore.trusted_root.read_text())
    chain = {"certificates": [{"rawBytes": base64.b64encode(root.public_bytes(Encoding.DER)).decode()}]}
    trusted["certificateAuthorities"].append({"uri": "https://ours.test", "certChain": chain, "validFor": {}})
    wanted = by_identity(ME, sigstore.issuer.url, LogUse.OPTIONAL)
    return Signed(piece=piece, root=trusted, wanted=wanted, now=datetime.now(UTC))
