"""The agents of many nodes in one process: `python -m tests.kube.fleet.agents` with the administrator's kubeconfig.

Each is skep's own Agent, with its queue; they share what all of them would watch alike, their connections, and a bound
on how many work at once. Before each is a played daemon, and behind each the token of its own node, so that the API
server's policies judge every write.

Words come as JSON, one to a line, on standard input; each is answered by a line on standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextvars
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2

from skep import model
from skep.kube import naming
from skep.kube.agent import agent, records, sight, view
from skep.kube.agent.metrics import Numbers
from skep.kube.api import connect, served
from skep.kube.api.connect import Api
from skep.kube.api.informer import Informer
from skep.kube.api.key import Key
from tests.kube.fleet import bare, daemon

LABEL = "skep.test/fleet"
"""Label of the nodes that are played; its value is the fleet's name."""
AT_ONCE = 24
"""Requests and turns that are under way: as many as the API server takes from one account without queueing for long."""
_who: contextvars.ContextVar[str] = contextvars.ContextVar("_who", default="")


class Transport(httpx2.AsyncBaseTransport):
    """Everybody's connections; what an agent asks is asked with the token of its node. Counts requests by node's or
    administrator's, method and kind."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner
        self.tokens: dict[str, str] = {}
        self.counts: collections.Counter[str] = collections.Counter()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Ask."""
        if token := self.tokens.get(_who.get()):
            request.headers["Authorization"] = f"Bearer {token}"
            self.counts[f"{request.method} {_kind(request.url.path)}"] += 1
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all."""
        await self._inner.aclose()


def _kind(path: str) -> str:
    """clusterbpfapplicationstates, or with /status."""
    words = path.split("/")
    plural = next((each for each in words if each.endswith("states")), words[-1])
    return plural + ("/status" if words[-1] == "status" else "")


class Known:
    """What one agent knows of the cluster (``agent.Known``): of all that the process knows, what concerns its node."""

    host: model.HostSeen | None = daemon.HOST

    def __init__(self, fleet: Fleet, name: str) -> None:
        self._fleet = fleet
        self._name = name
        self.states_by_name: dict[Key, records.State] = {}

    @property
    def node(self) -> sight.Node | None:
        """Its Node."""
        return self._fleet.nodes.get(Key(name=self._name))

    def wish(self, key: str) -> records.Wish | None:
        """An application's object."""
        namespace, name = records.parted(key)
        return self._fleet.wishes.get(Key(name=name)) if namespace is None else None

    def wishes(self) -> tuple[records.Wish, ...]:
        """All of them."""
        return tuple(self._fleet.wishes.all().values())

    def sees(self, key: str) -> bool:
        """Its kind is known."""
        return True

    def state(self, key: str) -> records.State | None:
        """An application's state on its node."""
        _, name = records.parted(key)
        return self.states_by_name.get(Key(name=naming.state_name(name, self._name)))

    def states(self) -> tuple[records.State, ...]:
        """All of them."""
        return tuple(self.states_by_name.values())

    def pods(self) -> tuple[sight.Pod, ...]:
        """None."""
        return ()


class Played:
    """One node's agent and daemon."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self.name = name
        self.known = Known(fleet, name)
        self.daemon = daemon.Daemon()
        numbers = Numbers(tuple, lambda: True)
        self.agent = agent.Agent(fleet.api, self.daemon, name, self.known, lambda *_: None, numbers)
        self._fleet = fleet

    async def run(self) -> None:
        """Work until cancelled."""
        await self._fleet.token(self.name)
        self.agent.all()
        await self.agent.queue.run(self._handle, workers=1)

    async def _handle(self, key: str) -> float | None:
        async with self._fleet.gate:
            self._fleet.turns += 1
            _who.set(self.name)
            return await self.agent.handle(key)


class Fleet:
    """All of them. Informers feed those who are there; a node that comes gets an agent, one that goes loses it."""

    def __init__(self, api: Api, transport: Transport, name: str, namespace: str) -> None:
        self.api = api
        self._transport = transport
        self._namespace = namespace
        self.gate = asyncio.Semaphore(AT_ONCE)
        self.turns = 0
        self.members: dict[str, Played] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._begun = False
        self._group: asyncio.TaskGroup | None = None
        self.nodes = Informer(api, served.NODE, keep=sight.node, changed=self._node, labels={LABEL: name})
        self.wishes = Informer(api, served.CLUSTER_APPLICATION, keep=records.wish, changed=self._wish)
        self._states = Informer(api, served.CLUSTER_STATE, keep=_state, changed=self._state)

    async def run(self, group: asyncio.TaskGroup) -> None:
        """See everything from here on."""
        self._group = group
        for each in (self._states, self.wishes, self.nodes):
            group.create_task(each.run())
            await each.synced()

    def begin(self) -> None:
        """Let the agents work."""
        self._begun = True
        for name in self.members:
            self._start(name)

    def hold(self) -> None:
        """Stop them where they are, for good."""
        self._begun = False
        for task in self._running.values():
            task.cancel()

    async def token(self, name: str) -> None:
        """Have the token of a node's agent."""
        if name in self._transport.tokens:
            return
        about = self.nodes.get(Key(name=name))
        assert about is not None
        async with self.gate:
            self._transport.tokens[name] = await bare.token(self.api, self._namespace, name)

    def pending(self) -> int:
        """How many turns are due or under way."""
        queues = [each.agent.queue for each in self.members.values()]
        return sum(each.waiting() + each._schedule.running for each in queues)

    def _start(self, name: str) -> None:
        assert self._group is not None
        if self._begun and name not in self._running:
            self._running[name] = self._group.create_task(self.members[name].run())

    def _node(self, key: Key, old: sight.Node | None, new: sight.Node | None) -> None:
        if new is None:
            self.members.pop(key.name, None)
            self._transport.tokens.pop(key.name, None)
            if task := self._running.pop(key.name, None):
                task.cancel()
        elif key.name in self.members:
            self.members[key.name].agent.node_changed()
        else:
            self.members[key.name] = Played(self, key.name)
            self._start(key.name)

    def _wish(self, key: Key, old: records.Wish | None, new: records.Wish | None) -> None:
        for each in self.members.values():
            each.agent.wish_changed(old, new)

    def _state(self, key: Key, old: tuple[str, records.State] | None, new: tuple[str, records.State] | None) -> None:
        name = (new or old or ("",))[0]
        if (member := self.members.get(name)) is None:
            return
        if new is None:
            member.known.states_by_name.pop(key, None)
        else:
            member.known.states_by_name[key] = new[1]
        member.agent.state_changed(old and old[1], new and new[1])


