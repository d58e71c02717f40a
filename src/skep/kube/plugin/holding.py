"""``kubectl skep inventory``: the programs in the kernels of all nodes, and who keeps them there. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from skep.kube.inventory import status


class By(enum.StrEnum):
    """What programs are added up by."""

    OWNER = "owner"
    NODE = "node"
    TYPE = "type"
    PROGRAM = "program"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program on one node. ``owner``: KIND/[NAMESPACE/]NAME of the application, or who else holds it; "": nobody
    that is known. ``memory``: bytes, as exact as the inventory is."""

    node: str
    id: int
    type: str
    name: str
    tag: str
    managed: bool
    owner: str
    kin: str
    """The owner without what is another on each node: a process's number, a pod's name, a pin's own name."""
    places: tuple[str, ...]
    memory: int

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {
            "node": self.node, "id": self.id, "type": self.type, "name": self.name, "tag": self.tag,
            "managed": self.managed, "owner": self.owner or None, "places": list(self.places), "memory": self.memory,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What one inventory says: its programs that are wanted, and how many it has no room for."""

    name: str
    kernel: str
    programs: tuple[Program, ...]
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Programs that have something in common. ``words``: what, by ``By``."""

    words: tuple[str, ...]
    nodes: int
    programs: int
    foreign: int
    memory: int

    def document(self, by: By) -> dict[str, object]:
        """As JSON."""
        return {
            **dict(zip(TITLES[by], self.words, strict=True)),
            "nodes": self.nodes, "programs": self.programs, "foreign": self.foreign, "memory": self.memory,
        }  # fmt: skip


TITLES: Mapping[By, tuple[str, ...]] = {
    By.OWNER: ("owner",),
    By.NODE: ("node",),
    By.TYPE: ("type",),
    By.PROGRAM: ("owner", "type", "name"),
}
"""What tells the groups apart."""
NOBODY = "nobody"


def read(document: Mapping[str, Any], *, foreign: bool | None = None, type: str = "") -> Node:  # Any: JSON
    """One NodeBpfInventory. ``foreign`` True: only what is not skep's; False: only what is. ``type``: only this one."""
    found = document.get("status") or {}
    name = found.get("node") or document["metadata"]["name"]
    programs = (_program(name, each) for each in found.get("programs") or ())
    return Node(
        name=name,
        kernel=found.get("kernel", ""),
        programs=tuple(
            each
            for each in programs
            if foreign in (None, not each.managed) and _is_of_type(each, type.lower().replace("_", ""))
        ),
        left_out=(found.get("leftOut") or {}).get("programs", 0),
    )


def sums(programs: Iterable[Program], by: By) -> tuple[Sum, ...]:
    """The programs added up, the greatest first."""
    groups: dict[tuple[str, ...], list[Program]] = {}
    for each in programs:
        groups.setdefault(_words(each, by), []).append(each)
    found = [
        Sum(
            words=words,
            nodes=len({each.node for each in members}),
            programs=len(members),
            foreign=sum(not each.managed for each in members),
            memory=sum(each.memory for each in members),
        )
        for words, members in groups.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.programs, each.words)))


def headline(nodes: Iterable[Node]) -> str:
    """How much there is, in a sentence."""
    nodes = tuple(nodes)
    programs = [each for node in nodes for each in node.programs]
    managed = sum(each.managed for each in programs)
    counted = f"{len(programs)} program{'' if len(programs) == 1 else 's'} on {len(nodes)} node{_s(len(nodes))}"
    return f"{counted}: {managed} of skep's, {len(programs) - managed} of others; {status.amount(_memory(programs))}"


def owner(told: Mapping[str, Any], *, kin: bool = False) -> str:  # Any: JSON
    """Who keeps something in a kernel, in a few words; "": nobody that is known. ``kin``: without what is another on
    each node."""
    if told.get("managed"):
        # What an agent applies is its node's part of an application: KIND/NAME@NODE.
        named = str(told.get("applied") or told.get("application") or "skep").partition("@")[0]
        # The program that a chain is linked into is all members' alike.
        return f"chain of {told.get('application') or named}" if told.get("chain") else named
    for process in told.get("processes") or ():
        number = "" if kin else f"[{process['pid']}]"
        return f"{process.get('command') or 'process'}{number}{_within(process, kin=kin)}"
    for pin in told.get("pins") or ():
        # Whoever pins much has a directory of his own: /sys/fs/bpf/cilium.
        parts = pin.split("/")
        return f"pins in {'/'.join(parts[:5])}" if kin and len(parts) > 5 else f"pin {pin}"
    for group in told.get("cgroups") or ():
        return _within(group, kin=kin).strip() or f"cgroup {group['path']}"
    return ""


def _program(node: str, told: Mapping[str, Any]) -> Program:  # Any: JSON
    whose = told.get("owner") or {}
    return Program(
        node=node,
        id=told["id"],
        type=told.get("type", ""),
        name=told.get("name", ""),
        tag=told.get("tag", ""),
        managed=bool(whose.get("managed")),
        owner=owner(whose),
        kin=owner(whose, kin=True),
        places=tuple(told.get("places") or ()),
        memory=int(status.octets(told.get("memory", ""))),
    )


def _words(program: Program, by: By) -> tuple[str, ...]:
    match by:
        case By.OWNER:
            return (program.kin or NOBODY,)
        case By.NODE:
            return (program.node,)
        case By.TYPE:
            return (program.type,)
        case By.PROGRAM:
            return (program.kin or NOBODY, program.type, program.name)


def _is_of_type(program: Program, type: str) -> bool:
    """By the kernel's type ("schedcls"), or by the first word of where it is attached ("tcx")."""
    return type in ("", program.type, *(place.partition(" ")[0] for place in program.places))


def _within(told: Mapping[str, Any], *, kin: bool) -> str:  # Any: JSON
    if pod := told.get("pod"):
        if not pod.get("name"):
            return " in a pod" if kin else f" in pod {pod['uid']}"
        return f" in pods of {pod['namespace']}" if kin else f" in pod {pod['namespace']}/{pod['name']}"
    return f" in {told['unit']}" if told.get("unit") else ""


def _memory(programs: Iterable[Program]) -> int:
    return sum(each.memory for each in programs)


def _s(count: int) -> str:
    return "" if count == 1 else "s"
