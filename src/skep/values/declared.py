"""Types of a map's keys and values as its declaration in an object's BTF has them (section ``.maps``).

The kernel knows the types of most maps. libbpf does not hand over those of queues, rings, maps of maps and the like
(``bpf_object__create_map``), but they are in the BTF of the programs that use them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from skep.bytecode.btf import Btf, Kind

_NAME: Final = 15  # the kernel keeps so many bytes of a map's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Types:
    """Type ids in ``btf``; 0 where nothing is known."""

    btf: Btf
    key: int = 0
    value: int = 0
    origin: str = ""
    """Whose BTF it is: "the map", "program 12"."""


def find(types: Btf, name: str) -> tuple[int, int] | None:
    """Key and value type of the map that the kernel calls ``name``; None when it is not declared here."""
    section = types.type(types.find(".maps", Kind.DATASEC))
    if section is None:
        return None
    for variable_id, _, _ in section.items:
        variable = types.type(int(variable_id))
        if variable is None or variable.kind is not Kind.VAR or variable.name[:_NAME] != name[:_NAME]:
            continue
        declared = types.resolve(variable.size)
        if declared is None or declared.kind is not Kind.STRUCT:
            continue
        members = {str(item[0]): int(item[1]) for item in declared.items}
        return _pointed(types, members.get("key", 0)), _pointed(types, members.get("value", 0))
    return None


def named(types: Btf, name: str) -> int:
    """The id of a struct, union, typedef, enumeration or integer by its C name, with or without its keyword; else 0."""
    keyword, _, rest = name.strip().rpartition(" ")
    wanted = {"struct": (Kind.STRUCT,), "union": (Kind.UNION,), "enum": (Kind.ENUM, Kind.ENUM64)}.get(
        keyword.strip(),
        (Kind.STRUCT, Kind.UNION, Kind.TYPEDEF, Kind.ENUM, Kind.ENUM64, Kind.INT),
    )
    return next((found for kind in wanted if (found := types.find(rest or name, kind))), 0)


def pointed_at(types: Btf) -> int:
    """The struct of the only global variable that is a pointer to one, else 0.

    ``struct event *unused __attribute__((unused));`` is how objects keep the type of their events in BTF.
    """
    found = set()
    for one in types.types:
        if one.kind is Kind.VAR:
            target = types.resolve(_pointed(types, one.size))
            if target is not None and target.kind is Kind.STRUCT and target.name:
                found.add(types.find(target.name, Kind.STRUCT))
    return found.pop() if len(found) == 1 else 0


def names(types: Btf) -> tuple[str, ...]:
    """Every struct's name, for near misses."""
    return tuple(one.name for one in types.types if one.kind is Kind.STRUCT and one.name)


def _pointed(types: Btf, type_id: int) -> int:
    pointer = types.resolve(type_id)
    return pointer.size if pointer is not None and pointer.kind is Kind.PTR else 0
