"""The kernel door: the one interface through which skep observes and changes Linux.

Two implementations pass the same contract suite (``tests/contract``): ``kernel.linux.Linux`` and the fake in
``tests/fake_kernel.py``. Every method blocks, is safe to call from several threads, leaves no file descriptor open, and
raises only ``skep.errors``. Acting methods either do all they say or leave nothing behind; those marked *repeatable*
succeed again on what they have already done.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from skep import model, steps
from skep.bytecode import relocated
from skep.chain import linked
from skep.hooks import request

HookEntry = model.HookEntry
Elements = tuple[tuple[bytes, tuple[bytes, ...]], ...]
"""Keys with their values: one, or one for each possible CPU."""


class Raw(NamedTuple):
    """One event of a buffer, or how many were ``lost``. ``size`` counts also what ``data`` leaves out."""

    data: bytes = b""
    size: int = 0
    cpu: int | None = None
    lost: int = 0


class Reader(Protocol):
    """Something that events come out of."""

    def read(self, timeout: float, most: int) -> tuple[Raw, ...]:
        """Up to ``most`` events, waiting up to ``timeout`` seconds for the first."""


class Answer(NamedTuple):
    """What a program that was run on request answered (signed) and left behind. ``duration_ns``: of one run."""

    code: int
    duration_ns: int | None = None
    packet: bytes = b""
    context: bytes = b""


class Printed(Protocol):
    """What an iterator prints."""

    def read(self, most: int) -> bytes | None:
        """Up to ``most`` bytes; b"" at the end, None when nothing has been printed for a while."""


class Kernel(Protocol):
    """What skep needs of Linux. Pins are absolute paths below the host's bpffs."""

    # ---- observe

    def boot(self) -> model.Boot:
        """This life of the kernel."""

    def features(self) -> tuple[model.Feature, ...]:
        """What this kernel can, each probed by trying, once per process."""

    def programs(self) -> tuple[model.KernelProgram, ...]:
        """Every program in the kernel, by ascending id (CAP_SYS_ADMIN)."""

    def program_by_id(self, id: model.ProgramId) -> model.KernelProgram | None:
        """One program with its map ids, None when there is none."""

    def maps(self) -> tuple[model.KernelMap, ...]:
        """Every map in the kernel, by ascending id; memory and frozen may be left out."""

    def map_by_id(self, id: model.MapId) -> model.KernelMap | None:
        """One map with all that is told of it, None when there is none."""

    def links(self) -> tuple[model.KernelLink, ...]:
        """Every link in the kernel, by ascending id."""

    def survey(self) -> model.Survey:
        """Every program, link and map with its memory and place, and which processes and pins hold it (CAP_SYS_ADMIN;
        CAP_SYS_PTRACE for other users' processes). Looks at every descriptor of every process."""

    def fingerprint(self) -> str:
        """Changes when a program, link or map comes or goes; cheap."""

    def registrations(self) -> tuple[model.Registration, ...]:
        """Every struct_ops that is registered without a link, by ascending id of its map."""

    def program(self, pin: model.ProgramPin) -> model.KernelProgram | None:
        """The program at a pin, None when the pin is not there."""

    def map(self, pin: model.MapPin) -> model.KernelMap | None:
        """The map at a pin, None when the pin is not there."""

    def link(self, pin: model.LinkPin) -> model.KernelLink | None:
        """The link at a pin, or what stands for one without link: a struct_ops map, a filter's or a socket's note; None
        when there is neither. Such a link has no number or type; it is defunct when filter or socket are gone."""

    def pins(self, directory: model.PinDir) -> tuple[str, ...]:
        """Every pin and symbolic link below a directory, absolute and sorted; () when the directory is missing."""

    def aliases(self, directory: model.PinDir) -> dict[str, str]:
        """Every symbolic link below a directory, absolute path -> target; {} when the directory is missing."""

    def interfaces_of(self, ref: model.InterfaceRef) -> tuple[model.InterfaceRef, ...]:
        """The interfaces that a caller's words mean, by their own names: a name, an alternative name, "ifindex:3", or
        a shell pattern for all that match now. NotFound (with near misses), InvalidRequest."""

    def namespace_of(self, words: str) -> str:
        """The network namespace that a caller's words mean (a path, a name, "pid:123"), as it is stored. NotFound (with
        near misses), InvalidRequest."""

    def namespace_lost(self, stored: str) -> str:
        """What is to be told of a stored network namespace whose process is gone; "" when nothing is."""

    def cgroup_of(self, words: str) -> str:
        """The directory of the cgroup that a caller's words mean: a path or a systemd unit. NotFound (with near
        misses), Conflict (several units of that name)."""

    def interface(self, ref: model.InterfaceRef) -> model.Interface:
        """Find an interface. NotFound (with near misses) for the interface or its namespace path."""

    def xdp_on(self, ref: model.InterfaceRef) -> tuple[model.ProgramId, ...]:
        """Programs attached to an interface's XDP hook by anyone, by link or netlink; () when there is none."""

    def tcx_on(self, ref: model.InterfaceRef, attach_type: int) -> tuple[HookEntry, ...]:
        """Programs on a TCX hook in running order; ``attach_type`` 46 ingress, 47 egress (Linux 6.6)."""

    def socket(self, named: model.Descriptor | model.LocalAddress, netns: str | None, *, several: bool) -> model.Socket:
        """The socket that a caller names. ``several``: of those that share an address any will do. NotFound (process,
        descriptor, address with near misses), InvalidRequest (no socket, several), Denied."""

    def filters_on(self, ref: model.InterfaceRef) -> tuple[model.Filter, ...]:
        """Traffic-control filters of an interface's clsact or ingress qdisc, by anyone, in the order they are asked."""

    def filters_in(self, netns: str | None) -> tuple[model.Filter, ...]:
        """The same for every interface of a network namespace; None: the daemon's own. NotFound."""

    def check_target(self, target: request.Target) -> None:
        """Raise NotFound (near misses) or InvalidRequest when a target does not exist; cheaper than attaching."""

    def places(self, target: request.Target) -> tuple[request.Target, ...]:
        """What a target stands for here and now: a target for each processor, say; else itself. What
        ``check_target`` raises."""

    def lost(self, target: request.Target, began: int) -> model.Loss | None:
        """What a link has lost of its target (a process, a namespace's name), as far as the link itself does not tell.

        ``began``: ``process_start`` of its record.
        """

    def map_at(self, caller: model.Caller, path: str) -> model.MapId:
        """The map pinned at any path, opened with the caller's rights. NotFound, Denied, InvalidRequest."""

    def btf(self, id: int) -> bytes:
        """The BTF with an id; b"" when it is gone."""

    def kernel_types(self) -> bytes:
        """The kernel's own BTF; b"" when it was built without."""

    def possible_cpus(self) -> int:
        """How many values an element of a per-CPU map has."""

    def elements(self, map: model.MapId, after: bytes, limit: int) -> tuple[Elements, bytes]:
        """A page of at most ``limit`` elements, and the token of the next, b"" at the end."""

    def element(self, map: model.MapId, key: bytes, value: bytes = b"") -> tuple[bytes, ...] | None:
        """The values at a key, None when there are none. Without a key: the next of a queue or stack, or, for a bloom
        filter, whether it may hold ``value``."""

    def records(self, map: model.MapId) -> AbstractContextManager[Reader]:
        """Take events out of a ring buffer or perf buffer; what that needs is closed with the block."""

    def read_counts(self, counts: model.MapPin) -> tuple[int, ...]:
        """A per-CPU u64 array summed over CPUs, one number per slot; NotFound when the pin is gone."""

    def read_file(self, caller: model.Caller, path: str, limit: int) -> bytes:
        """The bytes of a file, opened with the caller's rights. NotFound, Denied, InvalidRequest, BadObject (more than
        ``limit`` bytes)."""

    # ---- act: reversible

    def make_directory(self, path: model.PinDir, *, closed: bool = False) -> None:
        """mkdir -p below the pins, mode 0755, or 0700 for a ``closed`` one; repeatable."""

    def load_object(self, load: steps.ObjectLoad) -> dict[model.ProgramPin, steps.LoadedProgram]:
        """Open, patch, relocate, load and pin. BadObject, Rejected (whole log), MapsDiffer (a reused map,
        with the difference), Exhausted, Unavailable (the worker died on it)."""

    def load_linked(
        self,
        candidates: tuple[linked.Linked, ...],
        pin: model.ProgramPin,
        counts: model.MapPin,
        slots: int,
    ) -> steps.LoadedLinked:
        """Load the first candidate that the verifier accepts; Rejected with the last one's log when none is."""

    def load_member(self, member: relocated.Member, pin: model.ProgramPin) -> model.KernelProgram:
        """Load one kept program again and pin it."""

    def attach(
        self, program: model.ProgramPin, candidates: tuple[request.LinkRequest, ...], pin: model.LinkPin
    ) -> steps.Linked:
        """Create and pin a link by the first candidate that works. NotFound, Conflict (hook taken: names by whom),
        Unsupported, Rejected. A socket is noted at ``pin``, which ends in "_socket", a filter at one that ends in
        "/filter"; a missing clsact qdisc is made."""

    def swap(self, link: model.LinkPin, old: model.ProgramPin, new: model.ProgramPin) -> None:
        """Atomic change of a link's or filter's program, the old one expected; Conflict when another is there."""

    def move_table(self, link: model.LinkPin, old: model.MapPin, new: request.StructOpsTarget) -> None:
        """Fill a struct_ops map and move a link to it from ``old``, atomically. NotFound, Rejected (another kind of
        struct, or another name), Unsupported (this kind cannot be moved)."""

    def settle(self) -> None:
        """Return when every CPU has left code that ran before the call (an RCU grace period)."""

    # ---- act: run

    def run(self, program: model.ProgramPin, packet: bytes, context: bytes, repeat: int | None) -> Answer:
        """Run a program once or ``repeat`` times; None: its type is neither repeated nor measured. Rejected (the input
        does not fit the type), Unsupported, Exhausted."""

    def read_link(self, link: model.LinkPin) -> AbstractContextManager[Printed]:
        """What a pinned iterator prints."""

    def read_program(self, program: model.ProgramPin, by: request.LinkRequest) -> AbstractContextManager[Printed]:
        """What an iterator prints that is attached for this reading only."""

    # ---- act: what maps hold

    def update_element(self, map: model.MapId, key: bytes, values: tuple[bytes, ...], flags: int) -> None:
        """Write one element: one value, or one for each possible CPU; without a key push it. A value that names a map
        or program is its id. NotFound, AlreadyExists, Exhausted (full), Denied (frozen), Rejected."""

    def delete_element(self, map: model.MapId, key: bytes) -> bytes | None:
        """Remove one element; without a key take the next of a queue or stack and give it. NotFound."""

    # ---- act: irreversible, repeatable

    def detach(self, pin: model.LinkPin) -> None:
        """Unlink the pin first, then close the last fd: synchronous. A missing pin is fine. With the last filter of
        an interface goes the qdisc, if it was made for one of ours."""

    def unregister(self, map: model.MapId) -> None:
        """Take back a struct_ops without a link whose pin is gone; fine when it is gone too."""

    def point(self, link: model.LinkPin, program: model.ProgramPin) -> None:
        """BPF_LINK_UPDATE without an expected old program; a missing link pin is fine."""

    def point_table(self, link: model.LinkPin, map: model.MapPin) -> None:
        """Move a struct_ops link to a map that was registered before; a missing link pin is fine."""

    def unpin(self, pin: model.ProgramPin | model.MapPin) -> None:
        """Unlink a pin; a missing one is fine."""

    def rename(self, old: str, new: str) -> None:
        """Rename a pin over another; fine when ``old`` is gone and ``new`` is there."""

    def alias(self, path: str, target: str) -> None:
        """Make the symbolic link ``path``, replacing an older one."""

    def remove_alias(self, path: str) -> None:
        """Remove a symbolic link; a missing one is fine."""

    def remove_directory(self, path: model.PinDir) -> None:
        """Remove a directory below the pins and the pins in it; a missing one is fine."""
