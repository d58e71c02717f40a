"""Signatures of our own, in both of cosign's forms. Pure: bytes that somebody else pushes."""

from __future__ import annotations

import base64
import json

from skep.trust.claims import COSIGN_SIGN
from skep.trust.evidence import IN_TOTO, pae
from skep.trust.keys import Key
from skep.trust.secret import Private, sign

BUNDLE_V03 = "application/vnd.dev.sigstore.bundle.v0.3+json"


def simple_payload(name: str, digest: str) -> bytes:
    """What a signature below a tag is over. ``name`` is the image's, without tag; only the digest counts."""
    critical = {
        "identity": {"docker-reference": name},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }
    return json.dumps({"critical": critical, "optional": None}, separators=(",", ":")).encode()


def statement(digest: str) -> bytes:
    """What a bundle's signature is over: an in-toto statement that says no more than "signed"."""
    algorithm, _, value = digest.partition(":")
    return json.dumps(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "", "digest": {algorithm: value}}],  # sigstore-python reads none without a name
            "predicateType": COSIGN_SIGN,
            "predicate": {},
        },
        separators=(",", ":"),
    ).encode()


def bundle(private: Private, payload: bytes) -> bytes:
    """A bundle (0.3) around a statement, signed with a key; no log and no timestamp."""
    hint = Key(name="", public=private.public_key()).hint
    signature = sign(private, pae(IN_TOTO, payload))
    return json.dumps(
        {
            "mediaType": BUNDLE_V03,
            "verificationMaterial": {"publicKey": {"hint": hint}},
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": IN_TOTO,
                "signatures": [{"sig": base64.b64encode(signature).decode()}],
            },
        },
        separators=(",", ":"),
    ).encode()
