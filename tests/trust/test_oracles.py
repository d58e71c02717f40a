"""What other tools sign, skep verifies, and the reverse: the table in docs/trust.md."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from skep.image import signing
from skep.trust.evidence import Form
from skep.trust.refused import Reason
from skep.trust.secret import Private
from tests.trust.images import Image, by_key
from tests.trust.rig import Sigstore
from tests.trust.ways import NO_LOG, OLD, OLD_FORM, PASSWORD, WAYS, Way, python_verify


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_signed_by_one_is_accepted_by_all(sigstore: Sigstore, way: Way) -> None:
    image = Image(sigstore.registry)
    way.sign(sigstore, image)
    found = image.verify(way.wanted(sigstore), sigstore.trusted_root)
    assert found.form == (Form.BUNDLE if way.form == "bundle" else Form.TAG)
    assert bool(found.logs) == way.logged
    assert way.cosign_verify(sigstore, image) == ("cosign" in way.readers)
    if way.form == "bundle":
        assert python_verify(sigstore, image) == ("sigstore-python" in way.readers)


KINDS: dict[str, Callable[[], Private]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_every_kind(sigstore: Sigstore, tmp_path: Path, kind: str) -> None:
    """Of openssl, both ways and in both forms; with an ed25519 key cosign makes ed25519ph, which skep does not read."""
    private = KINDS[kind]()
    key, public = tmp_path / "some.pem", tmp_path / "some.pub"
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    told = (f"--key={public}", f"--trusted-root={sigstore.trusted_root}", *NO_LOG)

    ours = Image(sigstore.registry)
    signing.push_tagged(ours.repository, ours.name, ours.digest, private)
    signing.push_bundle(ours.repository, ours.digest, private, datetime.now(UTC))
    assert len(ours.judge(by_key(public)).signatures) == 2
    sigstore.cosign("verify", *told, str(ours))
    sigstore.cosign("verify", *told, *OLD_FORM, str(ours))

    theirs = Image(sigstore.registry)
    imported = tmp_path / "imported"
    sigstore.cosign("import-key-pair", f"--key={key}", f"--output-key-prefix={imported}", password=PASSWORD)
    sign = ("sign", f"--key={imported}.key")
    sigstore.cosign(*sign, *OLD, "--tlog-upload=false", str(theirs), password=PASSWORD)
    config = f"--signing-config={sigstore.path('bare_config.json')}"
    sigstore.cosign(*sign, config, str(theirs), password=PASSWORD)
    found = theirs.judge(by_key(public))
    if kind == "ed25519":
        assert [fault.reason for fault in found.faults] == [Reason.BAD_SIGNATURE] * 2
        assert not found.signatures
    else:
        assert len(found.signatures) == 2
