"""Two small services that Fulcio needs and that nobody ships alone.

An issuer of identity tokens (OpenID Connect), and a certificate log (RFC 6962) that signs promises and keeps nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

POISON = bytes.fromhex("060a2b06010401d679020403")
"""The object identifier that marks a certificate to be (RFC 6962, 3.1), in DER."""


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Serves discovery, its key, and ``/ct``; makes tokens for whatever identity is asked."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.log_key = ec.generate_private_key(ec.SECP256R1())
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages = {"/.well-known/openid-configuration": issuer.discovery, "/keys": issuer.keys}
                self._answer(pages[self.path]() if self.path in pages else {})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self._answer(issuer.promise([base64.b64decode(each) for each in body["chain"]]))

            def _answer(self, value: object) -> None:
                data = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def discovery(self) -> object:
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/auth",
            "token_endpoint": f"{self.url}/token",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }

    def keys(self) -> object:
        numbers = self._key.public_key().public_numbers()
        x, y = (b64url(each.to_bytes(32, "big")) for each in (numbers.x, numbers.y))
        return {"keys": [{"kty": "EC", "crv": "P-256", "kid": "1", "use": "sig", "alg": "ES256", "x": x, "y": y}]}

    def token(self, email: str, audience: str = "sigstore", seconds: int = 600) -> str:
        """An identity token, valid for ten minutes; before now with a number below zero."""
        now = int(time.time())
        head = {"alg": "ES256", "kid": "1", "typ": "JWT"}
        claims = {
            "iss": self.url, "aud": audience, "sub": email, "email": email, "email_verified": True,
            "iat": now + min(seconds, 0) - 5, "exp": now + seconds,
        }  # fmt: skip
        signed = ".".join(b64url(json.dumps(each).encode()) for each in (head, claims))
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{b64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def promise(self, chain: list[bytes]) -> object:
        """A timestamp for a certificate to be."""
        spki = self.log_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        issuer = x509.load_der_x509_certificate(chain[1]).public_key()
        issuer_spki = issuer.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        tbs = unpoisoned(x509.load_der_x509_certificate(chain[0]).tbs_certificate_bytes)
        at = int(time.time() * 1000)
        message = struct.pack("!BBQH", 0, 0, at, 1) + hashlib.sha256(issuer_spki).digest()
        message += len(tbs).to_bytes(3, "big") + tbs + struct.pack("!H", 0)
        signature = self.log_key.sign(message, ec.ECDSA(hashes.SHA256()))
        return {
            "sct_version": 0,
            "id": base64.b64encode(hashlib.sha256(spki).digest()).decode(),
            "timestamp": at,
            "extensions": "",
            "signature": base64.b64encode(b"\x04\x03" + struct.pack("!H", len(signature)) + signature).decode(),
        }


def unpoisoned(tbs: bytes) -> bytes:
    """A TBSCertificate without the extension that marks it as one to be."""
    fields = list(_members(tbs))
    extensions = fields[-1]
    kept = b"".join(each for each in _members(next(_members(extensions))) if POISON not in each)
    fields[-1] = _tlv(extensions[0], _tlv(0x30, kept))
    return _tlv(0x30, b"".join(fields))


def _members(der: bytes):
    """The values inside of one constructed value, whole."""
    start, length = _header(der)
    at, end = start, start + length
    while at < end:
        inner, size = _header(der[at:])
        yield der[at : at + inner + size]
        at += inner + size


def _header(der: bytes) -> tuple[int, int]:
    if der[1] < 0x80:
        return 2, der[1]
    count = der[1] & 0x7F
    return 2 + count, int.from_bytes(der[2 : 2 + count], "big")


def _tlv(kind: int, value: bytes) -> bytes:
    if len(value) < 0x80:
        return bytes((kind, len(value))) + value
    size = len(value).to_bytes((len(value).bit_length() + 7) // 8, "big")
    return bytes((kind, 0x80 | len(size))) + size + value
