"""The use cases: authorise, lock, observe, plan, apply, answer. No other logic.

One writer at a time: a lock among this process's threads here, and the instance's flock, which whoever builds a
``Manager`` holds for its life. Readers take no lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from skep import apply, errors, model, paths, plan, policy, steps, store
from skep.contents import Contents
from skep.image import around
from skep.inventory import (
    chains,
    doctor,
    history,
    kept,
    leftover,
    links,
    maps,
    programs,
    refusals,
    resolve,
    seen,
    sight,
    stale,
    whole,
    world,
)
from skep.kernel import door, pods
from skep.plan import describe, join
from skep.runs import Runs

if TYPE_CHECKING:
    from skep.image.images import Images

log = logging.getLogger("skep.manager")

PREVIEW_WAIT: Final = 30.0
"""Seconds that a preview waits for a change to end."""
ITSELF: Final = model.Caller(uid=0, gid=0, pid=0, origin="sweep")
"""Whom the history names for what skep puts right at its start."""


class Manager:
    """One instance of skep. Every method blocks, may be called from any thread and raises only ``skep.errors``."""

    def __init__(
        self,
        kernel: door.Kernel,
        remembered: store.Store,
        pins: paths.Pins,
        *,
        access: policy.Access = policy.ANYBODY,
        xdp_modes: world.XdpModes = world.drv_else_skb,
        images: around.Begin | None = None,
        finder: pods.Pods | None = None,
        sanctioned: tuple[model.Sanctioned, ...] = (model.Sanctioned(),),
        clock: Callable[[], float] = time.time,
        fault: Callable[[str], None] = apply.no_fault,
    ) -> None:
        """``xdp_modes``: what to try on an interface. ``images``: begins with them, when first wanted. ``finder``:
        of pods. ``sanctioned``: see ``alerts``. ``clock``: seconds since the epoch. ``fault``: for tests."""
        self._kernel = kernel
        self._store = remembered
        self._pins = pins
        self._access = access
        self._xdp_modes = xdp_modes
        self._clock = clock
        self._fault = fault
        self._lock = threading.Lock()
        self.examined: list[Callable[[], tuple[model.Finding, ...]]] = []
        """What ``doctor`` asks too, about what the daemon does besides."""
        self._history = history.History(remembered, clock)
        self._refusals, self._sanctioned = refusals.Refusals(), sanctioned
        self._images = around.Lazy(images)
        self._contents = Contents(
            kernel,
            access,
            look=lambda: seen.look(kernel, remembered, pins),
            begin=self._begin,
            record=self._history.record,
        )
        self.runs = Runs(kernel, remembered, pins, access, begin=self._begin, record=self._history.record)
        """Programs run on request, and iterators read."""
        self.sight = sight.Sight(finder)
        """What there is around the programs: network namespaces, pods."""

    # ---------------------------------------------------------------- change

    def run(self, caller: model.Caller, op: model.Operation, *, wait: float | None = None) -> model.Done:
        """Do ``op``, or raise and leave everything as it was. Busy when others change things for ``wait`` seconds."""
        verb = describe.VERBS[type(op)]
        began = time.monotonic()
        operation = model.OperationId(0)
        try:
            self._access.check(caller, verb)
            op = self._with_object(caller, op)
            with self._writing(wait):
                ops = resolve.operations(self._kernel, op)
                fresh = self._fresh(caller, ops, take=True)
                operation = fresh[0].operation
                with self._refusals.watching(ops):
                    done = self._change(ops, verb, fresh)
        except Exception as failed:
            error = _ours(failed, verb)
            self._history.record(caller, verb, operation, describe.subject(op, None), began, error)
            if error is failed:
                raise
            raise error from failed
        self._history.record(caller, verb, operation, describe.subject(op, done), began, None, describe.trust(op))
        return dataclasses.replace(done, warnings=(*describe.distrust(op), *done.warnings))

    def preview(self, caller: model.Caller, op: model.Operation) -> model.Preview:
        """What ``run`` would do now; nothing is changed, no id is used up. Whoever may look may ask."""
        op = self._with_object(caller, op)
        with self._locked(PREVIEW_WAIT):
            ops = resolve.operations(self._kernel, op)
            fresh = self._fresh(caller, ops, take=False)
            decided = join.join(
                [self._decide(one, ids, lambda first: None) for one, ids in zip(ops, fresh, strict=True)]
            )
            for step in decided.steps:
                if isinstance(step, steps.CreateLink):
                    self._kernel.check_target(step.candidates[0].target)
        return model.Preview(
            steps=describe.lines(decided),
            warnings=(*describe.distrust(op), *decided.warnings),
            capabilities=describe.capabilities(op),
        )

    def sweep(self) -> tuple[str, ...]:
        """Make the pins' directories, and undo or finish what a killed process left half done: one line for each.

        To be called once, before anything else.
        """
        with self._lock:
            # Closed before anything is in it.
            self._kernel.make_directory(self._pins.closed(), closed=True)
            for directory in self._pins.directories():
                self._kernel.make_directory(directory)
            self._store.skip_ids(**leftover.highest(self._kernel, self._pins))
            return self._sweep()

    def read_object(self, caller: model.Caller, path: str) -> bytes:
        """The file at ``path``, opened with the caller's rights, never with ours. NotFound, Denied, Exhausted."""
        return self._kernel.read_file(caller, path, model.MAX_OBJECT_BYTES)

    def map_write(self, caller: model.Caller, wanted: model.MapWrite) -> model.MapWritten:
        """Write or remove one element of a map. Needs no turn: the kernel does it at once."""
        return self._contents.write(caller, wanted)

    def map_fill(self, caller: model.Caller, wanted: model.MapFill) -> Iterator[int]:
        """Write many elements of a map; how many are written, also before it raises."""
        return self._contents.fill(caller, wanted)

    def map_events(
        self, caller: model.Caller, wanted: model.MapFollow, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[model.MapRecord, ...]]:
        """Take events out of a ring buffer or perf buffer, some at a time, until ``stop`` says so."""
        return self._contents.follow(caller, wanted, stop)

    @property
    def images(self) -> Images:
        """The images' use cases. Unsupported where this instance has none."""
        return self._images.begun(
            around.Around(
                access=self._access,
                read=self._kernel.read_file,
                loaded=lambda: programs.by_image(self._store.snapshot(), self._kernel.boot()),
                begin=self._begin,
                tell=self._history.record,
                clock=self._clock,
            )
        )

    # ---------------------------------------------------------------- look

    def program(self, id: model.ProgramId) -> model.Program | model.ForeignProgram:
        """The program with a kernel id. NotFound."""
        return programs.one(self._kernel, self._store.snapshot(), self._pins, id)

    def programs(self, filter: model.ProgramFilter) -> tuple[model.Program | model.ForeignProgram, ...]:
        """Programs in the kernel, by ascending id; all of them without a filter."""
        return programs.listed(seen.look(self._kernel, self._store, self._pins), filter)

    def link(self, id: model.LinkId) -> model.Link:
        """One link. NotFound."""
        return links.one(self._kernel, self._store, self._pins, id)

    def links(self, filter: model.LinkFilter) -> tuple[model.Link, ...]:
        """Links by ascending id."""
        return links.listed(self._kernel, self._store, self._pins, filter)

    def chains(self) -> tuple[model.ChainStatus, ...]:
        """Every linked chain with its counts."""
        return chains.listed(self._kernel, self._store)

    def chain(self, type: str, interface: model.InterfaceRef) -> model.ChainStatus:
        """The chain of an interface: "xdp", "tc-ingress", "tc-egress", or for "tcx-ingress" and "tcx-egress" all that
        runs there. NotFound."""
        return chains.one(self._kernel, self._store, type, resolve.interface(self._kernel, interface))

    def maps(self) -> tuple[model.MapView, ...]:
        """Every map in the kernel, by ascending id."""
        return maps.listed(self._kernel, seen.look(self._kernel, self._store, self._pins))

    def map(self, id: model.MapId) -> model.MapView:
        """One map. NotFound."""
        return maps.one(self._kernel, seen.look(self._kernel, self._store, self._pins), id)

    def map_shape(self, caller: model.Caller, ref: str) -> model.MapShape:
        """A map by id, name or pin, with the types of its keys and values. NotFound."""
        return self._contents.shape(caller, ref)

    def map_pages(self, caller: model.Caller, wanted: model.MapDump) -> Iterator[model.MapPage]:
        """What a map holds, page by page."""
        return self._contents.pages(caller, wanted)

    def map_lookup(self, caller: model.Caller, ref: str, key: model.Datum | None) -> model.MapEntry:
        """One element. NotFound."""
        return self._contents.lookup(caller, ref, key)

    def events(self, after: int = 0, limit: int = 1000) -> tuple[model.Event, ...]:
        """History: events with an id above ``after``, oldest first."""
        return self._history.events(after, limit)

    def wait_events(self, after: int, timeout: float) -> tuple[model.Event, ...]:
        """Like ``events``, but waits up to ``timeout`` seconds for the first one."""
        return self._history.wait(after, timeout)

    def inventory(self, unless: str = "") -> model.Inventory | None:
        """Everything in the kernel with its owners; None while its fingerprint is still ``unless``."""
        around = (self._kernel, self._store, self._pins, self._clock)
        return whole.look(*around, unless, self._refusals, self._sanctioned)

    def ended(self) -> dict[tuple[str, str], int]:
        """How many operations of a verb had an outcome ("ok", an error's class) since this Manager began."""
        return self._history.ended()

    def doctor(self) -> tuple[model.Finding, ...]:
        """What differs between kernel, pins and store."""
        besides = [finding for look in self.examined for finding in look()]
        return (*doctor.examine(self._kernel, self._store, self._pins), *doctor.alerts(self.inventory()), *besides)

    def remember(self, caller: model.Caller, verb: str, subject: str, failed: errors.SkepError | None) -> None:
        """Put into history and log how something ended that is no operation of its own."""
        self._history.record(caller, verb, model.OperationId(0), subject, time.monotonic(), failed)

    def features(self) -> tuple[model.Feature, ...]:
        """What this kernel can."""
        return self._kernel.features()

    # ---------------------------------------------------------------- inside

    def _begin(self) -> model.OperationId:
        return self._store.take_ids().operation

    @contextlib.contextmanager
    def _locked(self, wait: float | None) -> Iterator[None]:
        if not self._lock.acquire(timeout=-1 if wait is None else max(wait, 0.0)):
            raise errors.Busy(
                "another change is under way", why=f"it did not end within {wait:g} s", do="try again, or wait longer"
            )
        try:
            yield
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def _writing(self, wait: float | None) -> Iterator[None]:
        """The right to write, with nothing half done."""
        with self._locked(wait):
            # What could not be undone (a full disk, say) must be, before anything is built on top of it.
            if self._store.unfinished:
                self._settle()
            yield

    def _with_object(self, caller: model.Caller, op: model.Operation) -> model.Operation:
        """An operation on an image, on a file here or on an object of the store, with the object."""
        if isinstance(op, (model.Load, model.ReplaceProgram)) and op.read_file:
            return dataclasses.replace(op, object=self.read_object(caller, describe.file(op)), read_file=False)
        if isinstance(op, model.ReplaceProgram) and op.stored is not None:
            return kept.filled(self._store, op, op.stored)
        if isinstance(op, (model.Load, model.ReplaceProgram)) and isinstance(op.source, model.ImageSource):
            return self.images.filled(caller, op)
        return op

    def _fresh(self, caller: model.Caller, ops: tuple[model.Operation, ...], *, take: bool) -> tuple[plan.Fresh, ...]:
        """What each of the operations, of which there are several only when something is attached, may use."""
        ids, op = self._store.take_ids if take else self._store.next_ids, ops[0]
        given = ids(
            programs=len(op.programs) if isinstance(op, model.Load) else int(isinstance(op, model.Adopt)),
            links=len(ops) if isinstance(op, (model.Attach, model.Adopt)) else 0,
            sets=int(isinstance(op, (model.Load, model.Adopt))),
        )
        first = plan.Fresh(
            operation=given.operation,
            boot=self._kernel.boot(),
            now=self._clock(),
            caller=caller,
            pins=self._pins,
            programs=given.programs,
            set=given.sets[0] if given.sets else model.SetKey(0),
            link=given.links[0] if given.links else model.LinkId(0),
        )
        return (first, *(dataclasses.replace(first, link=link) for link in given.links[1:]))

    def _change(self, ops: tuple[model.Operation, ...], verb: str, fresh: tuple[plan.Fresh, ...]) -> model.Done:
        operation = fresh[0].operation

        def bury(first: steps.Plan) -> None:
            apply.apply(first, self._kernel, self._store, operation, verb="bury", fault=self._fault)

        decided = join.join([self._decide(op, ids, bury) for op, ids in zip(ops, fresh, strict=True)])
        if isinstance(ops[0], model.Load):
            decided = stale.superseded(ops[0], decided, self._store.snapshot(), fresh[0].boot)
        results = apply.apply(decided, self._kernel, self._store, operation, verb=verb, fault=self._fault)
        return self._done(fresh[0], decided, results)

    def _decide(self, op: model.Operation, fresh: plan.Fresh, bury: Callable[[steps.Plan], None]) -> steps.Plan:
        """The plan of one operation; what must be carried out before it can be decided is handed to ``bury``."""
        seen_world = world.observe(self._kernel, self._store, op, fresh, self._xdp_modes)
        first = plan.bury(op, seen_world, fresh)
        if first is None:
            return plan.decide(op, seen_world, fresh)
        bury(first[0])
        decided = plan.decide(op, first[1], fresh)
        return dataclasses.replace(decided, warnings=(*first[0].warnings, *decided.warnings))

    def _done(self, fresh: plan.Fresh, decided: steps.Plan, results: steps.Results) -> model.Done:
        change = decided.commit(results)
        return model.Done(
            operation=fresh.operation,
            programs=programs.made(self._store.snapshot(), self._pins, fresh.boot, change, results),
            links=tuple(link.id for link in change.links),
            warnings=(*decided.warnings, *describe.fallbacks(change)),
        )

    def _sweep(self) -> tuple[str, ...]:
        told = []
        for pending in self._store.pending():
            began = time.monotonic()
            how = "taken back" if pending.finish is None else "finished"
            subject = f"operation {pending.operation} ({pending.verb})"
            try:
                apply.settle(pending, self._kernel, self._store, fault=self._fault)
            except errors.SkepError as failed:
                self._history.record(ITSELF, "sweep", pending.operation, subject, began, failed)
                told.append(f"{subject} could not be {how}: {failed}")
            else:
                self._history.record(ITSELF, "sweep", pending.operation, subject, began, None)
                told.append(f"{subject} was {how}")
        return tuple(told)

    def _settle(self) -> None:
        """``_sweep``, or raise: Exhausted when only the store's disk is in the way, else Broken."""
        for pending in self._store.pending():
            try:
                apply.settle(pending, self._kernel, self._store, fault=self._fault)
                self._store.done(pending.operation)
            except errors.Exhausted:
                raise
            except errors.SkepError as failed:
                raise errors.Broken(
                    f"an earlier operation ({pending.verb}) is half done",
                    why=str(failed),
                    do="remove the cause, then try again",
                ) from failed


def _ours(failed: Exception, verb: str) -> errors.SkepError:
    """The error as a caller may see it; one that is not ours is a bug, told with its traceback in the log."""
    if isinstance(failed, errors.SkepError):
        return failed
    log.error("%s failed in a way nobody foresaw", verb, exc_info=failed)
    return errors.Broken(
        f"{verb} failed", why=f"a bug in skep: {type(failed).__name__}: {failed}", do="report it with the log"
    )
