"""Which caller may change things. Reaching the socket is the first gate (its mode and group); this is the second.

Root may do everything. For everybody else the first rule that matches decides; without a match the caller may, since
the administrator let them reach the socket.
"""

from __future__ import annotations

from dataclasses import dataclass

from skep import errors, model


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A rule: callers with one of these uids, or in one of these groups, may look and preview, but change nothing."""

    uids: frozenset[int] = frozenset()
    gids: frozenset[int] = frozenset()

    def matches(self, caller: model.Caller) -> bool:
        """Whether the rule is about this caller; supplementary groups count."""
        return caller.uid in self.uids or not self.gids.isdisjoint((caller.gid, *caller.groups))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """May ``caller`` do ``verb``; ``rule`` is the one that decided, None when none matched."""

    caller: model.Caller
    verb: str
    allowed: bool
    rule: Reading | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The table of rules, in order."""

    rules: tuple[Reading, ...] = ()

    def decide(self, caller: model.Caller, verb: str) -> Decision:
        """Decide about a verb that changes something ("load", "detach")."""
        if caller.uid == 0:
            return Decision(caller=caller, verb=verb, allowed=True)
        for rule in self.rules:
            if rule.matches(caller):
                return Decision(caller=caller, verb=verb, allowed=False, rule=rule)
        return Decision(caller=caller, verb=verb, allowed=True)

    def check(self, caller: model.Caller, verb: str) -> None:
        """Raise Denied unless the caller may."""
        decision = self.decide(caller, verb)
        if not decision.allowed:
            raise errors.Denied(
                f"{verb} is not allowed", why=explain(decision), do="ask the administrator to change the access rules"
            )


def explain(decision: Decision) -> str:
    """Why a decision is as it is, in one clause."""
    who = f"uid {decision.caller.uid}"
    if decision.rule is not None:
        return f"{who} is restricted to reading"
    if decision.caller.uid == 0:
        return "root may do everything"
    return f"{who} may: no rule restricts it"


ANYBODY = Access()
"""Everybody who reached the socket may do everything."""
