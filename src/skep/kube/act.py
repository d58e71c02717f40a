"""Make a host run an application: look, decide (``reconcile``), and do it, one row for each program and link.

The one code path of ``skep apply``, of the daemon that starts and of a cluster's agent. Nothing is printed here; what
fails is in the rows with its error, and does not keep the rest from being done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from skep import errors, model
from skep.kube import host, reconcile, resources


class Images(Protocol):
    """What is asked of the daemon's images."""

    def pull(self, wanted: model.ImageRequest) -> Iterator[model.PullProgress | model.Image]:
        """Have an image in the cache; how far it is, and last the image."""


class Door(Protocol):
    """What is asked of skep: ``rpc.client.Client`` has it, and whatever stands for a Manager in the same process."""

    def run(self, op: model.Operation, *, wait: float | None = None) -> model.Done:
        """Do it; Busy when the lock is not free within ``wait`` seconds (None: wait for ever)."""

    def programs(self, filter: model.ProgramFilter) -> tuple[model.Program | model.ForeignProgram, ...]:
        """Programs by ascending id."""

    def links(self, filter: model.LinkFilter) -> tuple[model.Link, ...]:
        """Links by ascending id."""

    @property
    def images(self) -> Images:
        """What concerns images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What ``spec.byteCode`` comes to. ``digest``: of the object's bytes, or of the image; the object of an image stays
    with the daemon."""

    source: model.Source
    digest: str
    object: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What an application has on the host."""

    programs: tuple[model.Program, ...]
    links: tuple[model.Link, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do for one application, in order."""

    key: str
    actions: tuple[reconcile.Action, ...]
    anew: tuple[reconcile.Action, ...] = ()
    """What to do instead when a program cannot take over the maps of the one before it; () if that is not wanted."""


class Result(enum.StrEnum):
    """What became of an action; the first four are ``reconcile.Verb``'s."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one program or link. ``error``: of the action that failed; of programs that are loaded together
    only the first has it."""

    application: str
    action: reconcile.Action
    result: Result
    id: int | None
    detail: str
    error: errors.SkepError | None = None
    warnings: tuple[str, ...] = ()


def observe(door: Door, key: str) -> Seen:
    """The programs and links that were applied under an application's key."""
    mine = {reconcile.OWNER: key}
    programs = managed(door, model.ProgramFilter(managed_only=True, metadata=mine))
    return Seen(programs=programs, links=door.links(model.LinkFilter(metadata=mine)))


def managed(door: Door, filter: model.ProgramFilter) -> tuple[model.Program, ...]:
    """The programs of a filter that skep manages."""
    return tuple(each for each in door.programs(filter) if isinstance(each, model.Program))


def pulled(
    door: Door, wanted: model.ImageRequest, tell: Callable[[model.PullProgress], None] = lambda progress: None
) -> Code:
    """The code of an image that the daemon has, or pulls. See ``image.images.Images.pull`` for what it raises."""
    for told in door.images.pull(wanted):
        if isinstance(told, model.Image):
            source = model.ImageSource(url=wanted.url, pull_policy=wanted.policy, digest=told.digest)
            return Code(source=source, digest=told.digest)
        tell(told)
    raise errors.Unavailable("the image was not pulled", why="the daemon said nothing more", do="see the daemon's log")


def owner(door: Door, application: resources.Application) -> model.ProgramId | None:
    """The program whose maps are used; see ``host.owner``."""
    if application.map_owner is None:
        return None
    return host.owner(application, managed(door, model.ProgramFilter(managed_only=True)))


def decide(
    application: resources.Application,
    programs: tuple[reconcile.WantedProgram, ...],
    code: Code,
    owner: model.ProgramId | None,
    seen: Seen,
) -> Plan:
    """What to do so that the host runs ``programs`` of an application."""
    wanted = reconcile.Wanted(
        metadata=host.metadata(application),
        source=code.source,
        object=code.object,
        digest=code.digest,
        global_data=application.global_data,
        map_owner=owner,
        programs=programs,
    )
    anew: tuple[reconcile.Action, ...] = ()
    if application.map_policy is resources.MapPolicy.RECREATE:
        anew = reconcile.actions(wanted, seen.programs, seen.links, anew="its maps are made anew")
    return Plan(key=application.key, actions=reconcile.actions(wanted, seen.programs, seen.links), anew=anew)


def removal(key: str, seen: Seen) -> Plan:
    """What to do so that nothing of an application is left."""
    return Plan(key=key, actions=reconcile.actions(None, seen.programs, seen.links))


def foreseen(plan: Plan) -> tuple[Row, ...]:
    """The rows of a plan that nobody has carried out."""
    return tuple(
        Row(application=plan.key, action=each, result=Result(each.verb), id=each.id, detail=each.detail)
        for each in plan.actions
    )


