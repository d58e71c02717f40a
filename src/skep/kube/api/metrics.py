"""``/metrics`` in Prometheus' format, for whoever may read it; the numbers that queues and informers have anyway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import prometheus_client
from prometheus_client import core, exposition
from prometheus_client.registry import Collector

from skep.kube.api import listen
from skep.kube.api.events import Events
from skep.kube.api.informer import Informer
from skep.kube.api.lease import Election
from skep.kube.api.listen import Answer, Asked, Route
from skep.kube.api.queue import Queue
from skep.kube.api.review import Reviewer, Verdict

PATH = "/metrics"


def registry(
    *,
    queues: Mapping[str, Queue[Any]] | None = None,
    informers: Mapping[str, Informer[Any]] | None = None,
    election: Election | None = None,
    events: Events | None = None,
) -> prometheus_client.CollectorRegistry:  # Any: of whatever keys and values
    """A registry with the numbers of these, by name, and of the process; others may be added to it.

    The two are read whenever numbers are asked for, so they may be empty as yet.
    """
    made = prometheus_client.CollectorRegistry()
    prometheus_client.ProcessCollector(registry=made)
    made.register(_Numbers({} if queues is None else queues, {} if informers is None else informers))
    if election:
        leading = prometheus_client.Gauge("skep_leading", "1 while this process holds the lease.", registry=made)
        leading.set_function(lambda: election.leading)
    if events:
        left = prometheus_client.Gauge("skep_events_left_out", "Events that were not written.", registry=made)
        left.set_function(lambda: events.left_out)
    return made


def routes(registry: prometheus_client.CollectorRegistry, reviewer: Reviewer) -> dict[str, Route]:
    """``/metrics`` for ``listen.listening``, which must be given a certificate: tokens are sent to it."""

    async def answered(asked: Asked) -> Answer:
        scheme, _, token = asked.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return _unauthorized("a token is needed")
        match await reviewer.judge(token.strip(), PATH):
            case Verdict.UNKNOWN:
                return _unauthorized("the API server does not know this token")
            case Verdict.REFUSED:
                return listen.text(HTTPStatus.FORBIDDEN, f"the bearer of this token may not get {PATH}")
            case Verdict.ALLOWED:
                encode, content_type = exposition.choose_encoder(asked.headers.get("accept", ""))
                return Answer(status=HTTPStatus.OK, body=encode(registry), headers={"Content-Type": content_type})

    return {PATH: answered}


def _unauthorized(why: str) -> Answer:
    return listen.text(HTTPStatus.UNAUTHORIZED, why, **{"WWW-Authenticate": "Bearer"})


class _Numbers(Collector):
    """Read when they are asked for: nothing has to be counted twice."""

    def __init__(self, queues: Mapping[str, Queue[Any]], informers: Mapping[str, Informer[Any]]) -> None:
        self._queues = queues  # Any: of whatever keys
        self._informers = informers

    def collect(self) -> Iterator[core.Metric]:
        known = core.GaugeMetricFamily(
            "skep_queue_keys", "Keys that wait, for their time too, or run.", labels=["queue"]
        )
        waiting = core.GaugeMetricFamily(
            "skep_queue_waiting", "Keys that are due and wait for a worker.", labels=["queue"]
        )
        failed = core.CounterMetricFamily("skep_queue_failures", "Times that a key was not handled.", labels=["queue"])
        handled = core.CounterMetricFamily("skep_queue_handled", "Times that a key was handled.", labels=["queue"])
        for name, queue in self._queues.items():
            known.add_metric([name], len(queue))
            waiting.add_metric([name], queue.waiting())
            failed.add_metric([name], queue.failed)
            handled.add_metric([name], queue.handled)
        kept = core.GaugeMetricFamily("skep_informer_objects", "Objects that are kept.", labels=["informer"])
        watching = core.GaugeMetricFamily("skep_informer_watching", "1 while changes are seen.", labels=["informer"])
        lists = core.CounterMetricFamily("skep_informer_lists", "Times that all was listed.", labels=["informer"])
        watches = core.CounterMetricFamily("skep_informer_watches", "Watches that were opened.", labels=["informer"])
        for name, informer in self._informers.items():
            kept.add_metric([name], len(informer.all()))
            watching.add_metric([name], not informer.trouble)
            lists.add_metric([name], informer.lists)
            watches.add_metric([name], informer.watches)
        yield from (known, waiting, failed, handled, kept, watching, lists, watches)
