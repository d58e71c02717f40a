"""BTF of every shape for hypothesis: a type, and JSON values that fit it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from skep.bytecode.btf import Btf, Kind, Type
from skep.values import Json

Values = st.SearchStrategy[Any]  # Any: JSON, with hypothesis in between

SIGNED, BOOL = 1 << 24, 4 << 24


class Builder:
    """Types of one BTF, given ids as they are added."""

    def __init__(self) -> None:
        self.types: list[Type] = []

    def add(self, kind: Kind, name: str = "", size: int = 0, *items: tuple[int | str, ...], flag: bool = False) -> int:
        self.types.append(Type(kind, name, size, items, len(items), flag))
        return len(self.types)

    def integer(self, name: str, size: int, encoding: int = 0) -> int:
        return self.add(Kind.INT, name, size, (encoding | size * 8,))

    def struct(self, name: str, members: list[tuple[str, int]], kind: Kind = Kind.STRUCT) -> int:
        """A struct without padding, or a union."""
        sizes = [Btf(tuple(self.types)).size_of(type_id) for _, type_id in members]
        starts = [sum(sizes[:index]) * 8 if kind is Kind.STRUCT else 0 for index in range(len(sizes))]
        size = sum(sizes) if kind is Kind.STRUCT else max(sizes, default=0)
        items = [(member, type_id, start) for (member, type_id), start in zip(members, starts, strict=True)]
        return self.add(kind, name, size, *items)

    @property
    def btf(self) -> Btf:
        return Btf(tuple(self.types))


@st.composite
def typed(draw: st.DrawFn) -> tuple[Btf, int, Values]:
    """A BTF, a type in it, and values of that type."""
    builder = Builder()
    type_id, values = _shape(draw, builder, 3)
    return builder.btf, type_id, values


def _shape(draw: st.DrawFn, builder: Builder, depth: int) -> tuple[int, Values]:
    leaves = ["int", "bool", "enum", "enum64", "pointer", "float", "text", "bits", "typedef"]
    kind = draw(st.sampled_from(leaves + (["struct", "array", "union"] * 3 if depth else [])))
    match kind:
        case "int" | "typedef":
            size, signed = draw(st.sampled_from([1, 2, 4, 8, 16])), draw(st.booleans())
            type_id = builder.integer("int", size, SIGNED if signed else 0)
            if kind == "typedef":
                type_id = builder.add(Kind.CONST, "", builder.add(Kind.TYPEDEF, "alias", type_id))
            half = 1 << size * 8 - 1
            return type_id, st.integers(-half, half - 1) if signed else st.integers(0, 2 * half - 1)
        case "bool":
            return builder.integer("_Bool", 1, BOOL), st.booleans()
        case "enum":
            type_id = builder.add(Kind.ENUM, "e", 4, ("NONE", 0), ("MINUS", 0xFFFFFFFF), flag=True)
            return type_id, st.sampled_from(["NONE", "MINUS"]) | st.integers(1, 1 << 30)
        case "enum64":
            type_id = builder.add(Kind.ENUM64, "e", 8, ("NONE", 0, 0), ("LARGE", 1, 1))
            return type_id, st.sampled_from(["NONE", "LARGE"]) | st.integers(1, 1 << 20)
        case "pointer":
            return builder.add(Kind.PTR), st.integers(0, (1 << 64) - 1).map(hex)
        case "float":
            return builder.add(Kind.FLOAT, "double", 8), st.floats(allow_nan=False, allow_infinity=False)
        case "text":
            char, room = builder.integer("char", 1, SIGNED), draw(st.integers(1, 16))
            type_id = builder.add(Kind.ARRAY, "", 0, (char, char, room))
            return type_id, st.text("abcäß€ .:x-", max_size=room).filter(lambda text: len(text.encode()) <= room)
        case "bits":
            whole = builder.integer("unsigned int", 4)
            return builder.add(
                Kind.STRUCT, "b", 4, ("low", whole, 3 << 24), ("high", whole, 29 << 24 | 3), flag=True
            ), st.fixed_dictionaries({"low": st.integers(0, 7), "high": st.integers(0, (1 << 29) - 1)})
        case "array":
            element, values = _shape(draw, builder, depth - 1)
            count = draw(st.integers(0, 3)) if builder.btf.size_of(element) else 0
            type_id = builder.add(Kind.ARRAY, "", 0, (element, element, count))
            if builder.types[element - 1].name == "char":
                values = st.integers(-128, 127)
            return type_id, st.lists(values, min_size=count, max_size=count)
        case "union":
            number = builder.integer("int", 4)
            inside, values = _shape(draw, builder, 0)
            return builder.struct("u", [("member", inside), ("number", number)], Kind.UNION), values.map(
                lambda value: {"member": value}
            )
        case _:
            members: list[tuple[str, int]] = []
            every: dict[str, Values] = {}
            for index in range(draw(st.integers(1, 4))):
                name = f"m{index}"
                member, values = _shape(draw, builder, depth - 1)
                members.append((name, member))
                every[name] = values
            if draw(st.booleans()):
                # Members of an anonymous struct stand in the object around it.
                inner = builder.integer("int", 2)
                members.append(("", builder.struct("", [("inner", inner)])))
                every["inner"] = st.integers(0, 65535)
            return builder.struct("s", members), st.fixed_dictionaries(every)


def subset(given: Json, told: Json) -> bool:
    """Whether all that was given is told; of a union more members are told than were given."""
    if isinstance(given, dict) and isinstance(told, dict):
        return all(name in told and subset(value, told[name]) for name, value in given.items())
    if isinstance(given, list) and isinstance(told, list):
        return len(given) == len(told) and all(map(subset, given, told))
    return given == told
