"""What is wrong on a node, as its NodeBpfInventory says it: the list, the condition, and what of it is news. Pure.

The list is bounded and says what an administrator reads; how much there is beyond is told in the condition. What is
told as an Event is what the object did not say before, so a restart or another look tells nothing twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from skep import model
from skep.kube.inventory.kind import LONGEST, MOST_FINDINGS, MOST_NAMED
from skep.model import AlertKind

Json = dict[str, Any]
"""A part of an object. Any: JSON."""
CLEAN: Final = "Clean"
"""The condition's type."""
SINGLY: Final = 4
"""Findings of one kind that are told in Events of their own; more at once are told together."""
_LONGEST_MESSAGE: Final = 1000
_REASONS: Final = {
    AlertKind.CLASH: "BpfClash",
    AlertKind.DRIFT: "BpfDrift",
    AlertKind.UNSANCTIONED: "BpfNotSanctioned",
}
"""What makes a node not clean, with the reason of the condition and of Events; programs that share a hook do not."""
_WORDS: Final = {
    AlertKind.CLASH: ("clash", "clashes"),
    AlertKind.DRIFT: ("link detached or replaced", "links detached or replaced"),
    AlertKind.UNSANCTIONED: ("program not sanctioned", "programs not sanctioned"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One Event. ``application``: the key of the object that it is about, "" for the node."""

    reason: str
    note: str
    application: str = ""
    warning: bool = True


def listed(alerts: Iterable[model.Alert], node: str) -> list[Json]:
    """The findings, the worst first, as many as the object may have."""
    return [_finding(one, node) for one, _ in zip(alerts, range(MOST_FINDINGS), strict=False)]


def condition(alerts: tuple[model.Alert, ...]) -> Json:
    """Whether all is well, without the time."""
    wrong = [one for one in alerts if one.kind in _REASONS]
    if not wrong:
        return {
            "type": CLEAN, "status": "True", "reason": CLEAN, "message": "nothing is wrong between skep and others"
        }  # fmt: skip
    counts = [(each, sum(one.kind is each for one in wrong)) for each in _REASONS]
    told = ", ".join(f"{number} {_WORDS[each][number != 1]}" for each, number in counts if number)
    return {
        "type": CLEAN,
        "status": "False",
        "reason": _REASONS[wrong[0].kind],
        "message": _cut(f"{told}; {wrong[0].message} (status.findings has more, and what to do)", _LONGEST_MESSAGE),
    }


def news(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[News]:  # Any: JSON
    """What the status says now and did not say before."""
    known = {identity(one) for one in before.get("findings", ())}
    new = [one for one in after.get("findings", ()) if identity(one) not in known]
    node = str(after.get("node", ""))
    for kind, reason in _REASONS.items():
        ofs = [one for one in new if one["kind"] == kind]
        yield from _told(ofs, reason, f"kubectl get nodebpfinventory {node} -o yaml")
        by_application: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)  # Any: JSON
        for one in ofs:
            for application in one.get("applications", ()):
                by_application[application].append(one)
        for application, some in by_application.items():
            for each in _told(some, reason, f"kubectl get nodebpfinventory {node} -o yaml"):
                yield News(reason=reason, note=_cut(f"node {node}: {each.note}", 1024), application=application)
    if _clean(before) == "False" and _clean(after) == "True":
        yield News(reason="BpfClean", note="nothing is wrong between skep and others any more", warning=False)


def _told(some: list[Mapping[str, Any]], reason: str, see: str) -> Iterator[News]:  # Any: JSON
    if len(some) <= SINGLY:
        for one in some:
            yield News(reason=reason, note=_cut(f"{one['message']}; to do: {one.get('remedy', '')}", _LONGEST_MESSAGE))
        return
    names = [" ".join(filter(None, (one.get("name") or "no name", one.get("place")))) for one in some[:SINGLY]]
    together = _cut(", ".join(names), LONGEST)
    yield News(
        reason=reason, note=f"{len(some)} at once: {together} and {len(some) - SINGLY} more; see '{_cut(see, LONGEST)}'"
    )


def _clean(status: Mapping[str, Any]) -> str:  # Any: JSON
    return next((str(one["status"]) for one in status.get("conditions", ()) if one["type"] == CLEAN), "")


def identity(one: Mapping[str, Any]) -> tuple[str, ...]:  # Any: JSON
    """What makes a finding the same one, as ``Alert.identity``."""
    return (one["kind"], one["hook"], one.get("place", ""), one.get("name", ""), *one.get("applications", ()))


def _finding(one: model.Alert, node: str) -> Json:
    # What this node's agent loaded names the node too; what "skep apply" did is no object of the cluster.
    applications = [_cut(key.removesuffix(f"@{node}"), LONGEST) for key in one.applications[:MOST_NAMED]]
    fields = {
        "kind": one.kind.value,
        "hook": one.hook,
        "place": _cut(one.place, LONGEST),
        "programId": int(one.program),
        "name": _cut(one.name, LONGEST),
        "applications": applications,
        "message": _cut(one.message, _LONGEST_MESSAGE),
        "remedy": _cut(one.remedy, LONGEST),
    }
    return {name: value for name, value in fields.items() if value not in ("", 0, [])}


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
