"""Public keys: reading them, naming them, and checking a signature with them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from skep import errors
from skep.trust.refused import Reason, Refused

Public: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_CURVES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
"""The hash that Sigstore's registry of algorithms pairs with each curve (protobuf-specs, algorithm-registry.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A public key with the name by which a person knows it ("release.pub")."""

    name: str
    public: Public

    @property
    def spki(self) -> bytes:
        """The key as DER SubjectPublicKeyInfo."""
        return spki_of(self.public)

    @property
    def hint(self) -> str:
        """What a bundle writes to say which key it means: the base64 of the SHA-256 of the DER."""
        return base64.b64encode(hashlib.sha256(self.spki).digest()).decode()


def spki_of(public: Public) -> bytes:
    """A key as DER SubjectPublicKeyInfo."""
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_from_der(der: bytes) -> Public:
    """The key in a DER SubjectPublicKeyInfo; PKCS #1 for the old logs' RSA keys. Raises ``ValueError``."""
    try:
        return _known(serialization.load_der_public_key(der))
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error


def public_of(certificate: x509.Certificate) -> Public:
    """The key of a certificate."""
    try:
        return _known(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Refused(Reason.UNSUPPORTED, f"the certificate's key cannot be used: {error}") from error


def read_key(pem: bytes, name: str) -> Key:
    """A public key in PEM (or a certificate, for its key), as ``cosign generate-key-pair`` and openssl write them."""
    try:
        if b"BEGIN CERTIFICATE" in pem:
            public: object = x509.load_pem_x509_certificate(pem).public_key()
        else:
            public = serialization.load_pem_public_key(pem)
        return Key(name=name, public=_known(public))
    except (ValueError, UnsupportedAlgorithm) as error:
        why = (
            "this is a private key"
            if b"PRIVATE KEY" in pem
            else "there is no public key in PEM in it that skep can use"
        )
        raise errors.InvalidRequest(
            f"{name} is no public key", why=why, do="name the .pub file: ECDSA, RSA of 2048 bits or more, or ed25519"
        ) from error


def verifies(public: Public, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` over ``message`` was made with this key.

    ECDSA: with the curve's hash, or SHA-256, which cosign uses on every curve. RSA: PKCS #1 v1.5 or PSS, SHA-256.
    """
    ways: list[Callable[[], None]]
    match public:
        case ed25519.Ed25519PublicKey():
            ways = [partial(public.verify, signature, message)]
        case rsa.RSAPublicKey():
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
            ways = [
                partial(public.verify, signature, message, each, hashes.SHA256()) for each in (padding.PKCS1v15(), pss)
            ]
        case _:
            algorithms = {each.name: each for each in (_CURVES[public.curve.name], hashes.SHA256())}
            ways = [partial(public.verify, signature, message, ec.ECDSA(each)) for each in algorithms.values()]
    return any(_holds(way) for way in ways)


def _holds(check: Callable[[], None]) -> bool:
    try:
        check()
    except InvalidSignature:
        return False
    return True


def _known(public: object) -> Public:
    match public:
        case ec.EllipticCurvePublicKey() if public.curve.name in _CURVES:
            return public
        case rsa.RSAPublicKey() if public.key_size >= 2048:
            return public
        case ed25519.Ed25519PublicKey():
            return public
    raise ValueError("neither ECDSA on a NIST curve, RSA of at least 2048 bits, nor ed25519")
