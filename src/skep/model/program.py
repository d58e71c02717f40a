"""A program: what was asked (Spec), what is stored (Record), what is seen (Status)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skep.model import ids, observed


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """An object that the caller named or streamed from a file; ``path`` is only told, never opened again."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """An OCI bytecode image. ``pull_policy`` is "Always", "IfNotPresent" or "Never"; ``digest`` once resolved.

    ``trust`` says why it was loaded: which rule accepted it, and who signed it.
    """

    url: str
    pull_policy: str
    digest: str = ""
    trust: str = ""


Source = FileSource | ImageSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks. ``pid`` 0 means a process outside our pid namespace; ``origin`` is "socket" or "direct", and
    "sweep" or "apps.d" for what skep does by itself."""

    uid: int
    gid: int
    pid: int
    groups: tuple[int, ...] = ()
    origin: str = "socket"

    def __str__(self) -> str:
        return f"uid={self.uid} gid={self.gid} pid={self.pid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSpec:
    """One program to load out of an object.

    ``hook`` None means: take it from the ELF section. ``attach_func`` is for types whose target is fixed at load
    (fentry, fexit, lsm).
    """

    name: str
    hook: ids.HookName | None = None
    attach_func: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRef:
    """One map of a program: its name in the ELF (``.rodata`` keeps its dot) and the pin that reaches it.

    ``internal`` marks the compiler's data sections, which are pinned in a private directory. ``shared`` marks
    LIBBPF_PIN_BY_NAME maps, which have a second pin, one per host.
    """

    name: str
    pin: ids.MapPin
    internal: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRecord:
    """A managed program as the store has it."""

    key: ids.ProgramKey
    generation: int
    """1 at load, +1 at each ``program replace``; part of the pin path."""
    id: ids.ProgramId
    """Kernel id, valid for ``boot_id`` only."""
    tag: str
    loaded_at_ns: int
    boot_id: str
    name: str
    hook: ids.HookName
    section: str
    prog_type: int
    object: ids.Digest
    source: Source
    pin: ids.ProgramPin
    set: ids.SetKey
    maps: tuple[MapRef, ...]
    owner: ids.SetKey | None = None
    """The set this program borrows maps from (``map_owner_id``), None when it has only its own."""
    owner_id: ids.ProgramId | None = None
    """The program id that was named as map owner, as told back to the caller."""
    attach_func: str | None = None
    license: str = ""
    gpl_compatible: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    global_data: Mapping[str, bytes] = field(default_factory=dict)
    loaded_by: Caller
    created_at: float
    """Seconds since the epoch (UTC)."""
    updated_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramStatus:
    """What the kernel and the pins say of a managed program now; ``kernel`` None means it is gone."""

    kernel: observed.KernelProgram | None
    pin_present: bool
    stale: str = ""
    """Why the record does not describe what is in the kernel ("reboot", "id reused"), "" when it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A managed program: record, status, and the ids around it.

    ``used_by`` are the ids of all programs that share its map set, itself included; ``map_dir`` is where clients
    find the maps (``<pins>/maps/<kernel id of the owner>``).
    """

    record: ProgramRecord
    status: ProgramStatus
    links: tuple[ids.LinkId, ...] = ()
    used_by: tuple[ids.ProgramId, ...] = ()
    map_dir: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignProgram:
    """A program in the kernel that is not managed: somebody else's, or the linked program of a chain of ours."""

    kernel: observed.KernelProgram
    chain: str = ""
    """The chain whose linked program it is ("xdp-4026531840-2"), "" for somebody else's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramFilter:
    """Which programs to list; None and empty mean no restriction. ``metadata`` is an AND of exact matches.

    ``prog_type`` is ``enum bpf_prog_type``; ``hooks`` are skep's names and match managed programs only.
    """

    managed_only: bool = False
    prog_type: int | None = None
    hooks: tuple[ids.HookName, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
