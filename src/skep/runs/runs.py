"""The use cases of running by hand. Each is authorised and written to the history, like an attach; none needs a turn.

Bounds, so that no caller keeps a processor of the host busy: a packet and a context of 64 KiB, a million repetitions,
ten seconds of them; an iterator's reading ends after a minute or 256 MiB.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from skep import errors, hooks, model, paths, policy, store
from skep.hooks import iter as iterator
from skep.hooks import runs
from skep.inventory import links, programs
from skep.kernel import door

RUN: Final = "run"
READ: Final = "read"
SECONDS: Final = 10.0
"""Of repetitions."""
READING_SECONDS: Final = 60.0
MOST_BYTES: Final = 256 * 1024 * 1024
CHUNK: Final = 64 * 1024
_SLICE: Final = 0.05
"""Seconds that one call of the kernel should take: a thread cannot be called back from it."""


class Record(Protocol):
    """Writes a line of log and history; see ``Manager``."""

    def __call__(
        self,
        caller: model.Caller,
        verb: str,
        operation: model.OperationId,
        subject: str,
        began: float,
        failed: errors.SkepError | None,
    ) -> None: ...


class Runs:
    """``begin``: a new operation's id. ``record``: tells of its end. ``clock``: monotonic seconds."""

    def __init__(
        self,
        kernel: door.Kernel,
        remembered: store.Store,
        pins: paths.Pins,
        access: policy.Access,
        *,
        begin: Callable[[], model.OperationId],
        record: Record,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kernel = kernel
        self._store = remembered
        self._pins = pins
        self._access = access
        self._begin = begin
        self._record = record
        self._clock = clock

    def program(self, caller: model.Caller, wanted: model.Run, stop: Callable[[], bool] = lambda: False) -> model.Ran:
        """Run a program, as often as asked unless ten seconds pass or ``stop`` says so. NotFound; Denied (policy,
        somebody else's program); InvalidRequest (a type that cannot be run, a wrong input); Rejected by the kernel."""
        began, operation = time.monotonic(), model.OperationId(0)
        try:
            self._access.check(caller, RUN)
            operation = self._begin()
            record = self._managed(wanted.program)
            how = _how(record)
            _check(record, how, wanted)
            ran = self._repeat(record, how, wanted, stop)
        except errors.SkepError as failed:
            self._record(caller, RUN, operation, f"program {wanted.program}", began, failed)
            raise
        self._record(caller, RUN, operation, f"program {wanted.program}", began, None)
        answer, times, duration = ran
        warnings = () if times == wanted.repeat else (f"it ran {times} times of {wanted.repeat}: the time was up",)
        return model.Ran(
            operation=operation,
            program=record.id,
            answer=answer.code,
            verdict=how.verdict(answer.code),
            times=times,
            duration_ns=duration,
            packet=answer.packet,
            context=answer.context,
            warnings=(*warnings, *((how.note,) if how.note else ())),
        )

    def iterator(
        self, caller: model.Caller, wanted: model.ReadIterator, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[bytes]:
        """What an iterator prints, piece by piece, to its end or the caller's limit. Exhausted after a minute or
        256 MiB; else like ``program``."""
        began, operation = time.monotonic(), model.OperationId(0)
        subject = f"link {wanted.link}" if wanted.link is not None else f"program {wanted.program}"
        try:
            self._access.check(caller, READ)
            operation = self._begin()
            opened = self._open(wanted)
            reading = opened.__enter__()
        except errors.SkepError as failed:
            self._record(caller, READ, operation, subject, began, failed)
            raise
        try:
            self._record(caller, READ, operation, subject, began, None)
            until, told = self._clock() + READING_SECONDS, 0
            while not stop() and not (wanted.limit and told >= wanted.limit):
                piece = reading.read(min(CHUNK, wanted.limit - told) if wanted.limit else CHUNK)
                if piece == b"":
                    return
                told += len(piece or b"")
                if piece:
                    yield piece
                if self._clock() > until or told > MOST_BYTES:
                    raise errors.Exhausted(
                        f"the reading of {subject} was ended",
                        why=f"it took more than {READING_SECONDS:g} seconds or {MOST_BYTES >> 20} MiB",
                        do="print less, go through less, or read its pin with 'cat'",
                    )
        finally:
            opened.__exit__(None, None, None)

    # ---------------------------------------------------------------- inside

    def _managed(self, id: model.ProgramId) -> model.ProgramRecord:
        """A managed program that is in the kernel."""
        found = programs.one(self._kernel, self._store.snapshot(), self._pins, id)
        if isinstance(found, model.ForeignProgram):
            raise errors.Denied(
                f"program {id} ({found.kernel.name}) is not skep's to run",
                why="somebody else loaded it",
                do="load its object with skep, or see 'bpftool prog run'",
            )
        if found.status.kernel is None or not found.status.pin_present:
            raise errors.Conflict(
                f"program {id} ({found.record.name}) is not in the kernel",
                why=found.status.stale or f"nothing is pinned at {found.record.pin}",
                do=f"unload it with 'skep program unload {id}' and load it again",
            )
        return found.record

    def _repeat(
        self, record: model.ProgramRecord, how: runs.Runs, wanted: model.Run, stop: Callable[[], bool]
    ) -> tuple[door.Answer, int, int | None]:
        """The last answer, how often it ran and the average duration. The first call runs it once, to see how long
        that takes; each later one begins with the caller's packet again."""
        if not how.repeats:
            return self._kernel.run(record.pin, wanted.packet, wanted.context, None), 1, None
        until = self._clock() + SECONDS
        done, spent, portion = 0, 0, 1
        while True:
            answer = self._kernel.run(record.pin, wanted.packet, wanted.context, portion)
            done += portion
            spent += (answer.duration_ns or 0) * portion
            if done >= wanted.repeat or stop() or self._clock() >= until:
                return answer, done, spent // done
            average = max(spent // done, 1)
            # Never far more than before: one run says little about the next.
            portion = max(1, min(wanted.repeat - done, int(_SLICE * 1e9) // average, portion * 100))

    def _open(self, wanted: model.ReadIterator) -> AbstractContextManager[door.Printed]:
        if wanted.link is not None:
            link = links.one(self._kernel, self._store, self._pins, wanted.link)
            if link.record.hook != iterator.HOOK.name:
                raise _no_iterator(f"link {wanted.link}", link.record.hook)
            if link.status.state is not model.LinkState.ATTACHED:
                raise errors.Conflict(
                    f"link {wanted.link} cannot be read",
                    why=f"it is {link.status.state}: {link.status.reason}",
                    do=f"detach it with 'skep link detach {wanted.link}' and attach the program again",
                )
            return self._kernel.read_link(link.record.pins[0])
        if wanted.program is None:
            raise errors.InvalidRequest("nothing to read is named", do="name a link or a program")
        record = self._managed(wanted.program)
        if record.hook != iterator.HOOK.name:
            raise _no_iterator(f"program {record.id} ({record.name})", record.hook)
        attachment = wanted.attachment or iterator.IteratorAttachment()
        if not isinstance(attachment, iterator.IteratorAttachment):
            raise errors.InvalidRequest(
                f"program {record.id} ({record.name}) is not read that way",
                why="it is an iterator",
                do="say what it goes through, or leave that out",
            )
        placing = hooks.Placing(section=record.section, function=record.attach_func or "")
        whole = iterator.complete(attachment, placing)
        if whole.cgroup is not None:
            whole = dataclasses.replace(whole, cgroup=self._kernel.cgroup_of(whole.cgroup))
        (candidate,) = iterator.requests(whole, placing)
        return self._kernel.read_program(record.pin, candidate)


def _no_iterator(what: str, kind: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(
        f"{what} cannot be read",
        why=f"it is of type {kind}; only iterators print",
        do="see 'skep link list --kind iter'",
    )


def runnable() -> tuple[str, ...]:
    """Types whose programs can be run on request."""
    return tuple(hook.name for hook in hooks.HOOKS if hook.runs is not None)


def _how(record: model.ProgramRecord) -> runs.Runs:
    hook: hooks.Hook[Any] = hooks.by_name(record.hook)  # Any: see hooks.HOOKS
    if hook.runs is not None:
        return hook.runs
    what = f"program {record.id} ({record.name}) cannot be run on request"
    if hook.name == iterator.HOOK.name:
        raise errors.InvalidRequest(
            what,
            why="it is an iterator, which is read",
            do="read it with ReadIterator ('skep program run', 'skep link read')",
        )
    raise errors.InvalidRequest(
        what, why=f"the kernel runs no {hook.name} programs by hand", do="types that it runs: " + ", ".join(runnable())
    )


def _check(record: model.ProgramRecord, how: runs.Runs, wanted: model.Run) -> None:
    """What the kernel would answer with EINVAL alone."""
    what = f"program {record.id} ({record.name}) cannot be run like that"
    hook = record.hook
    if how.least and len(wanted.packet) < how.least:
        why = f"{hook} programs need a packet of {how.least} bytes or more"
        raise errors.InvalidRequest(what, why=why, do="give one, for example with --data udp4")
    if wanted.packet and not how.least:
        raise errors.InvalidRequest(what, why=f"{hook} programs take no packet", do="give a context, or nothing")
    if how.needed and not wanted.context:
        raise errors.InvalidRequest(
            what, why=f"{hook} programs are given nothing but a context", do="give it with --context; see docs/run.md"
        )
    for name, data in (("packet", wanted.packet), ("context", wanted.context)):
        if len(data) > runs.MOST_BYTES:
            raise errors.Exhausted(
                what, why=f"its {name} has {len(data)} bytes, {runs.MOST_BYTES} are allowed", do="give fewer"
            )
    if not 1 <= wanted.repeat <= runs.MOST_TIMES:
        raise errors.InvalidRequest(
            what, why=f"it runs 1 to {runs.MOST_TIMES} times, not {wanted.repeat}", do="ask for a number in that range"
        )
    if wanted.repeat > 1 and not how.repeats:
        raise errors.InvalidRequest(
            what, why=f"the kernel runs {hook} programs once a request", do="leave the repetitions out"
        )
