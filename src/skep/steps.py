"""The closed set of steps that change a kernel, and the plan they form. Values only: ``apply.py`` does them.

Steps name kernel objects by pin, never by an id that does not exist yet. What the kernel answered (ids, tags, the
candidate taken) comes back as a *result* under the step's pin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from skep import model
from skep.bytecode import relocated
from skep.chain import linked
from skep.hooks import request

# ---------------------------------------------------------------- what the kernel is asked to load


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLoad:
    """One map of an object: where to pin it, and the pin of the existing map to use instead of a new one.

    ``pins`` are all pins of the map made or reused, the first its own; a pin equal to ``reuse`` is not made again.
    ``reuse`` maps are compared (type, key, value, entries, flags) before use: libbpf does not. ``reuse_if_present``:
    take the map at ``reuse`` when there is one, else create and pin it there (LIBBPF_PIN_BY_NAME).
    ``flags`` are added to the object's own (``linux/bpf.h``).
    """

    name: str
    pins: tuple[model.MapPin, ...]
    reuse: model.MapPin | None = None
    reuse_if_present: bool = False
    flags: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """Initial bytes of a global variable: ``data`` at ``offset`` in the data section ``section``."""

    section: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramLoad:
    """One program of an object: only the programs named here are verified."""

    name: str
    pin: model.ProgramPin
    prog_type: int
    expected_attach_type: int = 0
    prog_flags: int = 0
    attach_func: str | None = None
    attach_program: model.ProgramId | None = None
    """Whose function ``attach_func`` is; None: the kernel's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectLoad:
    """One object opened, patched, relocated and loaded by the libbpf worker, then pinned by the daemon."""

    object: bytes = field(repr=False)
    programs: tuple[ProgramLoad, ...]
    maps: tuple[MapLoad, ...]
    patches: tuple[Patch, ...] = ()


