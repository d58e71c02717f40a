"""How long to wait before something that failed is tried again. Pure: chance is an argument."""

from __future__ import annotations

from dataclasses import dataclass

_DOUBLINGS = 32
"""No wait doubles more often; keeps the power small whatever the count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits that double from ``first`` to ``longest`` seconds, each shortened by up to ``spread`` of itself."""

    first: float
    longest: float
    spread: float = 0.5

    def wait(self, failures: int, chance: float) -> float:
        """Seconds to wait after so many failures in a row (at least 1); ``chance`` is evenly in [0, 1).

        Without chance all nodes of a cluster would come back to its API server in the same moment.
        """
        whole = min(self.longest, self.first * 2.0 ** min(failures - 1, _DOUBLINGS))
        return whole * (1.0 - self.spread * chance)
