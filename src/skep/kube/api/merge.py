"""JSON merge patches (RFC 7386): what to send so that one object becomes another. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]
"""An object as the API server sends it. Any: JSON."""


def patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> Object:
    """The patch that makes ``new`` of ``old``; empty if there is nothing to change.

    Lists are replaced whole, as RFC 7386 wants. A member of ``new`` that is None is as good as absent: a merge patch
    cannot say anything else, and the API server drops nulls.
    """
    made: Object = {key: None for key in old if new.get(key) is None and old[key] is not None}
    for key, value in new.items():
        before = old.get(key)
        if value is None or value == before:
            continue
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            made[key] = patch(before, value)
        else:
            made[key] = value
    return made
