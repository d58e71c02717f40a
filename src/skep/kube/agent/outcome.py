"""What came of an application on this node, and how it is told: in words, with the end of the verifier's log. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from skep import errors, model
from skep.kube import act, reconcile, resources
from skep.kube.agent import expand

LOG_LINES = 12
"""Last lines of a verifier's log that are told; its statistics after them are not."""
LONGEST = 4096
"""Characters of an error in a status (``kinds``)."""
_STATISTICS = ("processed ", "verification time ", "stack depth ", "-- END PROG LOAD LOG")


class Aim(enum.Enum):
    """What is wanted of an application on this node."""

    RUN = "run"
    NOT_SELECTED = "not selected"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an application. ``seen``: what it has on the node now. ``expansion`` None: nothing is wanted here,
    or what is wanted could not be found out.

    ``error``: what kept everything from being done. ``waiting``: for what everything waits, which is no error; with
    ``kept`` it is the node's turn in a rollout, and what runs is left as it is.
    """

    aim: Aim
    application: resources.Application | None = None
    expansion: expand.Expansion | None = None
    seen: act.Seen = field(default_factory=lambda: act.Seen(programs=(), links=()))
    rows: tuple[act.Row, ...] = ()
    error: errors.SkepError | None = None
    waiting: str = ""
    kept: bool = False

    @property
    def failed(self) -> bool:
        """Whether it has to be tried again."""
        return self.error is not None or any(row.error is not None for row in self.rows)

    @property
    def renewed(self) -> bool:
        """Whether its programs were loaded anew, so that its maps began anew."""
        return any(
            row.renewed and row.result is act.Result.CREATED and row.action.noun == "program" for row in self.rows
        )

    @property
    def refused(self) -> tuple[act.Row, ...]:
        """The programs that could not be loaded, replaced or unloaded."""
        return tuple(row for row in self.rows if row.error is not None and row.action.noun == "program")

    @property
    def gone(self) -> bool:
        """Whether nothing of it is left on the node."""
        return not self.seen.programs and not self.failed

    def alive(self) -> dict[str, model.Program]:
        """Its programs that are in the kernel, by name."""
        return {each.record.name: each for each in self.seen.programs if each.status.kernel is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The errors of an outcome by what they are about."""

    programs: dict[str, errors.SkepError]
    places: dict[tuple[str, str], errors.SkepError]
    """By program and place: links that could not be attached."""
    links: dict[model.LinkId, errors.SkepError]


def faults(outcome: Outcome) -> Faults:
    """Whom each error concerns."""
    found = Faults(programs={}, places={}, links={})
    for row in outcome.rows:
        if row.error is None:
            continue
        match row.action.operation:
            case model.Attach(metadata=metadata):
                found.places[row.action.program, metadata.get(reconcile.PLACE, "")] = row.error
            case model.UpdateLink(link=link) | model.Detach(link=link):
                found.links[link] = row.error
            case _:
                for name in row.action.names or (row.action.program,):
                    found.programs[name] = row.error
    return found


def words(error: errors.SkepError, longest: int = LONGEST) -> str:
    """An error for a status: what failed, why, what to do, and the last lines that the verifier wrote."""
    text = str(error)
    lines = [line for line in error.log.splitlines() if line.strip() and not line.startswith(_STATISTICS)]
    if lines:
        # What the verifier stumbled over stands at its end.
        text = "\n".join([shortened(text, longest // 2), *(line[:200] for line in lines[-LOG_LINES:])])
    return shortened(text, longest)


def shortened(text: str, longest: int) -> str:
    """``text``, or its beginning and an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
