"""Inclusion proofs of a transparency log: a leaf is in the tree whose root a checkpoint states (RFC 6962, 2.1.1)."""

from __future__ import annotations

import hashlib


def leaf_hash(body: bytes) -> bytes:
    """The hash of an entry."""
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_from(leaf: bytes, *, index: int, size: int, hashes: tuple[bytes, ...]) -> bytes | None:
    """The root that a proof leads to, or None when the proof has the wrong length (RFC 9162, 2.1.3.2).

    ``index`` counts from 0 and is below ``size``, the number of leaves.
    """
    if not 0 <= index < size:
        return None
    node, last, here = index, size - 1, leaf
    for sibling in hashes:
        if last == 0:
            return None
        if node & 1 or node == last:
            here = node_hash(sibling, here)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            here = node_hash(here, sibling)
        node, last = node >> 1, last >> 1
    return here if last == 0 else None
