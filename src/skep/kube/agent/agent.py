"""Whose turn it is: applications come and go, nodes and pods and interfaces change, and what failed is tried again.

One application is never worked on twice at the same time; different ones are. A status is written when it differs from
what it was, and what fails is tried again after a while that grows, so that a node where all is well writes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from skep import errors, model
from skep.kube import naming
from skep.kube.agent import expand, login, news, records, revision, sight, status, turn
from skep.kube.agent.known import Known
from skep.kube.agent.metrics import Numbers
from skep.kube.agent.outcome import Aim, Outcome
from skep.kube.agent.records import State, Wish
from skep.kube.api import objects, served
from skep.kube.api.backoff import Backoff
from skep.kube.api.connect import Api
from skep.kube.api.key import Key
from skep.kube.api.queue import Queue

log = logging.getLogger("skep.kube.agent")

RETRY: Final = Backoff(first=1.0, longest=60.0)
"""Of an application that fails; a change of its object ends the wait."""
RESYNC: Final = 300.0
"""Seconds after which an application is looked at although nothing is known to have changed."""
SOON: Final = 2.0
"""Seconds after which pods that begin are looked for again."""
LOGIN_SECONDS: Final = 60.0


Tell = Callable[[Wish, news.News], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trouble:
    """An application that fails: at which generation and with which revision assigned, how often, and until when (loop
    time) it is left alone."""

    generation: int
    assigned: str
    failures: int
    until: float


class Agent:
    """The agent of one node."""

    def __init__(self, api: Api, door: turn.Door, node: str, known: Known, tell: Tell, numbers: Numbers) -> None:
        self._api = api
        self._door = door
        self._node = node
        self._known = known
        self._tell = tell
        self.queue: Queue[str] = Queue(RETRY)
        self._numbers = numbers
        self._trouble: dict[str, _Trouble] = {}
        self._waiting: set[str] = set()
        self._written: dict[str, Mapping[str, Any]] = {}  # Any: JSON
        self._revisions = revision.Revisions(api)

    # ---------------------------------------------------------------- what changed

    def all(self) -> None:
        """Look at everything again."""
        for key in {*(each.key for each in self._known.wishes()), *(each.key for each in self._known.states())}:
            self.queue.add(key)

    def wish_changed(self, old: Wish | None, new: Wish | None) -> None:
        """An application's object came, changed or went."""
        changed = new or old
        assert changed is not None
        self.queue.add(changed.key)
        if new is not None and (old is None or old.labels != new.labels):
            self._stir(key for key in self._waiting if key != new.key)

    def state_changed(self, old: State | None, new: State | None) -> None:
        """A state came, changed or went; what we wrote ourselves is no news."""
        changed = new or old
        assert changed is not None
        mine = new is not None and new.held and not new.deleted and new.status == self._written.get(new.key)
        if mine and old is not None and new is not None and old.assigned == new.assigned:
            return
        if new is None:
            self._written.pop(changed.key, None)
        self.queue.add(changed.key)

    def node_changed(self) -> None:
        """The node's labels or addresses changed."""
        self.all()

    def pod_changed(self, old: sight.Pod | None, new: sight.Pod | None) -> None:
        """A pod of this node came, changed or went."""
        pods = [each for each in (old, new) if each is not None]
        for wish in self._running():
            for selector in records.looks_at_pods(wish):
                assert wish.application is not None
                if expand.selected(wish.application, selector, pods):
                    self._look(wish.key)

    def host_changed(self, old: model.HostSeen | None, new: model.HostSeen | None) -> None:
        """Interfaces came or went, or the daemon did."""
        if new is None:
            return
        if old is None:
            self.all()
            return
        for wish in self._running():
            if records.looks_at_interfaces(wish):
                self._look(wish.key)

    def _running(self) -> Iterable[Wish]:
        """Applications as they run here, which in a rollout may be otherwise than they are written now."""
        for wish in self._known.wishes():
            yield replace(wish, application=self._revisions.running(wish)) if wish.staged else wish

    def _look(self, key: str) -> None:
        """Look at an application again because its surroundings changed. One that waits after a failure sees them
        when its time comes: on a busy node something changes all the time, and the API server would never rest."""
        if self.queue.failures(key) == 0:
            self.queue.add(key)

    async def sweep(self) -> None:
        """Have those looked at of which there is something here, and no object any more; until cancelled.

        Deleting an application is held up by its state; but objects are also restored from a backup, or deleted with
        their finalizers.
        """
        while True:
            try:
                for key in await asyncio.to_thread(turn.leftover, self._door, self._node):
                    if self._known.wish(key) is None:
                        self.queue.add(key)
            except errors.Unavailable:
                await asyncio.sleep(SOON)
            else:
                await asyncio.sleep(RESYNC)

    # ---------------------------------------------------------------- a turn

    async def handle(self, key: str) -> float | None:
        """One application's turn; in how many seconds it wants the next. Unavailable while the daemon or the API
        server does not answer."""
        wish, state, node = self._known.wish(key), self._known.state(key), self._known.node
        host = self._known.host
        if wish is None and not self._known.sees(key):
            # A CRD that is missing is no wish that everything be unloaded; the next sweep looks again.
            return None
        if host is None:
            raise errors.Unavailable("the daemon does not answer", do="see the log of the daemon on this node")
        aim = _aim(wish, node)
        if aim is not Aim.DELETED and node is None:
            raise errors.Unavailable(
                f"there is no Node {self._node}",
                why="the agent's --node (KUBE_NODE_NAME) names it",
                do="see 'kubectl get nodes'; it is looked for again",
            )
        if (left := self._left(key, aim, wish, state)) is not None:
            return left
        choice = revision.Choice(revision="")
        if aim is Aim.RUN:
            assert wish is not None
            state = await self._held(wish, state)
            if state is None:
                return SOON
            choice = await self._revisions.choose(wish, state, self._before(state))
        elif state is None and key not in await asyncio.to_thread(turn.leftover, self._door, self._node):
            self._forget(key)
            return None
        began = time.monotonic()
        came = await asyncio.to_thread(turn.turn, self._door, self._job(key, aim, wish, state, node, host, choice))
        faults = [row.error for row in came.rows if row.error] + ([came.error] if came.error else [])
        self._numbers.turn(time.monotonic() - began, faults)
        for fault in faults:
            log.warning("%s: %s", key, fault)
        await self._report(key, aim, wish, state, came, choice.revision)
        return self._next(key, wish, state, came)

    def _job(
        self,
        key: str,
        aim: Aim,
        wish: Wish | None,
        state: State | None,
        node: sight.Node | None,
        host: model.HostSeen,
        choice: revision.Choice,
    ) -> turn.Job:
        loop = asyncio.get_running_loop()
        if wish is not None:
            wish = replace(wish, application=choice.application)

        def find_login() -> model.Login | None:
            assert wish is not None and wish.application is not None
            return asyncio.run_coroutine_threadsafe(self._login(wish), loop).result(LOGIN_SECONDS)

        return turn.Job(
            key=key,
            aim=aim,
            application=wish.application if wish else None,
            problem=choice.problem,
            generation=wish.generation if wish else 0,
            revision=choice.revision,
            staged=wish is not None and wish.staged,
            waiting=choice.waiting,
            uid=state.uid if state else "",
            before=self._before(state),
            node=node or sight.Node(name=self._node),
            pods=self._known.pods(),
            host=host,
            owners=records.owners(wish, self._known.wishes()) if wish else (),
            login=find_login,
            patient=self.queue.failures(key) == 0,
        )

    async def _login(self, wish: Wish) -> model.Login | None:
        """The login that an application names. NotFound, Denied or InvalidRequest for a secret that does not do."""
        assert wish.application is not None
        named = login.secret(wish.application)
        if named is None:
            return None
        namespace, name = named
        document = await objects.get(self._api, served.SECRET, Key(namespace=namespace, name=name))
        code = wish.application.byte_code
        assert not isinstance(code, str)
        found = login.login(code.url, document)
        if found is None:
            raise errors.InvalidRequest(
                f"secret {namespace}/{name} has no login for the registry of {code.url}",
                why="spec.byteCode.image.imagePullSecret names it",
                do="add one for that registry, or leave the secret out",
            )
        return found

    def _before(self, state: State | None) -> Mapping[str, Any]:  # Any: JSON
        if state is None:
            return {}
        mine = self._written.get(state.key, {})
        # The informer may not have heard yet of what we wrote last.
        return max(mine, state.status, key=lambda each: int(each.get("updateCount", 0)))

    def _as_seen(self, state: State, before: Mapping[str, Any]) -> dict[str, Any] | None:  # Any: JSON
        """The state object without reading it, as far as its status is concerned; None: what is known may be old.

        Were it old, the API server would refuse what is decided on it, and it would be read after all.
        """
        known = state.version and state.status == before
        return {"metadata": {"resourceVersion": state.version}, "status": before} if known else None

    # ---------------------------------------------------------------- failures

    def _left(self, key: str, aim: Aim, wish: Wish | None, state: State | None) -> float | None:
        """For how long an application that fails is left alone; None: not."""
        trouble = self._trouble.get(key)
        if trouble is None or aim is not Aim.RUN or wish is None or wish.generation != trouble.generation:
            return None
        if trouble.assigned != (state.assigned if state else ""):
            return None
        left = trouble.until - asyncio.get_running_loop().time()
        return left if left > 0 else None

    def _next(self, key: str, wish: Wish | None, state: State | None, came: Outcome) -> float | None:
        if came.failed:
            generation, assigned = wish.generation if wish else 0, state.assigned if state else ""
            before = self._trouble.get(key)
            same = before is not None and (before.generation, before.assigned) == (generation, assigned)
            failures = before.failures + 1 if before is not None and same else 1
            wait = RETRY.wait(failures, random.random())
            until = asyncio.get_running_loop().time() + wait
            self._trouble[key] = _Trouble(generation=generation, assigned=assigned, failures=failures, until=until)
            return wait
        self._trouble.pop(key, None)
        if came.waiting and not came.kept:
            self._waiting.add(key)
        else:
            self._waiting.discard(key)
        if any(row.action.noun == "program" and row.action.operation is not None for row in came.rows):
            self._stir(other for other in self._waiting if other != key)
        if came.aim is Aim.DELETED:
            self._forget(key)
            return None
        if came.expansion is not None and came.expansion.waits:
            return SOON
        return RESYNC * (0.75 + random.random() / 2)

    def _stir(self, keys: Iterable[str]) -> None:
        for key in tuple(keys):
            self.queue.add(key)

    def _forget(self, key: str) -> None:
        self._trouble.pop(key, None)
        self._written.pop(key, None)
        self._waiting.discard(key)
        self._revisions.forget(key)

    # ---------------------------------------------------------------- state objects

    async def _held(self, wish: Wish, state: State | None) -> State | None:
        """The application's state, held by our finalizer so that it outlives what it stands for; None: not yet."""
        namespaced = wish.namespace is not None
        finalizer = naming.agent_finalizer(namespaced=namespaced)
        resource = served.STATE if namespaced else served.CLUSTER_STATE
        if state is None:
            try:
                made = await objects.create(self._api, records.new_state(wish, self._node))
            except errors.AlreadyExists:
                made = await objects.get(self._api, resource, _where(wish.namespace, wish.name, self._node))
            state = records.state(made)
            if state is None:
                raise errors.Conflict(
                    "the state object is somebody else's",
                    why=f"it does not say that it is of {wish.key}",
                    do=f"delete {made['kind']} {made['metadata']['name']}",
                )
        key = _key(state)
        if state.deleted or state.owner != wish.uid:
            # Of an application that was there before under the same name, or deleted by hand: a new one comes.
            await objects.remove_finalizer(self._api, resource, key, finalizer)
            await objects.delete(self._api, resource, key)
            self._written.pop(wish.key, None)
            return None
        if not state.held:
            await objects.add_finalizer(self._api, resource, key, finalizer)
        return state

    async def _report(
        self, key: str, aim: Aim, wish: Wish | None, state: State | None, came: Outcome, meant: str
    ) -> None:
        """Write the status if it differs, tell what happened, and let go of what is gone."""
        if state is None:
            return
        resource = served.CLUSTER_STATE if state.namespace is None else served.STATE
        before = self._before(state)
        generation = wish.generation if wish else int(before.get("observedGeneration", 0))

        def decide(was: Mapping[str, Any]) -> Mapping[str, Any] | None:  # Any: JSON
            now = datetime.datetime.now(datetime.UTC)
            return status.status(
                came, node=self._node, uid=state.uid, generation=generation, revision=meant,
                staged=wish is not None and wish.staged, before=was, now=now,
            )  # fmt: skip

        over = aim is Aim.DELETED and came.gone
        after = None if over and not state.held else decide(before)
        with contextlib.suppress(errors.NotFound):
            # What goes at once need not be told first.
            if after is not None and not over:
                written = await objects.write_status(
                    self._api,
                    resource,
                    _key(state),
                    lambda object: dict(decide(object.get("status") or {}) or object.get("status") or {}),
                    seen=self._as_seen(state, before),
                )
                self._written[key] = written.get("status") or {}
            if over and state.held:
                finalizer = naming.agent_finalizer(namespaced=state.namespace is not None)
                await objects.remove_finalizer(self._api, resource, _key(state), finalizer)
            # What has an owner goes when that has gone; else two would delete it.
            if over and wish is None and not state.deleted and (state.held or not state.owner):
                await objects.delete(self._api, resource, _key(state))
        if wish is not None:
            pods = tuple(pod for pod in self._known.pods() if wish.namespace in (None, pod.namespace))
            for each in news.news(came, before, after, node=self._node, pods=pods):
                self._tell(wish, each)


def _aim(wish: Wish | None, node: sight.Node | None) -> Aim:
    if wish is None or wish.deleted:
        return Aim.DELETED
    if wish.application is not None and node is not None and not wish.application.nodes.selects(node.labels):
        return Aim.NOT_SELECTED
    return Aim.RUN


def _key(state: State) -> Key:
    return Key(namespace=state.namespace or "", name=state.name)


def _where(namespace: str | None, name: str, node: str) -> Key:
    return Key(namespace=namespace or "", name=naming.state_name(name, node))
