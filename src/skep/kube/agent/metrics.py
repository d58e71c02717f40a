"""The agent's numbers in Prometheus' text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from skep.kube import naming

BUCKETS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds."""
_STATES = (naming.PENDING, naming.SUCCESS, naming.ERROR, naming.UNLOADED, naming.UNLOAD_ERROR)
_LINKS = ("Attached", "NotAttached", "AttachError", "DetachError")


class Metrics:
    """Counted here: how long turns take, and the errors by class. The rest is counted out of the statuses."""

    def __init__(self) -> None:
        self._seconds = [0] * (len(BUCKETS) + 1)
        self._total = 0.0
        self._errors: Counter[str] = Counter()

    def turn(self, seconds: float, errors: Iterable[BaseException]) -> None:
        """A turn has ended."""
        place = next((index for index, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))
        self._seconds[place] += 1
        self._total += seconds
        self._errors.update(type(each).__name__ for each in errors)

    def text(self, statuses: Iterable[Mapping[str, Any]], *, queued: int, daemon: bool) -> str:  # Any: JSON
        """All families. ``statuses``: of the state objects; ``daemon``: whether it answers."""
        return "\n".join(self._lines(tuple(statuses), queued, daemon)) + "\n"

    def _lines(self, statuses: tuple[Mapping[str, Any], ...], queued: int, daemon: bool) -> Iterator[str]:
        states: Counter[str] = Counter()
        links: Counter[str] = Counter()
        for status in statuses:
            states.update(each["type"] for each in status.get("conditions") or ())
            for program in status.get("programs") or ():
                body = next((value for value in program.values() if isinstance(value, Mapping)), {})
                links.update(link["linkStatus"] for link in body.get("links") or ())
        yield from _family("skep_agent_applications", "gauge", "Applications of this node by condition.")
        yield from (f'skep_agent_applications{{condition="{each}"}} {states[each]}' for each in _STATES)
        yield from _family("skep_agent_links", "gauge", "Links of this node's applications by status.")
        yield from (f'skep_agent_links{{status="{each}"}} {links[each]}' for each in _LINKS)
        yield from _family("skep_agent_errors_total", "counter", "Failures by class of error.")
        yield from (f'skep_agent_errors_total{{error="{name}"}} {self._errors[name]}' for name in sorted(self._errors))
        yield from _family("skep_agent_turn_seconds", "histogram", "How long an application's turn takes.")
        below = 0
        for bound, number in zip((*BUCKETS, float("inf")), self._seconds, strict=True):
            below += number
            edge = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f'skep_agent_turn_seconds_bucket{{le="{edge}"}} {below}'
        yield f"skep_agent_turn_seconds_sum {self._total:.6f}"
        yield f"skep_agent_turn_seconds_count {below}"
        yield from _family("skep_agent_queue", "gauge", "Applications that wait for their turn.")
        yield f"skep_agent_queue {queued}"
        yield from _family("skep_agent_daemon_up", "gauge", "Whether the daemon answers.")
        yield f"skep_agent_daemon_up {int(daemon)}"


def _family(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"
