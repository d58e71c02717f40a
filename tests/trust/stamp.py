"""Asks a timestamp authority for a timestamp."""

from __future__ import annotations

import urllib.request

from rfc3161_client import TimestampRequestBuilder


def stamp(url: str, data: bytes) -> bytes:
    """The authority's answer about ``data``, in DER."""
    wanted = TimestampRequestBuilder().data(data).nonce(nonce=True).build().as_bytes()
    request = urllib.request.Request(url, data=wanted, headers={"content-type": "application/timestamp-query"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: bytes = answer.read()
        return found
