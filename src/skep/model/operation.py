"""What a caller can ask skep to change, as values: front ends build them, ``Manager`` runs or previews them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skep.model import ids, program
from skep.model.capability import ProgramCapabilities
from skep.model.program import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Load programs out of one object; all of them or none. They share one set of maps.

    ``object`` are the file's bytes (at most 16 MiB). ``global_data`` maps a variable's name to its bytes, whose
    number must be the variable's size. ``read_file``: ``object`` is empty, and skep reads the source's file on its own
    host with the caller's rights. An empty object alone never means that.
    """

    object: bytes = field(repr=False)
    source: Source
    programs: tuple[program.ProgramSpec, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    global_data: Mapping[str, bytes] = field(default_factory=dict)
    map_owner: ids.ProgramId | None = None
    read_file: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unload:
    """Detach a program's links and remove it."""

    program: ids.ProgramId


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """Attach a loaded program; ``attachment`` is the dataclass of one file in ``hooks/``.

    Its place may be in words that mean another (a name, a pattern for several interfaces, a unit), unless ``literal``:
    then they are what bpfman takes, an interface's name and a namespace's path.
    """

    program: ids.ProgramId
    attachment: object
    metadata: Mapping[str, str] = field(default_factory=dict)
    literal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Detach:
    """Take a link away; when it returns the program no longer runs there."""

    link: ids.LinkId


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateLink:
    """Change a link's order or proceed-on set (verdict codes) in one atomic swap; None leaves a value alone.

    ``program``: of struct_ops, the one whose table takes the place of the present one.
    """

    link: ids.LinkId
    priority: int | None = None
    proceed_on: tuple[int, ...] | None = None
    program: ids.ProgramId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceProgram:
    """Put a new object in the place of a program: its maps, links and identity stay, its code changes.

    ``name`` picks the program in the new object, None means the old name. ``global_data`` None keeps the old values.
    ``stored``: an object that skep has because a program came out of it, in the place of ``object``: so several
    programs that were replaced together go back together, also when the file or image is gone. ``read_file``: see
    ``Load``.
    """

    program: ids.ProgramId
    object: bytes = field(repr=False)
    source: Source
    name: str | None = None
    global_data: Mapping[str, bytes] | None = None
    stored: ids.Digest | None = None
    read_file: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """Write a pin that the store does not know into the store, making it managed again."""

    pin: str


Operation = Load | Unload | Attach | Detach | UpdateLink | ReplaceProgram | Adopt


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What an operation made or changed: programs, links, warnings worth telling the caller."""

    operation: ids.OperationId
    programs: tuple[program.Program, ...] = ()
    links: tuple[ids.LinkId, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What an operation would do, one line per step, and what to know before doing it."""

    steps: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    capabilities: tuple[ProgramCapabilities, ...] = ()
    """What the programs of a load could do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of history: an operation that ended, or something seen.

    ``outcome`` is "ok" or the error's class name; ``subject`` says which program or link ("program 42").
    """

    id: int
    at: float
    """Seconds since the epoch (UTC)."""
    operation: ids.OperationId
    verb: str
    subject: str
    caller: program.Caller
    outcome: str
    detail: str = ""
    duration_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that differs between kernel, pins and store. Reported by ``skep doctor``, never mended by itself."""

    kind: str
    """"missing program", "defunct link", "unknown pin", "foreign program on a hook", …"""
    subject: str
    explanation: str
    remedy: str
    adoptable: bool = False
