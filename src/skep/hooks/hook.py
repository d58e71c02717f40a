"""What a program type is: one ``Hook`` value per type; flags, stored JSON, inference and docs are derived from it.

A file beside this one holds the attachment's dataclass and ``HOOK = Hook(...)``; ``hooks/__init__.py`` lists it.
Nothing here knows a particular type.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from skep import errors, model
from skep.hooks import request
from skep.hooks.runs import Runs

MAX_PRIORITY = 2**31 - 1
"""``int32`` on the wire (bpfman.v1); smaller runs earlier, 0 first."""

A = TypeVar("A")


class Ordering(enum.Enum):
    """How several programs share one place of a hook.

    LINKED: the kernel takes one, so skep links them into one program. ANCHORED: the kernel keeps a list and takes
    "before"/"after". NONE: each runs, in no order that anybody promises.
    """

    LINKED = "linked"
    ANCHORED = "anchored"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One thing a user says about an attachment; the CLI's arguments are made from these.

    ``field`` is the key under which the parsed value is handed to ``Hook.build``. Without ``flags`` it is positional.
    ``parse`` raises ``InvalidRequest``. ``example``: a value for ``--help`` and for tests; none where it would
    contradict another option's.
    """

    field: str
    metavar: str
    help: str
    parse: Callable[[str], object]
    flags: tuple[str, ...] = ()
    required: bool = False
    example: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """What the planner knows about a link, besides the attachment: its neighbour, and the XDP mode to try first.

    ``fallback``: whether generic XDP may stand in where the driver refuses. ``section``: the program's ELF section;
    ``function``: the kernel function it was loaded for, "" for types whose place is chosen when they are attached.
    ``found``: what the target that ``Hook.expands`` names stands for on this machine now.
    ``table``: the struct_ops map that the program is part of.
    ``maps``: the pins of the program's maps by name. ``link``: the link's number. ``attach_type``: what the program was
    loaded for, looked at only where ``Hook.better`` leaves a choice.
    """

    anchor: request.Anchor | None = None
    mode: model.XdpMode = model.XdpMode.DRV
    fallback: bool = True
    section: str = ""
    function: str = ""
    found: tuple[request.Target, ...] = ()
    table: request.StructOpsTarget | None = None
    beside: model.LinkPin | None = None
    """For tc: where the filter of the other direction is noted, if there is one."""
    taken: frozenset[int] = frozenset()
    """For tc: priorities of other people's filters."""
    maps: Mapping[str, model.MapPin] = field(default_factory=dict)
    link: model.LinkId = model.LinkId(0)
    attach_type: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook(Generic[A]):
    """One program type.

    ``bpfman``: ``enum BpfmanProgramType``, None for a type that it lacks. ``prog_type``: ``enum bpf_prog_type``.
    ``sections``: ELF section names, each
    alone or followed by '/' or '.' and more. ``family``: names a caller may declare for a program of this type, which
    the section then decides. ``build``: parsed options -> attachment. ``requests``: attachment -> candidates for
    BPF_LINK_CREATE, best first, or ``request.Several`` for a link of several kernel links. ``summary``: the attach
    point in a table's cell. ``interface``: the interface of an attachment, None for hooks without.
    """

    name: model.HookName
    bpfman: int | None = None
    prog_type: int
    sections: tuple[str, ...]
    family: tuple[model.HookName, ...]
    attachment: type[A]
    build: Callable[[Mapping[str, Any]], A]  # Any: each option parses to a type of its own
    requests: Callable[[A, Placing], request.Requests]
    summary: Callable[[A], str]
    options: tuple[Option, ...]
    doc: str
    first: str
    ordering: Ordering = Ordering.NONE
    expected_attach_type: int = 0
    """``enum bpf_attach_type`` at load; 0 where the kernel wants none."""
    better: tuple[str, int] | None = None
    """A kernel's feature (``skep feature``), and the attach type to load for where the kernel has it."""
    points: Mapping[str, int] = field(default_factory=dict)
    """Section name -> ``enum bpf_attach_type``, for a type whose programs differ in it."""
    aimed: bool = False
    """Whether the kernel wants the target (a function, an LSM hook) when the program is loaded."""
    aim: Callable[[str, str | None], str] | None = None
    """Section and the caller's word -> the target, where that is not a name out of one of them."""
    chosen: bool = False
    """Whether the caller chooses among the family when loading and attaching; else the section decides."""
    verdicts: Mapping[str, int] = field(default_factory=dict)
    """Name -> code, for types that form linked chains."""
    swaps: bool = False
    """Whether BPF_LINK_UPDATE changes the program of such a link."""
    anchor: Callable[[A], tuple[request.Place, model.LinkId | None] | None] | None = None
    """Beside which of our links the caller wants it, None for an end of the list; None of both: he does not say."""
    complete: Callable[[A, Placing], A] | None = None
    """The attachment as it is stored, where the load knows more of it than the caller. Conflict when they differ."""
    frags_flag: int = 0
    """Program flag for sections that say ``.frags`` (BPF_F_XDP_HAS_FRAGS; Linux 5.18), 0 where there is none."""
    interface: Callable[[A], model.InterfaceRef] | None = None
    expands: Callable[[A], request.Target | None] | None = None
    """The target that stands for several, for which the kernel door looks before ``requests`` is asked; None of it:
    this attachment has none."""
    follows: bool = False
    """Whether the places that the target stands for come and go under a link (processors), which is then partial."""
    config: tuple[str, ...] = ()
    """Build options that the kernel needs besides CONFIG_BPF_SYSCALL, without their prefix ("KPROBE_EVENTS")."""
    runs: Runs | None = None
    """How a program of this type is run on request, None where the kernel does not."""
    unattached: str = ""
    """Why skep attaches no program of this type, as a clause; "" for types that it attaches."""
    always_sleepable: bool = False
    """Whether the kernel takes only programs that may sleep (BPF_F_SLEEPABLE), whatever the section says."""
    lasting: str = ""
    """What an attachment ends with where no pin holds it ("ends with its socket"), else ""."""

    def accepts(self, declared: model.HookName) -> bool:
        """Whether a program of this type may be declared as ``declared``."""
        return declared in self.family

    def attach_type(self, section: str, features: frozenset[str] = frozenset()) -> int:
        """``enum bpf_attach_type`` of a program, on a kernel with ``features``.

        InvalidRequest where only its section could tell, and does not.
        """
        if self.better is not None and self.better[0] in features:
            return self.better[1]
        if not self.points:
            return self.expected_attach_type
        word = section.removeprefix("?")
        for point, number in self.points.items():
            if word == point or word.startswith(f"{point}/"):
                return number
        raise errors.InvalidRequest(
            f"section {section!r} does not say where a {self.name} program runs",
            why="its sections are " + ", ".join(self.points),
            do="rename the section",
        )

    def target(self, section: str, named: str | None) -> str | None:
        """What a program is loaded for: as the caller named it, else as its section does ("fentry/vfs_mkdir").

        None for types whose place is chosen when they are attached. InvalidRequest when nobody names it.
        """
        if not self.aimed:
            return named
        if self.aim is not None:
            return self.aim(section, named)
        told = named or section.partition("/")[2]
        if not told:
            raise errors.InvalidRequest(
                f"the {self.name} program has no target",
                why=f"its section {section!r} names none",
                do=f"load it as {self.name}:PROGRAM:TARGET",
            )
        return told
