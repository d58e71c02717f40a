"""Private keys: cosign's encrypted files, and plain or encrypted PEM as openssl writes it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from skep import errors
from skep.trust import salsa
from skep.trust.reading import read_object
from skep.trust.refused import Refused

Private: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_KINDS = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
_MOST_COST = 1 << 20
"""Largest N of scrypt that is tried: a gigabyte of memory with the usual r of 8; cosign writes 2^16."""


def is_encrypted(pem: bytes) -> bool:
    """Whether the file needs a password."""
    return b"ENCRYPTED" in pem


def read_private(pem: bytes, name: str, password: bytes) -> Private:
    """The key in a file. Raises InvalidRequest: no key, of a kind that cannot sign, or another password."""
    try:
        if any(f"BEGIN {kind}".encode() in pem for kind in _KINDS):
            key: object = serialization.load_der_private_key(_opened(pem, name, password), None)
        else:
            key = serialization.load_pem_private_key(pem, password if is_encrypted(pem) else None)
    except (ValueError, TypeError, UnsupportedAlgorithm, Refused) as error:
        other = any(word in str(error).lower() for word in ("password", "decrypt"))
        why = "the password is not the one" if other else "there is no private key in PEM in it"
        raise errors.InvalidRequest(
            f"{name} cannot be used to sign", why=why, do="name a key of `cosign generate-key-pair` or of openssl"
        ) from error
    match key:
        case ec.EllipticCurvePrivateKey() if key.curve.name in ("secp256r1", "secp384r1", "secp521r1"):
            return key
        case rsa.RSAPrivateKey() if key.key_size >= 2048:
            return key
        case ed25519.Ed25519PrivateKey():
            return key
    raise errors.InvalidRequest(
        f"{name} cannot be used to sign",
        why="keys of its kind are not",
        do="make an ECDSA key: `cosign generate-key-pair`",
    )


def sign(private: Private, message: bytes) -> bytes:
    """A signature as cosign makes and checks it: ECDSA with SHA-256 on every curve, RSA with PKCS #1 v1.5."""
    match private:
        case ed25519.Ed25519PrivateKey():
            return private.sign(message)
        case rsa.RSAPrivateKey():
            return private.sign(message, padding.PKCS1v15(), hashes.SHA256())
        case _:
            return private.sign(message, ec.ECDSA(hashes.SHA256()))


def _opened(pem: bytes, name: str, password: bytes) -> bytes:
    """What is in cosign's box: PKCS #8 in DER (go-securesystemslib, ``encrypted``)."""
    body = "".join(line for line in pem.decode("ascii", "replace").splitlines() if line and "-----" not in line)
    try:
        top = read_object(base64.b64decode(body, validate=True), "key")
    except binascii.Error as error:
        raise ValueError("not base64") from error
    kdf, cipher = top.fields("kdf"), top.fields("cipher")
    cost = kdf.fields("params")
    n, r, p = cost.number("N"), cost.number("r"), cost.number("p")
    if (kdf.text("name"), cipher.text("name")) != ("scrypt", "nacl/secretbox") or n > _MOST_COST or r > 16 or p > 4:
        raise ValueError("not scrypt and nacl/secretbox of a usual cost")
    nonce = cipher.raw("nonce")
    if len(nonce) != 24:
        raise ValueError("nonce of another length")
    derived = hashlib.scrypt(password, salt=kdf.raw("salt"), n=n, r=r, p=p, maxmem=256 * n * r, dklen=32)
    plain = salsa.unseal(top.raw("ciphertext"), derived, nonce)
    if plain is None:
        raise ValueError("password")
    return plain