# ---------------------------------------------------------------- steps: reversible, undone newest first


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeDirectory:
    """mkdir below the pins (parents are made too). Undo: rmdir when empty."""

    path: model.PinDir


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadObject:
    """Load an object's programs and pin them and their maps. Undo: unpin what was pinned (never a reused map)."""

    load: ObjectLoad


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainPart:
    """One member to link: its kept code, or the pin of a program that an earlier step of this plan loads.

    ``proceed_on`` is the mask of verdicts that hand on. ``name`` is for people.
    """

    member: relocated.Member | model.ProgramPin
    proceed_on: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadLinked:
    """Link ``parts`` and load the first form the verifier accepts, with a fresh counter map. Undo: unpin both.

    The counter map is a PERCPU_ARRAY of u64 values pinned at ``counts``. ``first`` is the best form when it could be
    linked beforehand; the others are linked when it is refused. ``links`` are the members' links by position when
    there is an older revision, whose place this one may take before it is undone: its counts are absorbed then.
    """

    type: str
    """``ChainKey.type``."""
    parts: tuple[ChainPart, ...]
    pin: model.ProgramPin
    counts: model.MapPin
    name: str
    first: linked.Linked | None = field(default=None, repr=False)
    links: tuple[model.LinkId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadMember:
    """Load one kept program once more under another pin (a copy for reordering). Undo: unpin."""

    member: relocated.Member
    pin: model.ProgramPin


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateLink:
    """Attach a program by the first of ``candidates`` the kernel accepts, and pin the link. Undo: detach.

    A program on a socket and a traffic-control filter cannot be pinned: a note at ``pin`` stands for them
    (``kernel.sockets``, ``kernel.filters``).
    ``hint`` is told with a refusal: what the plan knows and the kernel's errno does not say.
    """

    program: model.ProgramPin
    candidates: tuple[request.LinkRequest, ...]
    pin: model.LinkPin
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapLink:
    """BPF_LINK_UPDATE ``link`` from ``old`` to ``new``, atomically; for a filter RTM_NEWTFILTER on the same handle.
    Undo: the other way round.

    ``hint``: see CreateLink.
    """

    link: model.LinkPin
    old: model.ProgramPin
    new: model.ProgramPin
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCounts:
    """Wait until no CPU still counts in a retired map (an RCU grace period), then sum it. Undo: nothing."""

    counts: model.MapPin


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveTable:
    """BPF_LINK_UPDATE of a struct_ops link to another map, atomically (Linux 6.4). Undo: back to ``old``."""

    link: model.LinkPin
    old: model.MapPin
    new: request.StructOpsTarget


Step = MakeDirectory | LoadObject | LoadLinked | LoadMember | CreateLink | SwapLink | MoveTable | ReadCounts


# ---------------------------------------------------------------- results


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedProgram:
    """What LoadObject made at one program pin."""

    kernel: model.KernelProgram
    member: relocated.Member


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedLinked:
    """What LoadLinked made: the candidate taken (its index) and why those before it were not ("call: E2BIG …").

    ``forms``: how each member that can run got in.
    """

    kernel: model.KernelProgram
    taken: int
    refused: tuple[str, ...] = ()
    forms: tuple[model.MemberForm, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """What CreateLink made: the kernel's link, the interface it found, the candidate taken and why not the others.

    ``filter``: what was made where there are filters and no links.
    """

    kernel: model.KernelLink
    taken: int
    interface: model.Interface | None = None
    filter: model.Filter | None = None
    refused: tuple[str, ...] = ()
    process_start: int = 0
    """See ``model.LinkRecord``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What the steps of one plan returned, by pin."""

    programs: Mapping[model.ProgramPin, LoadedProgram] = field(default_factory=dict)
    maps: Mapping[model.MapPin, model.KernelMap] = field(default_factory=dict)
    linked: Mapping[model.ProgramPin, LoadedLinked] = field(default_factory=dict)
    links: Mapping[model.LinkPin, Linked] = field(default_factory=dict)
    counts: Mapping[model.MapPin, tuple[int, ...]] = field(default_factory=dict)


# ---------------------------------------------------------------- the store's side


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreChange:
    """Everything one commit writes, in one SQLite transaction: the point of no return.

    ``add_counts`` is added to the totals of links; dropping a link drops its totals. ``objects`` nobody refers to any
    more are dropped by the store itself.
    """

    objects: Mapping[model.Digest, bytes] = field(default_factory=dict)
    programs: tuple[model.ProgramRecord, ...] = ()
    members: Mapping[model.ProgramKey, relocated.Member] = field(default_factory=dict)
    links: tuple[model.LinkRecord, ...] = ()
    chains: tuple[model.ChainRecord, ...] = ()
    add_counts: Mapping[model.LinkId, model.Counts] = field(default_factory=dict)
    drop_programs: tuple[model.ProgramKey, ...] = ()
    drop_links: tuple[model.LinkId, ...] = ()
    drop_chains: tuple[model.ChainKey, ...] = ()


# ---------------------------------------------------------------- finish: irreversible and repeatable


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachLink:
    """Unlink a link's pin, then close the last fd: when it returns the program no longer runs there.

    ``only``: the kernel link that is meant, where a later action puts another one at the same pin; without it the
    action could not be repeated. None: whatever is there.
    """

    pin: model.LinkPin
    only: model.KernelLinkId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpin:
    """Unlink a program's or map's pin; a missing one is fine."""

    pin: model.ProgramPin | model.MapPin


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveDirectory:
    """Remove a directory below the pins with the pins in it; a missing one is fine."""

    path: model.PinDir


@dataclass(frozen=True, slots=True, kw_only=True)
class RenamePin:
    """Rename a pin over another (atomic in bpffs); done already when only the target exists."""

    old: model.LinkPin
    new: model.LinkPin


@dataclass(frozen=True, slots=True, kw_only=True)
class PointLink:
    """BPF_LINK_UPDATE ``link`` to ``program``, whatever it runs now."""

    link: model.LinkPin
    program: model.ProgramPin


@dataclass(frozen=True, slots=True, kw_only=True)
class PointTable:
    """BPF_LINK_UPDATE of a struct_ops link to a map that was registered before, whatever it has now."""

    link: model.LinkPin
    map: model.MapPin


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """Make (or remake) the symbolic link ``path`` -> ``target``."""

    path: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveAlias:
    """Remove a symbolic link; a missing one is fine."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Absorb:
    """Add what a retired counter map counted to the totals of ``links`` (by position), once per operation and pin.

    Only in undo lists: packets that a revision counted before it was taken back are not lost. Links that are not in
    the store (the one being attached) are left out, a missing pin is fine.
    """

    counts: model.MapPin
    links: tuple[model.LinkId, ...]
    type: str = "xdp"
    """``ChainKey.type``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unregister:
    """Take back a struct_ops without a link, whose pin somebody removed; fine when it is gone."""

    map: model.MapId


Finish = (
    DetachLink
    | Unregister
    | Unpin
    | RemoveDirectory
    | RenamePin
    | PointLink
    | PointTable
    | Alias
    | RemoveAlias
    | Absorb
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A plan that was begun and is not done: to be undone, or with ``finish`` (it was committed) to be finished."""

    operation: model.OperationId
    verb: str
    undo: tuple[Finish, ...]
    finish: tuple[Finish, ...] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A decision as a value: do ``steps``, write what ``commit`` makes of the results, then ``finish``.

    ``finish`` is a function of the results too, since aliases carry kernel ids; it is written to the store with the
    commit, so that a restart can complete it. ``warnings`` are for the caller.
    """

    steps: tuple[Step, ...]
    commit: Callable[[Results], StoreChange]
    finish: Callable[[Results], tuple[Finish, ...]]
    warnings: tuple[str, ...] = ()
