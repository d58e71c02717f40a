"""One application's turn: find out what is wanted on this node, do it through the daemon, and say what came of it.

Everything here blocks, and runs in a thread. A daemon that does not answer raises ``Unavailable``: then nothing is
known, and nothing is told; every other failure is in the outcome.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from skep import errors, model
from skep.kube import act, naming, resources
from skep.kube.agent import expand, owned, sight
from skep.kube.agent.outcome import Aim, Outcome


class Door(act.Door, Protocol):
    """What is asked of the daemon; ``rpc.client.Client``."""

    def find_pods(self, pods: Iterable[model.PodRef]) -> tuple[model.PodSeen, ...]:
        """Where pods of this node are, in the order of the question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is known of an application when its turn comes.

    ``problem``: why ``application`` is None although it is wanted. ``uid``, ``before``: the state object's, its status.
    ``revision``: the one that is to run; ``staged``: it may be another than the spec's. ``waiting``: why there is none,
    and what runs is left as it is. ``owners``: keys of the applications whose maps its selector means. ``login``: looks
    for the image's login when that is needed; it may raise. ``patient``: a failure that may be over in a moment is
    raised, not told.
    """

    key: str
    aim: Aim
    application: resources.Application | None = None
    problem: errors.SkepError | None = None
    generation: int = 0
    revision: str = ""
    staged: bool = False
    waiting: str = ""
    uid: str = ""
    before: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # Any: JSON
    node: sight.Node
    pods: tuple[sight.Pod, ...] = ()
    host: model.HostSeen
    owners: tuple[str, ...] = ()
    login: Callable[[], model.Login | None] = lambda: None
    patient: bool = False


def turn(door: Door, job: Job) -> Outcome:
    """Do it. Unavailable if the daemon does not answer."""
    owner = owned.owner(job.key, job.node.name)
    seen = act.observe(door, owner)
    if job.aim is not Aim.RUN:
        rows = act.run(door, act.removal(owner, seen))
        return Outcome(aim=job.aim, application=job.application, rows=rows, seen=_again(door, owner, seen, rows))
    if job.waiting:
        return Outcome(aim=job.aim, seen=seen, waiting=job.waiting, kept=True)
    application = job.application
    if application is None:
        return Outcome(aim=job.aim, error=job.problem, seen=seen)
    try:
        expansion = _expansion(door, application, job)
    except errors.SkepError as error:
        return Outcome(aim=job.aim, application=application, error=error, seen=act.observe(door, owner))
    return _Turn(door, job, application, expansion, owner).run(seen)


def remove(door: Door, key: str, node: str) -> tuple[act.Row, ...]:
    """Unload what an application without any object has left."""
    owner = owned.owner(key, node)
    return act.run(door, act.removal(owner, act.observe(door, owner)))


def leftover(door: Door, node: str) -> frozenset[str]:
    """The keys of all applications of which this agent has programs here."""
    mine = model.ProgramFilter(managed_only=True, metadata={owned.AGENT: node})
    return frozenset(key for each in act.managed(door, mine) if (key := owned.key(each, node)) is not None)


def _expansion(door: Door, application: resources.Application, job: Job) -> expand.Expansion:
    wanted = expand.pods(application, job.pods)
    found = {each.uid: each for each in (door.find_pods(wanted) if wanted else ())}
    return expand.expand(application, job.node, job.pods, sight.View(host=job.host, found=found))


def _again(door: Door, owner: str, seen: act.Seen, rows: tuple[act.Row, ...]) -> act.Seen:
    """What is there after all that was done; not asked for when nothing was."""
    return act.observe(door, owner) if any(row.action.operation is not None for row in rows) else seen


@dataclass(slots=True)
class _Turn:
    door: Door
    job: Job
    application: resources.Application
    expansion: expand.Expansion
    owner: str

    def run(self, seen: act.Seen) -> Outcome:
        """Get the code, decide, act."""
        came = Outcome(aim=Aim.RUN, application=self.application, expansion=self.expansion, seen=seen)
        alive = came.alive()
        complete = all(each.name in alive for each in self.application.programs)
        lender = None
        try:
            if self.application.map_owner is not None and not complete:
                lender = self._lender()
                if lender is None:
                    return dataclasses.replace(came, waiting=self._awaited())
            code = self._code(alive, complete)
        except errors.SkepError as error:
            # What runs goes on, and is attached where pods and interfaces come.
            rows = self._links_only(seen, alive)
            return dataclasses.replace(came, error=error, rows=rows, seen=_again(self.door, self.owner, seen, rows))
        rows = act.run(self.door, self._plan(seen, code, lender), whole=True)
        if self.job.patient:
            for row in rows:
                if isinstance(row.error, (errors.Unavailable, errors.Busy)):
                    raise row.error
        return dataclasses.replace(came, rows=rows, seen=_again(self.door, self.owner, seen, rows))

    def _plan(self, seen: act.Seen, code: act.Code, lender: model.ProgramId | None) -> act.Plan:
        metadata = owned.metadata(self.application, self.job.node.name, self.job.uid)
        wanted = self.expansion.wanted(self.job.uid)
        return act.decide(self.application, wanted, code, lender, seen, metadata=metadata)

    def _links_only(self, seen: act.Seen, alive: Mapping[str, model.Program]) -> tuple[act.Row, ...]:
        if not alive:
            return ()
        record = next(iter(alive.values())).record
        plan = self._plan(seen, act.Code(source=record.source, digest=_digest(record)), None)
        actions = tuple(each for each in plan.actions if each.noun == "link" and each.program in alive)
        return act.run(self.door, dataclasses.replace(plan, actions=actions))

    def _code(self, alive: Mapping[str, model.Program], complete: bool) -> act.Code:
        """The code that is wanted. A registry is asked when an application is loaded or changed, not each time that a
        pod comes."""
        code = self.application.byte_code
        if isinstance(code, str):
            return act.Code(source=model.FileSource(path=code), digest="")
        before = self.job.before
        settled = before.get("appLoadStatus") == "LoadSuccess" and (
            before.get("observedRevision") == self.job.revision
            if self.job.staged
            else before.get("observedGeneration") == self.job.generation
        )
        source = next(iter(alive.values())).record.source if alive else None
        if complete and settled and isinstance(source, model.ImageSource) and source.url == code.url:
            return act.Code(source=source, digest=source.digest)
        login = self.job.login()
        return act.pulled(self.door, model.ImageRequest(url=code.url, policy=code.policy, login=login))

    def _lender(self) -> model.ProgramId | None:
        loaded = act.managed(
            self.door, model.ProgramFilter(managed_only=True, metadata={owned.AGENT: self.job.node.name})
        )
        return owned.lender(self.application, self.job.owners, self.job.node.name, loaded)

    def _awaited(self) -> str:
        whom = ", ".join(self.job.owners)
        why = f"{whom} is not loaded on this node yet" if whom else "it fits no application yet"
        return f"{naming.WAITING_FOR_MAPS}: {why}"


def _digest(record: model.ProgramRecord) -> str:
    return record.source.digest if isinstance(record.source, model.ImageSource) else record.object
