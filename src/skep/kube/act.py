"""Make a host run an application: look, decide (``reconcile``), and do it, one row for each program and link.

The one code path of ``skep apply``, of the daemon that starts and of a cluster's agent. Nothing is printed here; what
fails is in the rows with its error, and does not keep the rest from being done.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
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
    renewal: reconcile.Wanted | None = None
    """What is made anew when a program cannot take over the maps of the one before it; None: it is refused then."""


_REFUSED = "another program of the new version is refused"
_STUCK = "it has the new version and cannot go back"


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
    renewed: bool = False
    """Whether the application began anew, with new maps, because the old ones could not go on."""


def observe(door: Door, owner: str) -> Seen:
    """The programs and links of an application; ``owner``: what they were applied under (``reconcile.OWNER``)."""
    mine = {reconcile.OWNER: owner}
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
    *,
    metadata: Mapping[str, str] | None = None,
) -> Plan:
    """What to do so that the host runs ``programs`` of an application.

    ``metadata``: of its programs, ``host.metadata`` if None.
    """
    wanted = reconcile.Wanted(
        metadata=host.metadata(application) if metadata is None else metadata,
        source=code.source,
        object=code.object,
        digest=code.digest,
        global_data=application.global_data,
        map_owner=owner,
        programs=programs,
    )
    recreate = application.map_policy is resources.MapPolicy.RECREATE
    return Plan(
        key=application.key,
        actions=reconcile.actions(wanted, seen.programs, seen.links),
        renewal=replace(wanted, anew=True) if recreate else None,
    )


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
    whole: bool = False,
    around: Callable[[str], AbstractContextManager[None]] = _silent,
) -> tuple[Row, ...]:
    """Do it all, also after a failure; the errors are in the rows.

    Of an application whose new programs are refused nothing is unloaded, and links of programs that are not loaded are
    skipped. ``whole``: new code is for all programs or for none: when one is refused, those that were replaced before
    it get their old code back, and links are made to the old code. ``around`` is entered for each operation, with words
    that say what it is about.

    That maps differ is found by the kernel's side only, when a program is replaced. Then a plan with a ``renewal``,
    which is carried out as a whole, is as if it had not begun, and the renewal comes in its place.
    """
    running = _Run(door, plan.key, wait, whole or plan.renewal is not None, around)
    for number in _order(plan.actions) if running.whole else range(len(plan.actions)):
        running.step(number, plan.actions[number])
        differ = running.rows[number].error
        if plan.renewal is not None and isinstance(differ, errors.MapsDiffer):
            return _renewed(door, plan, plan.renewal, differ, wait, around)
    return tuple(row for _, row in sorted(running.rows.items()))


def _renewed(
    door: Door,
    plan: Plan,
    wanted: reconcile.Wanted,
    differ: errors.MapsDiffer,
    wait: float | None,
    around: Callable[[str], AbstractContextManager[None]],
) -> tuple[Row, ...]:
    seen = observe(door, wanted.metadata[reconcile.OWNER])
    anew = Plan(key=plan.key, actions=reconcile.actions(wanted, seen.programs, seen.links))
    first, *others = (replace(row, renewed=True) for row in run(door, anew, wait=wait, whole=True, around=around))
    return (replace(first, warnings=(f"{differ.what}: {differ.why}", *first.warnings)), *others)


def _order(actions: tuple[reconcile.Action, ...]) -> list[int]:
    """What is new comes before what is replaced: as long as one program has the old code, the others can go back."""
    order = list(range(len(actions)))
    replaced = [number for number, each in enumerate(actions) if isinstance(each.operation, model.ReplaceProgram)]
    for number, each in enumerate(actions):
        if isinstance(each.operation, model.Load) and replaced and replaced[0] < number:
            order.remove(number)
            order.insert(order.index(replaced[0]), number)
    return order


@dataclass(slots=True)
class _Run:
    """The actions of one application, one after the other; a program's id is known when it is loaded."""

    door: Door
    key: str
    wait: float | None
    whole: bool
    around: Callable[[str], AbstractContextManager[None]]
    rows: dict[int, Row] = field(default_factory=dict)
    """By the action's number in the plan."""
    ids: dict[str, model.ProgramId] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    refused: bool = False
    fresh: dict[int, reconcile.Action] = field(default_factory=dict)
    """Loads and replacements that were done."""

    def step(self, number: int, action: reconcile.Action) -> None:
        """Do one action, unless one before it forbids it."""
        row = Row(application=self.key, action=action, result=Result(action.verb), id=action.id, detail=action.detail)
        self.rows[number] = self._stopped(row) or self._done(number, row)
        if self.whole and not self.refused and self.rows[number].error is not None:
            self.refused = isinstance(action.operation, (model.Load, model.ReplaceProgram))
            if self.refused:
                self._back()

    def _stopped(self, row: Row) -> Row | None:
        """The row of an action that is not tried, None if it is."""
        action = row.action
        if self.refused and isinstance(action.operation, (model.Load, model.ReplaceProgram, model.Unload)):
            self.broken |= set(action.names)
            return replace(row, result=Result.SKIPPED, detail=_REFUSED)
        if action.program in self.broken and action.noun == "program" and action.operation is None:
            result = next(each.result for each in self.rows.values() if action.program in each.action.names)
            return replace(row, result=result)
        if action.program in self.broken and isinstance(action.operation, model.Attach):
            return replace(row, result=Result.SKIPPED, detail="its program is not loaded")
        if self.broken and isinstance(action.operation, model.Unload):
            return replace(row, result=Result.SKIPPED, detail="what should come for it is not loaded")
        return None

    def _done(self, number: int, row: Row) -> Row:
        action = row.action
        operation = action.operation
        if isinstance(operation, model.Attach):
            operation = replace(operation, program=self.ids.get(action.program, operation.program))
        if operation is None:
            return replace(row, id=_id(action, None, self.ids))
        try:
            done = self._run(action, operation)
        except errors.SkepError as error:
            self.broken |= set(action.names)
            told = _kept(error) if isinstance(error, errors.MapsDiffer) else error
            return replace(row, result=Result.FAILED, id=None, detail=told.what, error=told)
        if isinstance(operation, (model.Load, model.ReplaceProgram)):
            self.fresh[number] = action
        return replace(row, id=_id(action, done, self.ids), warnings=done.warnings)

    def _run(self, action: reconcile.Action, operation: model.Operation) -> model.Done:
        with self.around(f"{self.key}: {action.noun} {action.program}"):
            done = self.door.run(operation, wait=self.wait)
        for program in done.programs:
            self.ids[program.record.name] = program.record.id
        return done

    def _back(self) -> None:
        """Take back what was loaded, and give what was replaced its old code, the last first."""
        for number, action in reversed(self.fresh.items()):
            self.broken |= set(action.names)
            row = replace(self.rows[number], result=Result.SKIPPED, id=None, detail=_REFUSED)
            try:
                if action.back is not None:
                    self._run(action, replace(action.back, program=self.ids[action.program]))
                    row = replace(row, id=self.ids[action.program])
                for name in action.names:
                    self._run(action, model.Unload(program=self.ids.pop(name)))
            except errors.SkepError as error:
                row = replace(row, result=Result.FAILED, detail=_STUCK, error=error)
            self.rows[number] = row


def _kept(error: errors.MapsDiffer) -> errors.MapsDiffer:
    """What an application can do about maps that differ."""
    return errors.MapsDiffer(
        error.what,
        why=error.why,
        do="make the maps equal, or write mapPolicy: Recreate, and they begin anew",
        errno=error.errno,
        log=error.log,
    )


def _id(action: reconcile.Action, done: model.Done | None, ids: dict[str, model.ProgramId]) -> int | None:
    match action.operation:
        case model.Attach() if done is not None and done.links:
            return done.links[0]
        case model.UpdateLink(link=link) | model.Detach(link=link):
            return link
        case model.Unload(program=program):
            return program
    return ids.get(action.program, action.id) if action.noun == "program" else action.id
