"""The global variables of an object by name, so that one can be given a value before the object is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from skep import errors
from skep.bytecode import btf, elf, maps, programs
from skep.bytecode.btf import Kind
from skep.bytecode.elf import Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One global variable: ``size`` bytes at ``offset`` of data section ``section``; ``type`` as C spells it."""

    name: str
    section: str
    offset: int
    size: int
    type: str


def variables(whole: Object) -> tuple[Variable, ...]:
    """Every variable in the object's data sections; none when it was compiled without -g.

    Offsets come from the symbols: the compiler leaves those in BTF to the loader.
    """
    blob = programs.types(whole)
    if not blob:
        return ()
    types = btf.parse(blob)
    places = _places(whole)
    result: list[Variable] = []
    for section in types.types:
        if section.kind is not Kind.DATASEC or not maps.is_data(section.name):
            continue
        room = whole.section(section.name)
        for variable_id, offset, size in section.items:
            variable = types.type(int(variable_id))
            if variable is None or variable.kind is not Kind.VAR or room is None:
                raise _bad(f"section {section.name!r} holds something that is not a variable")
            at = places.get((room.index, variable.name), int(offset))
            length = types.size_of(variable.size) or int(size)
            if at + length > room.size:
                raise _bad(f"variable {variable.name!r} lies outside section {section.name!r}")
            result.append(
                Variable(
                    name=variable.name,
                    section=section.name,
                    offset=at,
                    size=length,
                    type=types.spell(variable.size),
                )
            )
    return tuple(result)


def find(known: Iterable[Variable], name: str) -> Variable:
    """The variable of this name; ``NotFound`` with near misses."""
    listed = list(known)
    for one in listed:
        if one.name == name:
            return one
    names = [one.name for one in listed]
    near = errors.near_misses(name, names)
    raise errors.NotFound(
        f"the object has no global variable {name!r}",
        why="it has " + (", ".join(names) or "none, or was compiled without -g"),
        do="" if near else "name one of those",
        near=near,
    )


def check_value(variable: Variable, value: bytes) -> bytes:
    """``value`` itself; ``InvalidRequest`` when it is not exactly as long as the variable."""
    if len(value) == variable.size:
        return value
    raise errors.InvalidRequest(
        f"global variable {variable.name!r} cannot be set",
        why=f"it is a {variable.type} of {variable.size} bytes and the value has {len(value)}",
        do=f"give {variable.size} bytes in the machine's byte order",
    )


def _places(whole: Object) -> dict[tuple[int, str], int]:
    return {(one.section, one.name): one.value for one in whole.symbols if one.type == elf.STT_OBJECT and one.name}


def _bad(why: str) -> errors.BadObject:
    return errors.BadObject("the variables of the object cannot be read", why=why, do="compile it again with clang -g")
