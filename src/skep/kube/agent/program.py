"""The agent's process: sees, acts, and tells how it is, until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from skep.kube import kinds
from skep.kube.agent import metrics as numbers
from skep.kube.agent import news, sight
from skep.kube.agent.agent import Agent
from skep.kube.agent.records import Wish
from skep.kube.agent.view import View
from skep.kube.api import certificate, connect, health, listen, metrics, review
from skep.kube.api.connect import Api
from skep.kube.api.events import Events
from skep.kube.api.key import Key
from skep.kube.api.notice import About
from skep.kube.inventory import findings, write
from skep.rpc import client

log = logging.getLogger("skep.kube.agent")

COMPONENT: Final = "bpfman-agent"
"""Who tells Events."""
WORKERS: Final = 4
"""Applications that are worked on at once; the daemon itself changes one thing at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the agent is run. ``socket``: the daemon's. Addresses are (host, port), None: not served.

    ``certificates``: a directory with tls.crt and tls.key, None: one is made.
    """

    node: str
    kubeconfig: str | None
    socket: str
    health: tuple[str, int] | None
    metrics: tuple[str, int] | None
    certificates: Path | None


def serve(options: Options) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    return asyncio.run(_serve(options))


async def _serve(options: Options) -> int:
    async with contextlib.AsyncExitStack() as held:
        api = await held.enter_async_context(connect.connect(options.kubeconfig))
        door = held.enter_context(client.Client(options.socket))
        running = asyncio.create_task(_run(options, api, door))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, running.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await running
    return 0


async def _run(options: Options, api: Api, door: client.Client) -> None:
    # Whoever ends the watching of the host closes its client; calls that are under way have another.
    view = View(api, client.Client(options.socket), options.node)
    events = Events(api, component=COMPONENT, host=options.node)

    def tell(wish: Wish, told: news.News) -> None:
        log.info("%s: %s: %s", wish.key, told.reason, told.note)
        events.tell(_about(wish), told.reason, told.note, warning=told.warning)

    told = numbers.Numbers(lambda: [each.status for each in view.states()], lambda: view.host is not None)

    def tell_of_node(found: findings.News) -> None:
        log.info("%s: %s: %s", found.application or options.node, found.reason, found.note)
        about = None
        if not found.application:
            about = _about_node(view.node)
        elif (wish := view.wish(found.application)) is not None:
            about = _about(wish)
        if about is not None:
            events.tell(about, found.reason, found.note, warning=found.warning)

    ears = write.Ears(found=told.inventory, news=tell_of_node)
    agent = Agent(api, door, options.node, view, tell, told)
    async with _served(options, api, view, agent, told), asyncio.TaskGroup() as group:
        group.create_task(view.run())
        group.create_task(events.run())
        await view.synced()
        view.listen(
            wish=agent.wish_changed, state=agent.state_changed, node=agent.node_changed,
            pod=agent.pod_changed, host=agent.host_changed,
        )  # fmt: skip
        agent.all()
        log.info("watching", extra={"node": options.node, "applications": len(view.wishes())})
        group.create_task(agent.sweep())
        group.create_task(agent.queue.run(agent.handle, workers=WORKERS))
        group.create_task(write.run(api, door, options.node, view.inventoried, ears=ears))


@contextlib.asynccontextmanager
async def _served(options: Options, api: Api, view: View, agent: Agent, told: numbers.Numbers) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as held:
        if options.health is not None:
            routes = health.routes(live={}, ready={"daemon": view.daemon_trouble, "watch": view.trouble})
            port = await held.enter_async_context(listen.listening(*options.health, routes))
            log.info("probes", extra={"port": port})
        if options.metrics is not None:
            registry = metrics.registry(queues={"applications": agent.queue}, informers=view.informers())
            registry.register(told)
            routes = metrics.routes(registry, review.Reviewer(api))
            tls = await _tls(options, held)
            port = await held.enter_async_context(listen.listening(*options.metrics, routes, tls=tls))
            log.info("metrics", extra={"port": port})
        yield


async def _tls(options: Options, held: contextlib.AsyncExitStack) -> ssl.SSLContext:
    directory = options.certificates
    if directory is None:
        return certificate.made(options.node)
    return await held.enter_async_context(certificate.from_files(directory / "tls.crt", directory / "tls.key"))


def _about_node(node: sight.Node | None) -> About | None:
    return None if node is None else About(api_version="v1", kind="Node", key=Key(name=node.name), uid=node.uid)


def _about(wish: Wish) -> About:
    kind = kinds.CLUSTER_APPLICATION if wish.namespace is None else kinds.APPLICATION
    key = Key(namespace=wish.namespace or "", name=wish.name)
    return About(api_version=kinds.API_VERSION, kind=kind.name, key=key, uid=wish.uid)
