"""Verdicts by name: those of a chain's type, or of a program type. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from skep.hooks import tc, xdp


def names(type: str) -> Mapping[int, str]:
    """Code -> name, ascending; ``type`` is a chain's ("tc-ingress") or a program's ("tc")."""
    known = tc.VERDICTS if type.partition("-")[0] == "tc" else xdp.VERDICTS
    return {code: name for name, code in sorted(known.items(), key=lambda pair: pair[1])}


def of_mask(type: str, mask: int) -> tuple[str, ...]:
    """The names in a proceed-on mask, by code. Bit 0 is the lowest code."""
    known = names(type)
    lowest = min(known)
    return tuple(name for code, name in known.items() if mask & 1 << code - lowest)