def _silent(what: str) -> AbstractContextManager[None]:
    return contextlib.nullcontext()


def run(
    door: Door,
    plan: Plan,
    *,
    wait: float | None = None,
    around: Callable[[str], AbstractContextManager[None]] = _silent,
) -> tuple[Row, ...]:
    """Do it all, also after a failure; the errors are in the rows.

    Of an application whose new programs are refused nothing is unloaded, and links of programs that are not loaded are
    skipped. ``around`` is entered for each operation, with words that say what it is about.
    """
    running = _Run(door, plan.key, wait, around)
    differ = running.all(plan.actions, until_maps_differ=bool(plan.anew))
    if differ is not None:
        done = running.begin_anew(differ)
        running.all(tuple(each for each in plan.anew if each not in done))
    return tuple(running.rows)


def _kept(error: errors.MapsDiffer) -> errors.MapsDiffer:
    """What an application can do about maps that differ."""
    return errors.MapsDiffer(
        error.what,
        why=error.why,
        do="make the maps equal, or write mapPolicy: Recreate, and they begin anew",
        errno=error.errno,
        log=error.log,
    )


@dataclass(slots=True)
class _Run:
    """The actions of one application, one after the other; a program's id is known when it is loaded."""

    door: Door
    key: str
    wait: float | None
    around: Callable[[str], AbstractContextManager[None]]
    rows: list[Row] = field(default_factory=list)
    ids: dict[str, model.ProgramId] = field(default_factory=dict)
    replaced: dict[model.ProgramId, model.ProgramId] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    told: tuple[str, ...] = ()
    """Warnings for the next row."""

    def all(
        self, actions: tuple[reconcile.Action, ...], *, until_maps_differ: bool = False
    ) -> errors.MapsDiffer | None:
        """One action after the other; the error at which they end if they shall end at such a one."""
        for action in actions:
            try:
                self._step(action)
            except errors.MapsDiffer as error:
                if until_maps_differ:
                    return error
                self._failed(action, _kept(error))
            except errors.SkepError as error:
                self._failed(action, error)
        return None

    def begin_anew(self, error: errors.MapsDiffer) -> tuple[reconcile.Action, ...]:
        """Other actions come for those that were done, but for what was removed already, which is the answer."""
        self.rows = [row for row in self.rows if row.result is Result.REMOVED]
        self.told = (f"{error.what}: {error.why}",)
        return tuple(row.action for row in self.rows)

    def _step(self, action: reconcile.Action) -> None:
        """Do one action, unless one before it forbids it."""
        if action.program in self.broken and action.noun == "program" and action.operation is None:
            self._row(action, Result.FAILED)
            return
        if action.program in self.broken and isinstance(action.operation, model.Attach):
            self._row(action, Result.SKIPPED, detail="its program is not loaded")
            return
        if self.broken and isinstance(action.operation, model.Unload):
            self._row(action, Result.SKIPPED, id=action.id, detail="what should come for it is not loaded")
            return
        done = self._do(action)
        for program in done.programs if done else ():
            self.ids[program.record.name] = program.record.id
            if isinstance(action.operation, model.ReplaceProgram):
                self.replaced[action.operation.program] = program.record.id
        self._row(
            action,
            Result(action.verb),
            id=_id(action, done, self.ids),
            warnings=self.told + (done.warnings if done else ()),
        )
        self.told = ()

    def _failed(self, action: reconcile.Action, error: errors.SkepError) -> None:
        self.broken |= set(action.names)
        self._row(action, Result.FAILED, detail=error.what, error=error)

    def _do(self, action: reconcile.Action) -> model.Done | None:
        match action.operation:
            case None:
                return None
            case model.Attach() as attach:
                program = self.ids.get(action.program, attach.program)
                op: model.Operation = dataclasses.replace(attach, program=program)
            case model.Unload() as unload:
                op = dataclasses.replace(unload, program=self.replaced.get(unload.program, unload.program))
            case other:
                op = other
        with self.around(f"{self.key}: {action.noun} {action.program}"):
            return self.door.run(op, wait=self.wait)

    def _row(
        self,
        action: reconcile.Action,
        result: Result,
        *,
        id: int | None = None,
        detail: str = "",
        error: errors.SkepError | None = None,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.rows.append(
            Row(
                application=self.key, action=action, result=result, id=id, detail=detail or action.detail,
                error=error, warnings=warnings,
            )
        )  # fmt: skip


def _id(action: reconcile.Action, done: model.Done | None, ids: dict[str, model.ProgramId]) -> int | None:
    match action.operation:
        case model.Attach() if done is not None and done.links:
            return done.links[0]
        case model.UpdateLink(link=link) | model.Detach(link=link):
            return link
        case model.Unload(program=program):
            return program
    return ids.get(action.program, action.id) if action.noun == "program" else action.id
