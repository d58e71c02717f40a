"""BTF as values: parse a blob, build one, and make one blob of several.

Layout: ``struct btf_header``, ``struct btf_type`` and the kinds of linux/btf.h as of Linux 6.18. Type id 0 is void and
is not in the blob; ids count from 1. Blobs are in host byte order: they come from objects that this host can load.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from skep import errors
from skep.bytecode.recent import OBJECTS, recent

MAGIC: Final = 0xEB9F
VERSION: Final = 1
_HEADER: Final = struct.Struct("=HBBIIIII")
_TYPE: Final = struct.Struct("=III")

_LONGEST_NAME: Final = 4_096  # bytes; the kernel takes 511 (KSYM_NAME_LEN)

FUNC_STATIC: Final = 0
FUNC_GLOBAL: Final = 1
FUNC_EXTERN: Final = 2


class Kind(enum.IntEnum):
    """BTF_KIND_* of linux/btf.h."""

    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


# What follows ``struct btf_type``: one letter per 32-bit word (n = name, t = type id, i = number), and whether the
# group repeats ``vlen`` times.
_TAILS: Final[dict[Kind, tuple[str, bool]]] = {
    Kind.INT: ("i", False),
    Kind.ARRAY: ("tti", False),
    Kind.STRUCT: ("nti", True),
    Kind.UNION: ("nti", True),
    Kind.ENUM: ("ni", True),
    Kind.FUNC_PROTO: ("nt", True),
    Kind.VAR: ("i", False),
    Kind.DATASEC: ("tii", True),
    Kind.DECL_TAG: ("i", False),
    Kind.ENUM64: ("nii", True),
}
# Kinds whose last header word is a type id; for the others it is a size in bytes.
REFERRING: Final = frozenset(
    {
        Kind.PTR,
        Kind.TYPEDEF,
        Kind.VOLATILE,
        Kind.CONST,
        Kind.RESTRICT,
        Kind.FUNC,
        Kind.FUNC_PROTO,
        Kind.VAR,
        Kind.DECL_TAG,
        Kind.TYPE_TAG,
    }
)
_TRANSPARENT: Final = frozenset({Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG})

Item = tuple[int | str, ...]


class Type(NamedTuple):
    """One type. ``size``: bytes, or the type id of kinds in ``REFERRING``. ``vlen``: items, or FUNC's linkage.

    ``items`` are the words after the header in groups, names as text: (name, type id, bit offset) of a struct's
    fields, (name, type id) of a function's arguments, (type id, offset, size) of a section's variables, and so on.
    """

    kind: Kind
    name: str = ""
    size: int = 0
    items: tuple[Item, ...] = ()
    vlen: int = 0
    flag: bool = False


class Btf(NamedTuple):
    """All types of one blob; ``types[0]`` has id 1."""

    types: tuple[Type, ...]

    def type(self, type_id: int) -> Type | None:
        """The type with this id; None for void and for ids out of range."""
        return self.types[type_id - 1] if 0 < type_id <= len(self.types) else None

    def find(self, name: str, kind: Kind) -> int:
        """The id of the first type of this kind and name; 0 when there is none."""
        for index, one in enumerate(self.types):
            if one.kind is kind and one.name == name:
                return index + 1
        return 0

    def resolve(self, type_id: int) -> Type | None:
        """The type behind typedefs and qualifiers; None for void and for chains that never end."""
        for _ in range(64):  # the kernel's MAX_RESOLVE_DEPTH is 32
            one = self.type(type_id)
            if one is None or one.kind not in _TRANSPARENT:
                return one
            type_id = one.size
        return None

    def size_of(self, type_id: int) -> int:
        """Bytes that a value of this type takes; 0 when it has no size."""
        count = 1
        for _ in range(64):
            one = self.resolve(type_id)
            if one is None:
                return 0
            if one.kind is Kind.PTR:
                return count * 8
            if one.kind is not Kind.ARRAY:
                return 0 if one.kind in REFERRING else count * one.size
            element, _, length = one.items[0]
            count *= int(length)
            type_id = int(element)
        return 0

    def spell(self, type_id: int) -> str:
        """The type as C would write it, near enough for a message: ``const volatile __u32``, ``char[16]``."""
        suffix = ""
        prefix: list[str] = []
        for _ in range(64):
            one = self.type(type_id)
            if one is None:
                return " ".join([*prefix, "void"]) + suffix
            match one.kind:
                case Kind.ARRAY:
                    suffix += f"[{one.items[0][2]}]"
                    type_id = int(one.items[0][0])
                case Kind.PTR:
                    suffix = " *" + suffix
                    type_id = one.size
                case Kind.CONST | Kind.VOLATILE | Kind.RESTRICT:
                    prefix.append(one.kind.name.lower())
                    type_id = one.size
                case Kind.TYPE_TAG:
                    type_id = one.size
                case Kind.STRUCT | Kind.UNION | Kind.ENUM | Kind.ENUM64 | Kind.FWD:
                    word = "enum" if one.kind is Kind.ENUM64 else "struct" if one.kind is Kind.FWD else one.kind.name
                    return " ".join([*prefix, word.lower(), one.name or "{...}"]) + suffix
                case _:
                    return " ".join([*prefix, one.name or one.kind.name.lower()]) + suffix
        return "?"


@recent(OBJECTS)
def parse(blob: bytes) -> Btf:
    """Read a BTF blob; ``BadObject`` for anything that is not well-formed BTF of this host's byte order."""
    if len(blob) < _HEADER.size:
        raise _bad(f"{len(blob)} bytes is less than its header")
    magic, version, _flags, header_size, type_at, type_size, string_at, string_size = _HEADER.unpack_from(blob)
    if magic != MAGIC:
        raise _bad(f"its magic is {magic:#06x}, not {MAGIC:#06x} in this host's byte order")
    if version != VERSION:
        raise _bad(f"its version is {version}, not {VERSION}")
    if header_size < _HEADER.size or max(type_at + type_size, string_at + string_size) + header_size > len(blob):
        raise _bad("its parts reach beyond its end")
    strings = blob[header_size + string_at : header_size + string_at + string_size]
    words = blob[header_size + type_at : header_size + type_at + type_size]
    return Btf(tuple(_parse_types(words, _name_reader(strings))))


