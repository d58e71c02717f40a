"""What maps hold, and what a caller can ask to read or change in them."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from skep.model import ids, observed


@dataclass(frozen=True, slots=True, kw_only=True)
class Datum:
    """A key or value as a caller gives it: its bytes in memory order, or JSON that the map's BTF types.

    With both the bytes are meant as long as they say what the JSON says: what a dump printed goes back bit by bit
    (padding, text with something behind its end), and what was edited since is taken from the JSON.
    """

    json: str = ""
    raw: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MapField:
    """A member of a key's or value's struct. ``bit``: where it begins; ``bits``: its width."""

    name: str
    type: str
    bit: int
    bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MapType:
    """What BTF says of a key or value: the type as C spells it, and its members when it is a struct."""

    name: str
    size: int
    fields: tuple[MapField, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MapShape:
    """A map with the types of its keys and values, None where BTF says nothing."""

    view: observed.MapView
    key: MapType | None = None
    value: MapType | None = None
    origin: str = ""
    """Whose BTF the types are from: "the map", "program 12"."""
    cpus: int = 0
    """How many values an element has in a per-CPU map, else 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapEntry:
    """One element. ``values`` is one, or one for each possible CPU; the JSON forms are "" without BTF."""

    key: bytes
    values: tuple[bytes, ...]
    key_json: str = ""
    values_json: tuple[str, ...] = ()
    inner: ids.MapId | None = None
    """The map that the value of a map of maps names."""
    program: ids.ProgramId | None = None
    """The program that the value of a program array names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPage:
    """Some elements, and where to go on; ``token`` is empty after the last."""

    entries: tuple[MapEntry, ...]
    token: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapDump:
    """Ask for all elements of a map, or those after a page's token. ``map``: an id, a name, or a pin's path."""

    map: str
    after: bytes = b""
    limit: int = 0
    """At most so many; 0: all."""


class MapVerb(enum.StrEnum):
    """How a map is changed. Without a key UPDATE pushes onto a queue or stack (adds to a bloom filter), DELETE pops."""

    UPDATE = "map update"
    DELETE = "map delete"


class MapMode(enum.IntEnum):
    """Whether the key may be there: flags of BPF_MAP_UPDATE_ELEM."""

    ANY = 0
    NEW = 1
    EXISTING = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MapWrite:
    """Change one element. ``cpu``: only this CPU's value of a per-CPU map, else every one's; ``values``: one for each
    CPU, in place of ``value``.

    ``merge``: members that ``value`` does not name keep their present bytes. ``unsafe_foreign``: also when no managed
    program uses the map.
    """

    map: str
    verb: MapVerb
    key: Datum | None = None
    value: Datum | None = None
    values: tuple[Datum, ...] = ()
    cpu: int | None = None
    mode: MapMode = MapMode.ANY
    merge: bool = False
    unsafe_foreign: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MapWritten:
    """What became of a write: the element after an update, the popped one after a pop; None after a delete."""

    operation: ids.OperationId
    map: ids.MapId
    entry: MapEntry | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MapElement:
    """An element to write: ``value``, or ``values`` with one for each CPU."""

    key: Datum | None = None
    value: Datum | None = None
    values: tuple[Datum, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MapFill:
    """Write many elements of one map, one after the other; the rest as in ``MapWrite``. The first that is refused ends
    it, and those before it stay."""

    map: str
    elements: tuple[MapElement, ...]
    mode: MapMode = MapMode.ANY
    merge: bool = False
    unsafe_foreign: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MapFollow:
    """Take events out of a ring buffer or perf buffer. Whoever takes them takes them from every other reader.

    ``type``: the struct that they are; "" looks for it in the map's declaration. ``limit``: end after so many (0:
    never); ``seconds``: end after so long without one (0: never).
    """

    map: str
    type: str = ""
    limit: int = 0
    seconds: float = 0.0
    unsafe_foreign: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRecord:
    """One event; or, with ``lost``, how many a perf buffer had no room for.

    ``size``: its bytes; ``data`` holds at most the first 64 KiB. ``cpu`` is None for a ring buffer.
    """

    data: bytes = b""
    json: str = ""
    size: int = 0
    cpu: int | None = None
    lost: int = 0
