"""Which maps an object declares (BTF-defined, section ``.maps``), and its internal data sections.

How a declaration is spelled in BTF: ``__uint``, ``__type``, ``__array`` of libbpf's bpf_helpers.h. A number is the
length of an array behind a pointer, a type is what a pointer points to, an inner map the element of a trailing array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from skep import errors
from skep.bytecode import btf, programs
from skep.bytecode.btf import Btf, Kind, Type
from skep.bytecode.elf import Object

PIN_BY_NAME: Final = 1  # LIBBPF_PIN_BY_NAME, bpf_helpers.h

KCONFIG: Final = ".kconfig"
_DATA_SECTIONS: Final = (".rodata", ".data", ".bss")
_DO: Final = "compile the object again with clang -g"


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """A declared map. ``type``: enum bpf_map_type. Sizes are bytes; ``max_entries`` 0 means that libbpf decides.

    ``pinned_by_name``: the object asks to share it by its name. ``inner``: the map that an array or hash of maps holds.
    """

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    pinned_by_name: bool
    inner: Map | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSection:
    """A section of global variables; libbpf makes it an array map with one entry of ``size`` bytes."""

    name: str
    size: int
    read_only: bool


def maps(whole: Object) -> tuple[Map, ...]:
    """Every declared map; ``BadObject`` when declarations and BTF do not fit together."""
    if whole.section("maps") is not None:
        raise errors.BadObject(
            "the object declares its maps in the old way",
            why='section "maps" (struct bpf_map_def) is not supported since libbpf 1.0',
            do='declare them in SEC(".maps")',
        )
    if whole.section(".maps") is None:
        return ()
    blob = programs.types(whole)
    if not blob:
        raise errors.BadObject("the maps of the object cannot be read", why="it has no BTF", do=_DO)
    types = btf.parse(blob)
    section = types.type(types.find(".maps", Kind.DATASEC))
    if section is None:
        raise _bad("section .maps is not described")
    result: list[Map] = []
    for variable_id, _offset, _size in section.items:
        variable = types.type(int(variable_id))
        if variable is None or variable.kind is not Kind.VAR:
            raise _bad("section .maps holds something that is not a variable")
        result.append(_map(types, variable.name, types.resolve(variable.size)))
    return tuple(result)


def data_sections(whole: Object) -> tuple[DataSection, ...]:
    """The object's .rodata*, .data* and .bss* sections that are not empty, and .kconfig where it asks for anything."""
    found = [
        DataSection(name=one.name, size=one.size, read_only=one.name.startswith(".rodata"))
        for one in whole.sections
        if one.size and is_data(one.name)
    ]
    size = _kconfig(whole)
    if size:
        found.append(DataSection(name=KCONFIG, size=size, read_only=True))
    return tuple(found)


def _kconfig(whole: Object) -> int:
    """Bytes of what libbpf fills in about the kernel (``extern int CONFIG_HZ __kconfig``); 0 when nothing is asked.

    No section holds it: its variables are undefined symbols that BTF describes.
    """
    undefined = {one.name for one in whole.symbols if one.section == 0 and one.name}
    blob = programs.types(whole) if undefined else b""
    if not blob:
        return 0
    types = btf.parse(blob)
    section = types.type(types.find(KCONFIG, Kind.DATASEC))
    size = 0
    for variable_id, _offset, _size in section.items if section is not None else ():
        variable = types.type(int(variable_id))
        if variable is not None and variable.kind is Kind.VAR and variable.name in undefined:
            width = types.size_of(variable.size)
            size = -(-size // max(width, 1)) * max(width, 1) + width if width in (1, 2, 4, 8) else size + width
    return size


def is_data(section: str) -> bool:
    """Whether libbpf makes this section a map of variables."""
    return any(section == one or section.startswith(one + ".") for one in _DATA_SECTIONS)


def _map(types: Btf, name: str, struct: Type | None, inside: bool = False) -> Map:
    if struct is None or struct.kind is not Kind.STRUCT:
        raise _bad(f"map {name!r} is not a struct")
    numbers: dict[str, int] = {}
    inner: Map | None = None
    for field, type_id, _offset in struct.items:
        match field:
            case "type" | "max_entries" | "map_flags" | "key_size" | "value_size" | "pinning" | "numa_node":
                numbers[field] = _number(types, name, int(type_id))
            case "key" | "value":
                numbers[f"{field}_size"] = _pointed_size(types, name, int(type_id))
            case "values" if not inside:
                inner = _inner(types, name, int(type_id))
            case _:
                pass  # map_extra, and what later libbpf releases add: libbpf judges those
    if "type" not in numbers:
        raise _bad(f"map {name!r} has no type")
    return Map(
        name=name,
        type=numbers["type"],
        key_size=numbers.get("key_size", 0),
        value_size=numbers.get("value_size", 4 if inner else 0),
        max_entries=numbers.get("max_entries", 0),
        flags=numbers.get("map_flags", 0),
        pinned_by_name=numbers.get("pinning", 0) == PIN_BY_NAME,
        inner=inner,
    )


def _pointed(types: Btf, name: str, type_id: int) -> int:
    pointer = types.resolve(type_id)
    if pointer is None or pointer.kind is not Kind.PTR:
        raise _bad(f"a setting of map {name!r} is not a pointer")
    return pointer.size


def _number(types: Btf, name: str, type_id: int) -> int:
    array = types.resolve(_pointed(types, name, type_id))
    if array is None or array.kind is not Kind.ARRAY:
        raise _bad(f"a number of map {name!r} is not an array")
    return int(array.items[0][2])


def _pointed_size(types: Btf, name: str, type_id: int) -> int:
    return types.size_of(_pointed(types, name, type_id))


def _inner(types: Btf, name: str, type_id: int) -> Map | None:
    array = types.resolve(type_id)
    if array is None or array.kind is not Kind.ARRAY:
        raise _bad(f"the values of map {name!r} are not an array")
    element = types.resolve(_pointed(types, name, int(array.items[0][0])))
    if element is None or element.kind is not Kind.STRUCT:
        return None  # a prog array with its programs: they are functions
    return _map(types, f"{name}.inner", element, inside=True)


def _bad(why: str) -> errors.BadObject:
    return errors.BadObject("the maps of the object cannot be read", why=why, do=_DO)