def build(types: Iterable[Type]) -> bytes:
    """The blob of ``types``, the first having id 1; equal strings are stored once."""
    offsets = {"": 0}
    strings = bytearray(b"\0")

    def offset(name: str) -> int:
        at = offsets.get(name)
        if at is None:
            at = offsets[name] = len(strings)
            strings.extend(name.encode("utf-8", "surrogateescape") + b"\0")
        return at

    body = bytearray()
    for one in types:
        info = one.vlen | one.kind << 24 | one.flag << 31
        body += _TYPE.pack(offset(one.name), info, one.size)
        for item in one.items:
            for word in item:
                body += struct.pack("=I", offset(word) if isinstance(word, str) else word & 0xFFFFFFFF)
    header = _HEADER.pack(MAGIC, VERSION, 0, _HEADER.size, 0, len(body), len(body), len(strings))
    return header + bytes(body) + bytes(strings)


def shift(one: Type, move: Callable[[int], int]) -> Type:
    """``one`` with every type id in it replaced by ``move(id)``; void stays void."""

    def moved(type_id: int | str) -> int:
        return move(int(type_id)) if type_id else 0

    letters, _ = _TAILS.get(one.kind, ("", False))
    items = tuple(
        tuple(moved(word) if letter == "t" else word for letter, word in zip(letters, item, strict=True))
        for item in one.items
    )
    return one._replace(size=moved(one.size) if one.kind in REFERRING else one.size, items=items)


