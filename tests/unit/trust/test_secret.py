from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from skep import errors
from skep.trust import salsa
from skep.trust.keys import verifies
from skep.trust.secret import Private, is_encrypted, read_private, sign

COSIGN = b"""-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiI1ZG5NMUNqZHg5SXY4YkliWFF2aGs1Sk5LVW9OSVA5
VzRMQWhBYndYQUJzPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJUUTZMZjJmV3psTjAwNmZ5STh2ekwyK0JSZGZSS3lpWiJ9LCJj
aXBoZXJ0ZXh0IjoiZFZLRmVKY0s3Q0swVngyOXI4OVdBQWtKR3dBK2dZSmRLUmVO
YXFMdDduVk9VR25UOENmaG1BTU90Q2k1ekpxRXZoaitFc1VpVU5RbWJTaVNIM1ll
R1FydTRGQW9RMnRaamVoVkFBM3M1STFmRjhVVkpMMEhjNk1WWnlNMGtFUHk0bGhV
eWpiaHdMTEZEWGE1N2lMME83akRzcEhSbXh4YjRXajZFN3dUT2g5RVU5anMwL0tC
YWQvOC9RMVRhVk9SL21NOTFTdUF1czVkVVE9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
"""
"""Made by `cosign generate-key-pair` 3.1.3 with the password "pw"; signs nothing."""

KEYS: dict[str, Private] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "RSA": rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}


def pem(key: Private, how: KeySerializationEncryption) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


@pytest.mark.slow
def test_a_key_of_cosign_is_opened() -> None:
    assert is_encrypted(COSIGN)
    key = read_private(COSIGN, "cosign.key", b"pw")
    assert isinstance(key, ec.EllipticCurvePrivateKey)


@pytest.mark.slow
def test_another_password_is_told() -> None:
    with pytest.raises(errors.InvalidRequest, match="the password is not the one"):
        read_private(COSIGN, "cosign.key", b"no")


@pytest.mark.slow
@pytest.mark.parametrize("name", KEYS)
def test_keys_of_openssl_sign(name: str) -> None:
    key = read_private(pem(KEYS[name], NoEncryption()), "a.key", b"")
    signature = sign(key, b"message")
    assert verifies(key.public_key(), signature, b"message")
    assert not verifies(key.public_key(), signature, b"massage")
    assert not verifies(key.public_key(), signature[:-1] + bytes((signature[-1] ^ 1,)), b"message")


@pytest.mark.slow
def test_encrypted_pem_needs_its_password() -> None:
    data = pem(KEYS["P-256"], BestAvailableEncryption(b"pw"))
    read_private(data, "a.key", b"pw")
    with pytest.raises(errors.InvalidRequest, match="the password is not the one"):
        read_private(data, "a.key", b"no")


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", COSIGN.replace(b"eyJr", b"AAAA")],
)
def test_what_is_no_key_is_refused(data: bytes) -> None:
    with pytest.raises(errors.InvalidRequest, match="cannot be used to sign"):
        read_private(data, "a.key", b"pw")


def test_a_costly_key_is_refused_before_it_costs() -> None:
    import base64

    body = base64.b64decode(b"".join(COSIGN.splitlines()[1:-1])).replace(b"65536", b"1073741824")
    lines = b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n" + base64.b64encode(body)
    with pytest.raises(errors.InvalidRequest, match="cannot be used to sign"):
        read_private(lines + b"\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----", "a.key", b"pw")


def test_secretbox_is_nacls() -> None:
    """The vector of NaCl's tests/secretbox.c."""
    key = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
    nonce = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
    plain = bytes.fromhex(
        "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01"
        "233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd"
        "4924ca1c60902e52f0a089bc76897040e082f937763848645e0705"
    )
    box = salsa.seal(plain, key, nonce)
    assert box.hex().startswith("f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce")
    assert salsa.unseal(box, key, nonce) == plain


@given(st.binary(max_size=300), st.integers(min_value=0), st.integers(min_value=0, max_value=7))
def test_a_changed_box_stays_shut(plain: bytes, at: int, bit: int) -> None:
    box = bytearray(salsa.seal(plain, b"k" * 32, b"n" * 24))
    box[at % len(box)] ^= 1 << bit
    assert salsa.unseal(bytes(box), b"k" * 32, b"n" * 24) is None
