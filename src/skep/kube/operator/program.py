"""The operator's process: its connection, probes and metrics; whoever holds the lease leads, the others wait."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skep.kube import naming
from skep.kube.api import certificate, connect, health, lease, listen, metrics, review
from skep.kube.api.connect import Api
from skep.kube.api.events import Events
from skep.kube.api.informer import Informer
from skep.kube.api.key import Key
from skep.kube.api.merge import Object
from skep.kube.api.queue import Queue
from skep.kube.operator import deploy
from skep.kube.operator.leading import Operator
from skep.kube.operator.rollout import numbers

log = logging.getLogger("skep.kube.operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the operator is run. Addresses are (host, port), None: not served.

    ``namespace``: where the lease is; ``elect``: whether it is needed. ``certificates``: a directory with tls.crt and
    tls.key, None: one is made. ``default``: the Config to make if there is none; with ``kept`` its fields are set
    anyway.
    """

    kubeconfig: str | None
    namespace: str
    default: Object | None
    kept: bool
    elect: bool
    health: tuple[str, int] | None
    metrics: tuple[str, int] | None
    certificates: Path | None


def serve(options: Options) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    return asyncio.run(_Process(options).run())


class _Process:
    """What is there whether it leads or not."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._leading: Operator | None = None
        # Read whenever somebody asks for metrics; filled while leading.
        self._queues: dict[str, Queue[Any]] = {}  # Any: of whatever keys
        self._informers: dict[str, Informer[Any]] = {}

    async def run(self) -> int:
        """Serve and lead, or wait to lead, until a signal."""
        host = socket.gethostname()
        async with connect.connect(self._options.kubeconfig) as api:
            events = Events(api, component=deploy.MANAGER, host=host)
            # A restarted container has its pod's name again, but is not who held the lease.
            election = lease.Election(
                api,
                Key(namespace=self._options.namespace, name=naming.LEASE),
                identity=f"{host}_{secrets.token_hex(4)}",
            )
            async with self._served(api, election, events):
                await self._work(api, election, events)
        return 0

    async def _work(self, api: Api, election: lease.Election, events: Events) -> None:
        """Tell Events, and lead, now or once it is elected."""
        telling = asyncio.create_task(events.run())
        if self._options.elect:
            log.info("candidate for the lease", extra={"lease": naming.LEASE})

        async def lead() -> None:
            await self._lead(api, events)

        running = asyncio.create_task(election.run(lead) if self._options.elect else lead())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, running.cancel)
        try:
            await running
        except asyncio.CancelledError:
            log.info("ending")
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _lead(self, api: Api, events: Events) -> None:
        options = self._options
        operator = Operator(
            api, events, options.default, self._informers, namespace=options.namespace, kept=options.kept
        )
        self._leading = operator
        self._queues.update(operator.queues)
        self._informers.update(operator.seen.informers())
        try:
            await operator.run()
        finally:
            self._leading = None

    @contextlib.asynccontextmanager
    async def _served(self, api: Api, election: lease.Election, events: Events) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            if self._options.health is not None:
                routes = health.routes(live={}, ready={"watch": self._trouble})
                port = await stack.enter_async_context(listen.listening(*self._options.health, routes))
                log.info("probes", extra={"port": port})
            if self._options.metrics is not None:
                registry = metrics.registry(
                    queues=self._queues,
                    informers=self._informers,
                    election=election if self._options.elect else None,
                    events=events,
                )
                registry.register(numbers.Numbers(lambda: self._leading.seen.applications() if self._leading else ()))
                port = await stack.enter_async_context(
                    listen.listening(
                        *self._options.metrics,
                        metrics.routes(registry, review.Reviewer(api)),
                        tls=await self._tls(stack),
                    )
                )
                log.info("metrics", extra={"port": port})
            yield

    async def _tls(self, stack: contextlib.AsyncExitStack) -> ssl.SSLContext:
        directory = self._options.certificates
        if directory is None:
            return certificate.made(os.environ.get("POD_NAME") or socket.gethostname())
        return await stack.enter_async_context(certificate.from_files(directory / "tls.crt", directory / "tls.key"))

    def _trouble(self) -> str:
        """Why it cannot work; whoever waits for the lease can."""
        return "; ".join(self._leading.trouble()) if self._leading else ""
