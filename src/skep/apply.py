"""The interpreter: carries a ``steps.Plan`` out against the kernel and the store, and takes back what fails.

Order: pending is written, steps are done, the store commits (the point of no return), the finish is done, pending is
dropped. Whatever stops in between is taken back or finished by ``settle``, from what the store has.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, assert_never

from skep import errors, model, steps
from skep.bytecode import relocated
from skep.chain import limits, linked
from skep.kernel import door
from skep.plan import chains, undo

_E2BIG = 7
_HINT_ERRNOS = frozenset({22, 34, 95})
"""EINVAL, ERANGE, EOPNOTSUPP: what drivers answer to a program that does not fit the interface's MTU."""


class Journal(Protocol):
    """What ``apply`` needs of the store."""

    def begin(self, operation: model.OperationId, verb: str, undo: tuple[steps.Finish, ...]) -> None: ...

    def commit(
        self, operation: model.OperationId, records: steps.StoreChange, finish: tuple[steps.Finish, ...]
    ) -> None: ...

    def absorb(
        self, operation: model.OperationId, counts: model.MapPin, add: Mapping[model.LinkId, model.Counts]
    ) -> bool: ...

    def done(self, operation: model.OperationId) -> None: ...


def no_fault(point: str) -> None:
    """Called at every boundary; tests put something here that raises or ends the process."""


Fault = Callable[[str], None]


def apply(
    plan: steps.Plan,
    kernel: door.Kernel,
    store: Journal,
    operation: model.OperationId,
    verb: str,
    *,
    fault: Fault = no_fault,
) -> steps.Results:
    """Carry out a plan; what its steps returned.

    Raises what the failing step or the store raises, after everything was taken back. Where that did not succeed, a
    note on the error says so and ``settle`` does the rest. Broken: pins that the plan would make are there already.
    """
    _refuse_taken(plan, kernel)
    fault("start")
    store.begin(operation, verb, undo.undo_all(plan.steps))
    fault("begun")
    made = _Made()
    done: list[steps.Step] = []
    try:
        for number, step in enumerate(plan.steps):
            _do(step, kernel, made)
            done.append(step)
            fault(f"step {number} {type(step).__name__}")
        results = made.results()
        finish = plan.finish(results)
        store.commit(operation, plan.commit(results), finish)
    except (Exception, KeyboardInterrupt) as error:
        _take_back(done, kernel, store, operation, error, fault)
        raise
    fault("committed")
    _finish(finish, kernel, store, operation, fault)
    return results


def settle(pending: steps.Pending, kernel: door.Kernel, store: Journal, *, fault: Fault = no_fault) -> None:
    """Take back, or finish, a plan that was interrupted: at the start, or after an ``apply`` that left it pending.

    Raises what fails; the plan stays pending then, and the same can be tried again.
    """
    _finish(pending.undo if pending.finish is None else pending.finish, kernel, store, pending.operation, fault)


# ---------------------------------------------------------------- steps


@dataclass(slots=True)
class _Made:
    """Results while they come in."""

    programs: dict[model.ProgramPin, steps.LoadedProgram] = field(default_factory=dict)
    linked: dict[model.ProgramPin, steps.LoadedLinked] = field(default_factory=dict)
    links: dict[model.LinkPin, steps.Linked] = field(default_factory=dict)
    counts: dict[model.MapPin, tuple[int, ...]] = field(default_factory=dict)

    def results(self) -> steps.Results:
        return steps.Results(programs=self.programs, linked=self.linked, links=self.links, counts=self.counts)


def _do(step: steps.Step, kernel: door.Kernel, made: _Made) -> None:
    match step:
        case steps.MakeDirectory():
            kernel.make_directory(step.path)
        case steps.LoadObject():
            made.programs.update(kernel.load_object(step.load))
        case steps.LoadLinked():
            made.linked[step.pin] = _load_linked(step, kernel, made.programs)
        case steps.LoadMember():
            kernel.load_member(step.member, step.pin)
        case steps.CreateLink():
            try:
                made.links[step.pin] = kernel.attach(step.program, step.candidates, step.pin)
            except errors.SkepError as error:
                _add_hint(error, step.hint)
                raise
        case steps.SwapLink():
            try:
                kernel.swap(step.link, step.old, step.new)
            except errors.SkepError as error:
                _add_hint(error, step.hint)
                raise
        case steps.MoveTable():
            kernel.move_table(step.link, step.old, step.new)
        case steps.ReadCounts():
            kernel.settle()
            made.counts[step.counts] = kernel.read_counts(step.counts)
        case _:
            assert_never(step)


