"""Everything in this kernel, managed or not, with its owners, and what is wrong between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from skep import model, paths, store
from skep.inventory import alerts, owners, refusals, seen, surroundings
from skep.kernel import door

_TRIES: Final = 3
"""How often all is looked at while skep itself changes things: half of a change looks like somebody else's doing."""


def look(
    kernel: door.Kernel,
    remembered: store.Store,
    pins: paths.Pins,
    clock: Callable[[], float],
    unless: str,
    refused: refusals.Refusals,
    sanctioned: tuple[model.Sanctioned, ...],
) -> model.Inventory | None:
    """Look at everything; None while nothing came or went since the fingerprint was ``unless``."""
    found = None
    for _ in range(_TRIES):
        # First: what comes meanwhile makes the next one differ. An adopted program was there before, so records count.
        revision = remembered.snapshot().revision
        fingerprint = f"{kernel.fingerprint()}-{revision}-{refused.fingerprint()}"
        if unless == fingerprint:
            return None
        found = _look(kernel, remembered, pins, clock, fingerprint, refused, sanctioned)
        if remembered.snapshot().revision == revision and not remembered.pending():
            break
    return found


def _look(
    kernel: door.Kernel,
    remembered: store.Store,
    pins: paths.Pins,
    clock: Callable[[], float],
    fingerprint: str,
    refused: refusals.Refusals,
    sanctioned: tuple[model.Sanctioned, ...],
) -> model.Inventory:
    sight = seen.look(kernel, remembered, pins)
    now = clock()
    survey = kernel.survey()
    booted_at = now - time.clock_gettime(time.CLOCK_BOOTTIME)
    found = owners.inventory(survey, sight, fingerprint=fingerprint, booted_at=booted_at)
    around = surroundings.look(kernel, pins, survey, sight, found, refused.all(), now)
    return alerts.judged(around, sanctioned)
