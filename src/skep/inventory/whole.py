"""Everything in this kernel, managed or not, with its owners."""

from __future__ import annotations

import time
from collections.abc import Callable

from skep import model, paths, store
from skep.inventory import owners, seen
from skep.kernel import door


def look(
    kernel: door.Kernel, remembered: store.Store, pins: paths.Pins, clock: Callable[[], float], unless: str
) -> model.Inventory | None:
    """Look at everything; None while no object came or went since the fingerprint was ``unless``."""
    # First: what comes meanwhile makes the next one differ. An adopted program was there before, so records count too.
    fingerprint = f"{kernel.fingerprint()}-{remembered.snapshot().revision}"
    if unless == fingerprint:
        return None
    sight = seen.look(kernel, remembered, pins)
    booted_at = clock() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return owners.inventory(kernel.survey(), sight, fingerprint=fingerprint, booted_at=booted_at)