def concatenate(parts: Sequence[Btf]) -> tuple[Btf, tuple[int, ...]]:
    """One BTF of several, and for each part the number to add to its type ids."""
    types: list[Type] = []
    starts: list[int] = []
    for part in parts:
        start = len(types)
        starts.append(start)
        types.extend(shift(one, lambda type_id, start=start: type_id + start) for one in part.types)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    return Btf(tuple(types)), tuple(starts)


@recent(OBJECTS)
def for_functions(blob: bytes, func_info: tuple[tuple[int, int], ...]) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """The part of ``blob`` that the functions named by (instruction, type id) need, and the pairs with new ids.

    Declaration tags of what is kept are kept too: ``__arg_ctx`` and ``__arg_nonnull`` change what the verifier does.
    """
    whole = parse(blob)
    kept: set[int] = set()
    waiting = [type_id for _, type_id in func_info]
    for _, type_id in func_info:
        one = whole.type(type_id)
        if one is None or one.kind is not Kind.FUNC:
            raise _bad(f"type {type_id} is not a function")
    tags = [(index + 1, one.size) for index, one in enumerate(whole.types) if one.kind is Kind.DECL_TAG]
    while waiting:
        while waiting:
            type_id = waiting.pop()
            one = whole.type(type_id)
            if type_id in kept or one is None:
                continue
            kept.add(type_id)
            waiting.extend(references(one))
        waiting = [tag for tag, target in tags if target in kept and tag not in kept]
    order = sorted(kept)
    numbers = {old: new + 1 for new, old in enumerate(order)}
    types = [shift(whole.types[old - 1], lambda type_id: numbers.get(type_id, 0)) for old in order]
    return build(types), tuple((at, numbers[type_id]) for at, type_id in func_info)


def references(one: Type) -> list[int]:
    """Every type id that ``one`` names, void left out."""
    letters, _ = _TAILS.get(one.kind, ("", False))
    found = [int(word) for item in one.items for letter, word in zip(letters, item, strict=True) if letter == "t"]
    if one.kind in REFERRING:
        found.append(one.size)
    return [type_id for type_id in found if type_id]


def one(words: bytes, name: Callable[[int], str]) -> Type:
    """The first of the types in ``words``; ``name`` tells the string at an offset."""
    return next(iter(_parse_types(words, name)))


def _parse_types(words: bytes, name: Callable[[int], str]) -> Iterable[Type]:
    at = 0
    while at < len(words):
        if at + _TYPE.size > len(words):
            raise _bad("its last type is cut short")
        name_at, info, size = _TYPE.unpack_from(words, at)
        at += _TYPE.size
        number, vlen = info >> 24 & 0x1F, info & 0xFFFF
        try:
            kind = Kind(number)
        except ValueError:
            raise _bad(f"it has a type of unknown kind {number}") from None
        letters, repeats = _TAILS.get(kind, ("", False))
        groups = vlen if repeats else 1 if letters else 0
        end = at + 4 * len(letters) * groups
        if end > len(words):
            raise _bad("its last type is cut short")
        items = tuple(
            tuple(name(word) if letter == "n" else word for letter, word in zip(letters, group, strict=True))
            for group in (struct.iter_unpack(f"={len(letters)}I", words[at:end]) if groups else ())
        )
        at = end
        yield Type(kind, name(name_at), size, items, vlen, bool(info >> 31))


def _name_reader(strings: bytes) -> Callable[[int], str]:
    def name(at: int) -> str:
        if at == 0:
            return ""
        end = strings.find(b"\0", at, at + _LONGEST_NAME)
        if at >= len(strings) or end < 0:
            raise _bad("a name lies outside its strings")
        return strings[at:end].decode("utf-8", "surrogateescape")

    return name


def _bad(why: str) -> errors.BadObject:
    return errors.BadObject("the BTF of the object is damaged", why=why, do="compile the object again with clang -g")