def _load_linked(
    step: steps.LoadLinked, kernel: door.Kernel, loaded: Mapping[model.ProgramPin, steps.LoadedProgram]
) -> steps.LoadedLinked:
    """Try one form after the other; each is linked only when those before it were refused."""
    refused: list[str] = []
    last: errors.Rejected | None = None
    for number, one in enumerate(chains.forms(step, loaded)):
        try:
            result = kernel.load_linked((one,), step.pin, step.counts, one.slots)
        except errors.Rejected as error:
            refused.append(f"{_form(one)}: {error.why or error.what}")
            last = error
            if error.errno == _E2BIG:
                break  # the verifier's budget is the same in every form, and using it up takes seconds
            continue
        forms = tuple(model.MemberForm(form.value) for form in one.forms)
        return dataclasses.replace(result, taken=number, refused=tuple(refused), forms=forms)
    assert last is not None
    if last.errno == _E2BIG:
        members = [
            part.member if isinstance(part.member, relocated.Member) else loaded[part.member].member
            for part in step.parts
        ]
        told = limits.too_complex(members)
        told.errno, told.log = last.errno, last.log
        raise told from last
    raise last


def _form(one: linked.Linked) -> str:
    calls = sum(form.value == "call" for form in one.forms)
    return "inline" if not calls else "call" if calls == len(one.forms) else "mixed"


def _add_hint(error: errors.SkepError, hint: str) -> None:
    if hint and error.errno in _HINT_ERRNOS:
        error.do = f"{error.do}; {hint}" if error.do else hint


def _refuse_taken(plan: steps.Plan, kernel: door.Kernel) -> None:
    """A plan's undo removes the pins it makes, so none of them may be somebody's already (a lost store's, say)."""
    for step in plan.steps:
        taken: tuple[object, ...] = ()
        match step:
            case steps.MakeDirectory():
                taken = kernel.pins(step.path)
            case steps.LoadObject():
                taken = tuple(one.pin for one in step.load.programs if kernel.program(one.pin) is not None)
            case steps.LoadMember():
                taken = (step.pin,) if kernel.program(step.pin) is not None else ()
            case steps.CreateLink():
                taken = (step.pin,) if kernel.link(step.pin) is not None else ()
            case _:
                pass
        if taken:
            raise errors.Broken(
                f"there is a pin in the way: {taken[0]}",
                why="the store does not know it; perhaps an older store was lost",
                do="see 'skep doctor', and adopt or remove it",
            )


# ---------------------------------------------------------------- taking back and finishing


def _take_back(
    done: list[steps.Step],
    kernel: door.Kernel,
    store: Journal,
    operation: model.OperationId,
    error: BaseException,
    fault: Fault,
) -> None:
    try:
        _finish(undo.undo_all(done), kernel, store, operation, fault)
    except errors.SkepError as second:
        error.add_note(f"taking it back did not succeed: {second}; the next operation tries again")


def _finish(
    actions: tuple[steps.Finish, ...], kernel: door.Kernel, store: Journal, operation: model.OperationId, fault: Fault
) -> None:
    for number, action in enumerate(actions):
        _act(action, kernel, store, operation)
        fault(f"finish {number} {type(action).__name__}")
    # All is done by now; when the disk is too full to write that down, doing it once more later is harmless.
    with contextlib.suppress(errors.Exhausted):
        store.done(operation)
    fault("done")


def _act(action: steps.Finish, kernel: door.Kernel, store: Journal, operation: model.OperationId) -> None:
    match action:
        case steps.DetachLink():
            seen = kernel.link(action.pin) if action.only is not None else None
            if seen is None or seen.id == action.only:
                kernel.detach(action.pin)
        case steps.Unregister():
            kernel.unregister(action.map)
        case steps.Unpin():
            kernel.unpin(action.pin)
        case steps.RemoveDirectory():
            kernel.remove_directory(action.path)
        case steps.RenamePin():
            # After a reboot neither pin is there, and there is nothing left to rename.
            if kernel.link(action.old) is not None:
                kernel.rename(action.old, action.new)
        case steps.PointLink():
            kernel.point(action.link, action.program)
        case steps.PointTable():
            kernel.point_table(action.link, action.map)
        case steps.Alias():
            kernel.alias(action.path, action.target)
        case steps.RemoveAlias():
            kernel.remove_alias(action.path)
        case steps.Absorb():
            _absorb(action, kernel, store, operation)
        case _:
            assert_never(action)


def _absorb(action: steps.Absorb, kernel: door.Kernel, store: Journal, operation: model.OperationId) -> None:
    if kernel.map(action.counts) is None:
        return
    kernel.settle()
    counted = chains.split(action.type, action.links, kernel.read_counts(action.counts))
    seen = {link: counts for link, counts in counted.items() if counts.runs}
    if seen:
        store.absorb(operation, action.counts, seen)
