"""``kubectl skep chain``: what runs on an interface of a node and in which order, as far as objects tell. Pure.

Programs of applications come from their states: link, priority, verdicts. What else is attached comes from the node's
inventory, which knows places and no order.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from skep.kube.plugin import holding
from skep.kube.plugin.member import Member, members

HOST = ""
"""The node's own network namespace."""
_NEWEST_FIRST = ("xdp", "tc ingress", "tc egress")
"""Hooks at which, of two with the same priority, the one that came later runs first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One program on a hook. ``position``: its place among the cluster's programs, None where that is not known or it
    does not run. ``link``: skep's number. ``foreign``: it is none of skep's."""

    position: int | None
    program: str
    id: int | None
    owner: str
    priority: int | None
    proceed_on: tuple[str, ...]
    link: int | None
    status: str
    error: str
    foreign: bool

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {
            "position": self.position, "program": self.program, "programId": self.id, "owner": self.owner or None,
            "priority": self.priority, "proceedOn": list(self.proceed_on), "linkId": self.link, "status": self.status,
            "error": self.error or None, "foreign": self.foreign,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A hook of an interface: "xdp", "tc ingress", "tcx egress", "netkit peer". ``unknown``: what cannot be told."""

    hook: str
    entries: tuple[Entry, ...]
    unknown: tuple[str, ...]

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {
            "hook": self.hook,
            "entries": [each.document() for each in self.entries],
            "notKnown": list(self.unknown),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An interface. ``netns``: a network namespace of the node by path, name or pid:NUMBER; ``HOST``: its own."""

    node: str
    interface: str
    netns: str = HOST

    def holds(self, interface: str, netns: str) -> bool:
        """Whether an interface in a namespace, as objects name it, is this one."""
        return interface == self.interface and _namespace(netns) == _namespace(self.netns)


def chains(
    place: Place,
    states: Iterable[Mapping[str, Any]],
    inventory: Mapping[str, Any] | None,
    *,
    direction: str = "",
) -> tuple[Chain, ...]:  # Any: JSON
    """Every hook of the interface on which something is. ``inventory`` None: it may not be seen."""
    hooks: dict[str, list[Entry]] = {}
    known: set[int] = set()
    for each in members(states):
        if each.id is not None:
            known.add(each.id)
        if place.holds(each.interface, each.netns):
            hooks.setdefault(each.hook, []).append(_ours(each))
    for hook, entry in _others(place, inventory or {}, known):
        hooks.setdefault(hook, []).append(entry)
    return tuple(
        _ordered(hook, entries, inventory is not None)
        for hook, entries in sorted(hooks.items())
        if not direction or hook == "xdp" or hook.endswith(f" {direction}")
    )


def elsewhere(
    place: Place, states: Iterable[Mapping[str, Any]], inventory: Mapping[str, Any] | None
) -> tuple[str, ...]:  # Any: JSON
    """What else objects name on the node: its interfaces, as "eth0" and "eth0 in NETNS"."""
    found = {(each.interface, each.netns) for each in members(states) if each.interface}
    found |= {(name, netns) for _, name, netns in _places(inventory or {})}
    others = {(name, _namespace(netns)) for name, netns in found if not place.holds(name, netns)}
    return tuple(f"{name} in {netns}" if netns else name for name, netns in sorted(others))


def interfaces(states: Iterable[Mapping[str, Any]], inventory: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The names of all interfaces that objects name on the node; Any: JSON."""
    found = {each.interface for each in members(states) if each.interface}
    return tuple(sorted(found | {name for _, name, _ in _places(inventory or {})}))


def _ours(each: Member) -> Entry:
    return Entry(
        position=None,
        program=each.program,
        id=each.id,
        owner=each.application,
        priority=each.priority,
        proceed_on=each.proceed_on,
        link=each.link,
        status=each.status,
        error=each.error,
        foreign=False,
    )


def _others(place: Place, inventory: Mapping[str, Any], known: set[int]) -> Iterable[tuple[str, Entry]]:  # Any: JSON
    """What the inventory has there that no state speaks of. The program that a chain is linked into is not another."""
    for told in (inventory.get("status") or {}).get("programs") or ():
        whose = told.get("owner") or {}
        if told["id"] in known or whose.get("chain"):
            continue
        for text in told.get("places") or ():
            hook, interface, netns = parsed(text)
            if hook and place.holds(interface, netns):
                yield (
                    hook,
                    Entry(
                        position=None,
                        program=told.get("name", ""),
                        id=told["id"],
                        owner=holding.owner(whose),
                        priority=None,
                        proceed_on=(),
                        link=None,
                        status="Attached",
                        error="",
                        foreign=not whose.get("managed"),
                    ),
                )


def _places(inventory: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:  # Any: JSON
    for told in (inventory.get("status") or {}).get("programs") or ():
        for text in told.get("places") or ():
            if (found := parsed(text))[0]:
                yield found


def parsed(place: str) -> tuple[str, str, str]:
    """Hook, interface and namespace of a place as inventories write it: "tcx ingress eth0 in blue". ("", "", "") for a
    place that is no interface."""
    words, _, netns = place.partition(" in ")
    match words.split(" "):
        case ["xdp", interface]:
            return "xdp", interface, netns
        case ["tc" | "tcx" | "netkit" as kind, side, interface]:
            return f"{kind} {side}", interface, netns
    return "", "", ""


def _ordered(hook: str, entries: list[Entry], inventory: bool) -> Chain:
    running = [each for each in entries if each.status == "Attached" and each.priority is not None]
    rest = [each for each in entries if each not in running]
    newest = -1 if hook in _NEWEST_FIRST else 1
    running.sort(key=lambda each: (each.priority or 0, newest * (each.link or 0)))
    numbered = [dataclasses.replace(each, position=position) for position, each in enumerate(running)]
    return Chain(hook=hook, entries=(*numbered, *rest), unknown=_unknown(hook, running, rest, inventory))


def _unknown(hook: str, running: list[Entry], rest: list[Entry], inventory: bool) -> tuple[str, ...]:
    told = []
    others = [each for each in rest if each.status == "Attached"]
    if others and running:
        told.append(
            f"where {_listed(others)} stand{'s' if len(others) == 1 else ''} in this order: objects do not say, "
            "only the node knows"
        )
    elif len(others) > 1:
        told.append(f"in which order {_listed(others)} run: objects do not say, only the node knows")
    if any(one.priority == two.priority for one, two in itertools.pairwise(running)):
        which = "the newer link" if hook in _NEWEST_FIRST else "the older link"
        told.append(f"of two with the same priority, {which} is shown first, as skep attaches them")
    if not inventory:
        told.append("what others have attached there: the node's inventory cannot be seen")
    return tuple(told)


def _listed(entries: list[Entry]) -> str:
    return ", ".join(each.program or f"program {each.id}" for each in entries)


def _namespace(netns: str) -> str:
    """A namespace's name, however it is written: /run/netns/blue and blue are one, /proc/7/ns/net and pid:7 another."""
    parts = netns.split("/")
    if parts[:2] == ["", "proc"] and len(parts) > 2:
        return f"pid:{parts[2]}"
    return parts[-1]
