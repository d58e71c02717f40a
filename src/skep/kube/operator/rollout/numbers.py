"""How many rollouts there are in each phase, for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import core
from prometheus_client.registry import Collector

from skep.kube.operator.records import Application
from skep.kube.operator.rollout.told import Phase


class Numbers(Collector):
    """Read out of the applications' statuses when it is asked for."""

    def __init__(self, applications: Callable[[], Iterable[Application]]) -> None:
        self._applications = applications

    def collect(self) -> Iterator[core.Metric]:
        """One family."""
        found = [each.told.rollout for each in self._applications() if each.rollout is not None]
        phases = Counter(each.phase for each in found if each is not None)
        made = core.GaugeMetricFamily(
            "skep_operator_rollouts", "Applications by phase of their rollout.", labels=["phase"]
        )
        for phase in Phase:
            made.add_metric([phase.value], phases[phase])
        yield made
