"""NaCl's ``secretbox`` (XSalsa20 and Poly1305), in which cosign keeps its private keys.

``cryptography`` has Poly1305 and not this stream; a key file has some 200 bytes, so it need not be fast. Sources:
D. J. Bernstein, "Extending the Salsa20 nonce" (2011), and "Cryptography in NaCl", sections 8 to 10.
"""

from __future__ import annotations

import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

_CONSTANT = struct.unpack("<4I", b"expand 32-byte k")
_ORDER = (
    (0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11),
    (0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14),
)  # fmt: skip
"""The quarter-rounds of a double round: columns, then rows."""


def seal(plain: bytes, key: bytes, nonce: bytes) -> bytes:
    """Encrypt and authenticate. ``key`` has 32 bytes and ``nonce`` 24, never used twice with that key."""
    stream = _stream(key, nonce, 32 + len(plain))
    cipher = bytes(a ^ b for a, b in zip(plain, stream[32:], strict=False))
    return Poly1305.generate_tag(stream[:32], cipher) + cipher


def unseal(box: bytes, key: bytes, nonce: bytes) -> bytes | None:
    """The plain bytes, or None when the key is not the one, or the box was altered."""
    tag, cipher = box[:16], box[16:]
    stream = _stream(key, nonce, 32 + len(cipher))
    try:
        Poly1305.verify_tag(stream[:32], cipher, tag)
    except InvalidSignature:
        return None
    return bytes(a ^ b for a, b in zip(cipher, stream[32:], strict=False))


def _stream(key: bytes, nonce: bytes, length: int) -> bytes:
    """XSalsa20's key stream."""
    mixed = _rounds(_state(key, struct.unpack("<4I", nonce[:16])))
    inner = struct.pack("<8I", *(mixed[at] for at in (0, 5, 10, 15, 6, 7, 8, 9)))
    out = b""
    for block in range((length + 63) // 64):
        state = _state(inner, (*struct.unpack("<2I", nonce[16:]), block & 0xFFFFFFFF, block >> 32))
        out += struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(_rounds(state), state, strict=True)))
    return out[:length]


def _state(key: bytes, middle: tuple[int, ...]) -> tuple[int, ...]:
    k = struct.unpack("<8I", key)
    c = _CONSTANT
    return (c[0], *k[:4], c[1], *middle, c[2], *k[4:], c[3])


def _rounds(state: tuple[int, ...]) -> list[int]:
    x = list(state)
    for _ in range(10):
        for a, b, c, d in _ORDER:
            x[b] ^= _turned(x[a] + x[d], 7)
            x[c] ^= _turned(x[b] + x[a], 9)
            x[d] ^= _turned(x[c] + x[b], 13)
            x[a] ^= _turned(x[d] + x[c], 18)
    return x


def _turned(value: int, by: int) -> int:
    value &= 0xFFFFFFFF
    return (value << by | value >> (32 - by)) & 0xFFFFFFFF
