"""Which node gets which revision now, and what is told of it. Pure, and the same for whoever decides next.

A node is moved when it is its turn and no more than ``maxUnavailable`` nodes are without the application then; nodes
that already were, because they fail or are not ready, count too. One that does without anyway is moved without counting
twice, so that a version which works nowhere can be replaced. While a node refuses the revision none is moved: the
rollout is paused, and goes on by itself once no node refuses; or it returns, which lasts until the spec changes.

Groups (``spec.rollout.order``) come one after another: the next begins when all of one have it. Nodes that cannot have
it, since they are not ready or nobody reports from there, hold up no other group, but the end.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from skep.kube import naming
from skep.kube.operator.records import NodeLabel, listed, shortened
from skep.kube.operator.rollout.asked import Asked, OnFailure
from skep.kube.operator.rollout.told import NODES, Phase, Told

CAUSE = 300
"""Characters of the reason of a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A node of a rollout. ``there``: its agent has made a state, on which a revision can be assigned.

    ``ready``: its kubelet reports. ``assigned`` "": none yet. ``observed``: the revision that the report is about;
    ``running``: the one that runs; both "" while nothing is reported. ``type``, ``message`` and ``since`` are the
    report's.
    """

    label: NodeLabel
    name: str
    group: int = 0
    there: bool = True
    ready: bool = True
    assigned: str = ""
    observed: str = ""
    running: str = ""
    type: str = ""
    message: str = ""
    since: datetime.datetime | None = None

    @property
    def able(self) -> bool:
        """Whether it can be moved."""
        return self.there and self.ready

    @property
    def ill(self) -> bool:
        """Whether it is without the application, and not because it is being changed right now."""
        return self.able and not self.well and (not self.assigned or self.observed == self.assigned)

    @property
    def well(self) -> bool:
        """Whether it runs what it is meant to, or what it always ran, without an error."""
        return self.able and self.type == naming.SUCCESS and self.observed == (self.assigned or self.running)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to tell, which nodes to assign which revision, and in what time to look again although nothing happens."""

    told: Told
    assign: tuple[tuple[NodeLabel, str], ...] = ()
    again: datetime.timedelta | None = None


def decide(
    asked: Asked,
    target: str,
    stored: AbstractSet[str],
    members: Iterable[Member],
    before: Told | None,
    now: datetime.datetime,
) -> Decision:
    """``target``: the spec's revision. ``stored``: revisions that nodes can be given although the spec is another."""
    known = before if before is not None and before.revision == target else None
    previous = _previous(target, before)
    ordered = sorted(members, key=lambda each: (each.group, each.name))
    return _Rollout(
        asked=asked, target=target, good=previous if previous in stored else "", previous=previous, known=known,
        members=tuple(_adopted(each, target) for each in ordered), now=now,
    ).decided(ordered)  # fmt: skip


def _previous(target: str, before: Told | None) -> str:
    """The newest revision that was good on all nodes before ``target``."""
    if before is None:
        return ""
    return before.revision if before.revision != target and before.phase is Phase.COMPLETE else before.previous


