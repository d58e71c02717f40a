"""The agent's own numbers, beside those of its queue and informers (``api.metrics``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import core
from prometheus_client.registry import Collector

from skep import model
from skep.inventory import alerts
from skep.kube import naming

BUCKETS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds."""
_STATES = (naming.PENDING, naming.SUCCESS, naming.ERROR, naming.UNLOADED, naming.UNLOAD_ERROR)
_LINKS = ("Attached", "NotAttached", "AttachError", "DetachError")

Statuses = Callable[[], Iterable[Mapping[str, Any]]]
"""The statuses of this node's state objects. Any: JSON."""


class Numbers(Collector):
    """How long turns take and what fails is counted here; the rest is read out of the statuses when it is asked for."""

    def __init__(self, statuses: Statuses, daemon: Callable[[], bool]) -> None:
        """``daemon``: whether it answers."""
        self._statuses = statuses
        self._daemon = daemon
        self._seconds = [0] * (len(BUCKETS) + 1)
        self._total = 0.0
        self._errors: Counter[str] = Counter()
        self._found: model.Inventory | None = None

    def turn(self, seconds: float, errors: Iterable[BaseException]) -> None:
        """A turn has ended."""
        place = next((index for index, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))
        self._seconds[place] += 1
        self._total += seconds
        self._errors.update(type(each).__name__ for each in errors)

    def inventory(self, found: model.Inventory) -> None:
        """All that is in the kernel has been looked at."""
        self._found = found

    def collect(self) -> Iterator[core.Metric]:
        """All families."""
        states: Counter[str] = Counter()
        links: Counter[str] = Counter()
        for status in self._statuses():
            states.update(each["type"] for each in status.get("conditions") or ())
            for program in status.get("programs") or ():
                body = next((value for value in program.values() if isinstance(value, Mapping)), {})
                links.update(link["linkStatus"] for link in body.get("links") or ())
        applications = core.GaugeMetricFamily(
            "skep_agent_applications", "Applications of this node.", labels=["condition"]
        )
        for name in _STATES:
            applications.add_metric([name], states[name])
        attached = core.GaugeMetricFamily("skep_agent_links", "Links of this node's applications.", labels=["status"])
        for name in _LINKS:
            attached.add_metric([name], links[name])
        failed = core.CounterMetricFamily("skep_agent_errors", "Failures by class of error.", labels=["error"])
        for name, number in sorted(self._errors.items()):
            failed.add_metric([name], number)
        turns = core.HistogramMetricFamily("skep_agent_turn_seconds", "How long an application's turn takes.")
        below, edges = 0, [*(f"{bound:g}" for bound in BUCKETS), "+Inf"]
        buckets = []
        for edge, number in zip(edges, self._seconds, strict=True):
            below += number
            buckets.append((edge, below))
        turns.add_metric([], buckets, self._total)
        up = core.GaugeMetricFamily("skep_agent_daemon_up", "1 while the daemon answers.", value=self._daemon())
        yield from (applications, attached, failed, turns, up, *_alerts(self._found))


def _alerts(found: model.Inventory | None) -> Iterator[core.Metric]:
    """As the daemon's page has them; nothing before the first look."""
    if found is None:
        return
    foreign = core.GaugeMetricFamily(alerts.FOREIGN, alerts.FOREIGN_HELP, labels=["type", "sanctioned"])
    for (type_, sanctioned), number in sorted(alerts.foreign(found).items()):
        foreign.add_metric([type_, str(sanctioned).lower()], number)
    clashes = core.GaugeMetricFamily(alerts.CLASHES, alerts.CLASHES_HELP, labels=["kind", "hook"])
    for (kind, hook), number in sorted(alerts.counted(found).items()):
        clashes.add_metric([kind, hook], number)
    yield from (foreign, clashes)
