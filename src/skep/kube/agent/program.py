"""The agent's process: sees, acts, and tells how it is, until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from dataclasses import dataclass
from typing import Final

from skep.kube import kinds
from skep.kube.agent import news, sight
from skep.kube.agent.agent import Agent
from skep.kube.agent.records import Wish
from skep.kube.agent.view import View
from skep.kube.api import connect
from skep.kube.api.events import Events
from skep.kube.api.key import Key
from skep.kube.api.notice import About
from skep.kube.inventory import status, write
from skep.rpc import client

log = logging.getLogger("skep.kube.agent")

COMPONENT: Final = "bpfman-agent"
"""Who tells Events."""
WORKERS: Final = 4
"""Applications that are worked on at once; the daemon itself changes one thing at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the agent is run. ``socket``: the daemon's."""

    node: str
    kubeconfig: str | None
    socket: str


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


async def _run(options: Options, api: connect.Api, door: client.Client) -> None:
    view = View(api, client.Client(options.socket), options.node)
    events = Events(api, component=COMPONENT, host=options.node)

    def tell(wish: Wish, told: news.News) -> None:
        log.info("%s: %s: %s", wish.key, told.reason, told.note)
        events.tell(_about(wish), told.reason, told.note, warning=told.warning)

    agent = Agent(api, door, options.node, view, tell)
    async with asyncio.TaskGroup() as group:
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
        group.create_task(write.run(api, door, options.node, lambda: map(_inventoried, view.pods())))


def _about(wish: Wish) -> About:
    kind = kinds.CLUSTER_APPLICATION if wish.namespace is None else kinds.APPLICATION
    key = Key(namespace=wish.namespace or "", name=wish.name)
    return About(api_version=kinds.API_VERSION, kind=kind.name, key=key, uid=wish.uid)


def _inventoried(pod: sight.Pod) -> status.Pod:
    """A pod as the inventory names it."""
    containers = {each.id.rpartition("://")[2]: each.name for each in pod.running}
    return status.Pod(uid=pod.uid, namespace=pod.namespace, name=pod.name, containers=containers)