def _state(document: Mapping[str, Any]) -> tuple[str, records.State] | None:  # Any: JSON
    made = records.state(document)
    return None if made is None else (document["metadata"]["labels"].get(naming.HOSTNAME, ""), made)


class Process:
    """What can be asked of the process."""

    def __init__(self, fleet: Fleet, transport: Transport, watching: Api, group: asyncio.TaskGroup) -> None:
        self._fleet = fleet
        self._transport = transport
        self._watching = watching
        self._group = group

    async def answer(self, word: str, about: Mapping[str, Any]) -> object:
        """One word's answer."""
        fleet = self._fleet
        match word:
            case "begin":
                fleet.begin()
            case "hold":
                fleet.hold()
            case "listen":
                return await self._listen(about["nodes"])
            case "tokens":
                await asyncio.gather(*(fleet.token(each) for each in fleet.members))
            case "counts":
                times = os.times()
                return {
                    "nodes": len(fleet.members), "turns": fleet.turns, "busy": fleet.pending(),
                    "requests": dict(self._transport.counts), "cpu": times.user + times.system,
                }  # fmt: skip
            case "refuse":
                for name in about["nodes"]:
                    fleet.members[name].daemon.refused = set(about["applications"])
            case "bare":
                return await self._bare(about["application"], about["nodes"], about["change"])
            case _:
                raise ValueError(word)
        return {}

    async def _bare(self, application: Mapping[str, Any], nodes: list[str], change: bool) -> object:
        """The writes of so many states, with nothing before or after them; how long they took, seconds."""
        wish = records.wish(application)
        made = {name: bare.documents(wish, name) for name in nodes}
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(name: str) -> None:
            async with gate:
                _who.set(name)
                await bare.write(self._fleet.api, *made[name], change=change)

        began = time.monotonic()
        await asyncio.gather(*(one(name) for name in nodes))
        return {"seconds": time.monotonic() - began}

    async def _listen(self, nodes: list[str]) -> object:
        """Open all watches that the agents of these nodes would, each its own, as agents on their own nodes do."""
        views = [view.View(self._watching, _Silent(), name) for name in nodes]
        for each in views:
            for informer in each.informers().values():
                self._group.create_task(informer.run())
            await each.synced()
        return {"watches": sum(len(each.informers()) for each in views)}


class _Silent:
    """A daemon that is never asked."""

    def watch_host(self) -> Iterator[model.HostSeen]:
        """Nothing."""
        return iter(())

    def close(self) -> None:
        """Nothing to close."""


async def main(words: argparse.Namespace) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    config = connect.configuration(words.kubeconfig)
    context = bare.context(config)
    limits = httpx2.Limits(max_connections=AT_ONCE + 8, max_keepalive_connections=AT_ONCE + 8)
    transport = Transport(httpx2.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits))
    endless = httpx2.AsyncHTTPTransport(verify=context, trust_env=False, limits=httpx2.Limits(max_connections=None))
    seconds = httpx2.Timeout(60.0)
    api = Api(config, timeout=seconds, trust_env=False, transport=transport)
    watching = Api(config, timeout=seconds, trust_env=False, transport=endless)
    reader = asyncio.StreamReader(limit=2**26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with api, watching, asyncio.TaskGroup() as group:
        fleet = Fleet(api, transport, words.fleet, words.namespace)
        await fleet.run(group)
        process = Process(fleet, transport, watching, group)
        _say({"ready": True})
        while line := await reader.readline():
            asked = json.loads(line)
            _say(await process.answer(asked.pop("do"), asked))
        raise SystemExit(0)


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--fleet", required=True, help="the value of the nodes' label")
    parser.add_argument("--namespace", required=True, help="where the agents' account is")
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(main(parser.parse_args()))