def _adopted(member: Member, target: str) -> Member:
    """A node that has been assigned nothing and runs the revision already, as when spec.rollout is added."""
    return member if member.assigned or member.running != target else replace(member, assigned=target)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rollout:
    asked: Asked
    target: str
    good: str
    previous: str
    known: Told | None
    members: tuple[Member, ...]
    now: datetime.datetime

    def decided(self, original: Sequence[Member]) -> Decision:
        """``original``: the members as they are, which may be other than as they are to be taken."""
        phase = self.known.phase if self.known else Phase.PROGRESSING
        if phase is Phase.COMPLETE:
            wanted = {each.label: self.target for each in self.members}
        elif phase in (Phase.RETURNING, Phase.RETURNED) and not self.good:
            wanted = {}  # what was to be run again is stored no longer, and what was refused is not tried again
        elif self._returns(phase):
            left = [each for each in self.members if self._has_to_return(each)]
            wanted = {each.label: self.good for each in left}
            if any(each.assigned == self.target for each in left) or not (phase is Phase.RETURNED or self._are_back()):
                phase = Phase.RETURNING
            else:
                phase = Phase.RETURNED
        else:
            wanted = {each.label: self.good for each in self.members if self.good and self._joins(each)}
            if self.members and all(map(self._done, self.members)):
                phase = Phase.COMPLETE
            elif self.asked.paused or self._refusing():
                phase = Phase.PAUSED
            else:
                phase = Phase.PROGRESSING
                joined = tuple(replace(each, assigned=wanted.get(each.label, each.assigned)) for each in self.members)
                moved = replace(self, members=joined)._moved()
                wanted |= {each.label: self.target for each in moved}
        wanted = {each.label: each.assigned for each in self.members if each.assigned} | wanted
        assign = tuple(
            (each.label, wanted[each.label])
            for each in original
            if each.there and wanted.get(each.label, each.assigned) != each.assigned
        )
        return Decision(told=self._told(phase), assign=assign, again=self._again(phase))

    # ---------------------------------------------------------------- what a node is

    def _done(self, member: Member) -> bool:
        return self._arrived(member) and self._unsettled(member) <= datetime.timedelta()

    def _arrived(self, member: Member) -> bool:
        return member.assigned == self.target and member.well

    def _unsettled(self, member: Member) -> datetime.timedelta:
        """For how long it still has to do well."""
        return self.asked.settle if member.since is None else member.since + self.asked.settle - self.now

    def _joins(self, member: Member) -> bool:
        """Whether it is new: assigned nothing, and running nothing that anybody knows of."""
        return not member.assigned and not member.running

    def _refuses(self, member: Member) -> bool:
        return (
            member.assigned == self.target
            and member.observed == self.target
            and member.type not in ("", naming.PENDING, naming.SUCCESS, naming.UNLOADED)
        )

    def _refusing(self) -> list[Member]:
        return [each for each in self.members if self._refuses(each)]

    # ---------------------------------------------------------------- back

    def _returns(self, phase: Phase) -> bool:
        if not self.good or self.good == self.target:
            return False
        if phase in (Phase.RETURNING, Phase.RETURNED):
            return True
        return self.asked.on_failure is OnFailure.RETURN and bool(self._refusing())

    def _has_to_return(self, member: Member) -> bool:
        return member.assigned == self.target or self._joins(member)

    def _are_back(self) -> bool:
        """Whether all nodes that can answer have: who is not ready gets the good revision when it is."""
        return not any(map(self._goes_back, self.members))

    def _goes_back(self, member: Member) -> bool:
        return member.able and member.assigned == self.good != member.observed

    # ---------------------------------------------------------------- forth

    def _moved(self) -> Iterator[Member]:
        """The nodes whose turn it is."""
        under_way = sum(1 for each in self.members if each.assigned == self.target and not self._done(each))
        most = self.asked.most(len(self.members))
        places = most - under_way
        without = sum(1 for each in self.members if not self._counts(each))
        waiting = [each for each in self.members if each.able and each.assigned != self.target]
        begun = [
            each.group for each in self.members if each.able and each.assigned == self.target and not self._done(each)
        ]
        group = min([*begun, *(each.group for each in waiting)], default=0)
        moved = 0
        for each in waiting:
            if each.group == group and moved < places and (each.ill or (self._counts(each) and without < most)):
                without += self._counts(each)
                moved += 1
                yield each
        if moved or under_way:
            return
        # All of this group do well, and others that do not leave no room for one of them: those may be moved.
        yield from [each for each in waiting if each.ill][:places]

    def _counts(self, member: Member) -> bool:
        """Whether it has the application: it runs what it ran before, or the revision for long enough."""
        return self._done(member) if member.assigned == self.target else member.well

    # ---------------------------------------------------------------- told

    def _again(self, phase: Phase) -> datetime.timedelta | None:
        if phase is Phase.COMPLETE:
            return None
        waits = [
            wait for each in self.members if self._arrived(each) and (wait := self._unsettled(each)).total_seconds() > 0
        ]
        return min(waits, default=None)

    def _told(self, phase: Phase) -> Told:
        refusing = self._refusing()
        known = self.known
        failed, cause = tuple(each.name for each in refusing[:NODES]), ""
        if refusing:
            # The first line: the verifier's own words come after it, and are in the node's state.
            said = refusing[0].message.partition("\n")[0] or refusing[0].type
            cause = shortened(f"{refusing[0].name}: {said}", CAUSE)
        if phase in (Phase.RETURNING, Phase.RETURNED) and known is not None and known.failed:
            failed, cause = known.failed, known.cause
        told = Told(
            phase=phase,
            revision=self.target,
            previous=self.previous,
            updated=sum(each.running == self.target for each in self.members),
            ready=sum(map(self._done, self.members)),
            total=len(self.members),
            failed=failed,
            cause=cause,
            since=known.since if known is not None and known.phase is phase and known.since else _stamp(self.now),
        )
        return replace(told, message=self._words(told))

    def _words(self, told: Told) -> str:
        have = f"{told.updated} of {told.total} nodes have revision {told.revision}"
        match told.phase:
            case Phase.COMPLETE:
                return have
            case Phase.RETURNED:
                return (
                    f"{told.revision} was refused by {told.cause}; all nodes have {told.previous} again, and "
                    f"{told.revision} is not tried again until the spec changes"
                )
            case Phase.RETURNING:
                left = [each for each in self.members if each.assigned == self.target or self._goes_back(each)]
                whom = _names(left) if self.good else f"not possible, since {told.previous} is stored no longer"
                return f"{told.revision} was refused by {told.cause}; returning to {told.previous}: {whom}"
            case Phase.PAUSED if told.failed:
                alone = "" if self.asked.on_failure is OnFailure.PAUSE else ", and there is no version to return to"
                return f"{have}; refused by {told.cause}{_more(told)}; no other node is changed{alone}"
            case Phase.PAUSED:
                return f"{have}; spec.rollout.paused keeps the others from it"
        return "; ".join([have, *self._awaited()])

    def _awaited(self) -> Iterator[str]:
        """Whom a rollout that goes on waits for."""
        changing = [
            each for each in self.members if each.assigned == self.target and each.able and not self._done(each)
        ]
        settling = [each for each in changing if self._arrived(each)]
        if working := [each for each in changing if each not in settling]:
            yield f"changing {_names(working)}"
        if settling:
            yield f"watching {_names(settling)} for {self.asked.settle.total_seconds():.0f} s"
        if silent := [each for each in self.members if not each.ready]:
            yield f"not ready: {_names(silent)}"
        if absent := [each for each in self.members if each.ready and not each.there]:
            yield f"no agent reports from {_names(absent)}"
        before = [each for each in self.members if each.able and each.running and each.assigned != self.target]
        if ill := [each for each in before if not each.well]:
            yield f"not well before it: {_names(ill)}"


def _names(members: Sequence[Member]) -> str:
    return listed([each.name for each in members])


def _more(told: Told) -> str:
    return f"; also by {listed(told.failed[1:])}" if len(told.failed) > 1 else ""


def _stamp(now: datetime.datetime) -> str:
    return now.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
