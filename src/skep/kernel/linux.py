"""``Linux``: the kernel door on a real kernel. Holds what lives as long as the process; the work is done by nouns."""

from __future__ import annotations

import os
import resource
import threading
from contextlib import AbstractContextManager

from skep import errors, model, steps
from skep.bytecode import relocated
from skep.chain import linked
from skep.hooks import request
from skep.kernel import (
    attaching,
    bpffs,
    cgroups,
    counts,
    cpus,
    detaching,
    devices,
    door,
    elements,
    features,
    files,
    filters,
    linking,
    loading,
    namespaces,
    netns,
    noted,
    observe,
    records,
    registration,
    running,
    settle,
    sockets,
    survey,
    sys,
    targets,
    tcx,
    worker_client,
)
from skep.kernel.targets import interface as _interface


class Linux:
    """Implements ``door.Kernel``. ``pins_root``: the directory in the host's bpffs below which every pin lies.

    ``loader_timeout``: seconds one object may take to load.
    """

    def __init__(self, pins_root: str, loader_timeout: float = 60.0) -> None:
        self._pins = bpffs.Bpffs(pins_root)
        self._loader = worker_client.Loader(loader_timeout)
        self._probing = threading.Lock()
        self._features: tuple[model.Feature, ...] | None = None
        self._boot: model.Boot | None = None
        _raise_descriptor_limit()

    def check_pins(self) -> None:
        """Refuse to work when pins would not survive us; ``Unsupported`` says how to mount. Call once at start."""
        self._pins.check_root()

    def warm_up(self) -> None:
        """Start the loader ahead of the first load."""
        self._loader.start()

    def close(self) -> None:
        """End the loader. The door stays usable: the next load starts another."""
        self._loader.close()

    @property
    def loader_pid(self) -> int | None:
        """The loader's process id, None before the first load; for tests and `doctor`."""
        return self._loader.pid

    # ---- observe

    def boot(self) -> model.Boot:
        """This life of the kernel, which outlives ours: it is read once."""
        if self._boot is None:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                self._boot = model.Boot(boot_id=file.read().strip(), release=os.uname().release)
        return self._boot

    def features(self) -> tuple[model.Feature, ...]:
        """What this kernel can; probed at the first call."""
        with self._probing:
            if self._features is None:
                self._features = features.probe()
            return self._features

    def programs(self) -> tuple[model.KernelProgram, ...]:
        """Every program, ascending; memory is 0 here, see ``program_by_id``."""
        return observe.programs()

    def program_by_id(self, id: model.ProgramId) -> model.KernelProgram | None:
        """One program, None when there is none."""
        return observe.program_by_id(id)

    def maps(self) -> tuple[model.KernelMap, ...]:
        """Every map, ascending; memory and frozen are not told here."""
        return observe.maps()

    def map_by_id(self, id: model.MapId) -> model.KernelMap | None:
        """One map, None when there is none."""
        return observe.map_by_id(id)

    def links(self) -> tuple[model.KernelLink, ...]:
        """Every link, ascending."""
        return observe.links()

    def program(self, pin: model.ProgramPin) -> model.KernelProgram | None:
        """The program at a pin, None when there is none."""
        fd = self._pins.get(pin, "bpf-prog")
        if fd is None:
            return None
        with sys.held(fd):
            return observe.program(fd)

    def map(self, pin: model.MapPin) -> model.KernelMap | None:
        """The map at a pin, None when there is none."""
        fd = self._pins.get(pin, "bpf-map")
        if fd is None:
            return None
        with sys.held(fd):
            return observe.map_(fd)

    def link(self, pin: model.LinkPin) -> model.KernelLink | None:
        """The link at a pin, None when there is none."""
        kind = noted.kind(self._pins, pin)
        if kind is not None:
            return kind.observed(self._pins, pin)
        fd = self._pins.get(pin, "bpf-link")
        if fd is None:
            return registration.observed(self._pins, pin)
        with sys.held(fd):
            return observe.link(fd)

    def survey(self) -> model.Survey:
        """Everything that BPF is in this kernel, and who holds it."""
        return survey.taken({os.getpid(), self._loader.pid or 0})

    def fingerprint(self) -> str:
        """Changes when a program, link or map comes or goes."""
        return survey.fingerprint()

    def registrations(self) -> tuple[model.Registration, ...]:
        """struct_ops that are registered without a link."""
        return registration.every()

    def pins(self, directory: model.PinDir) -> tuple[str, ...]:
        """Every pin and symbolic link below a directory."""
        return self._pins.walk(directory)

    def aliases(self, directory: model.PinDir) -> dict[str, str]:
        """Every symbolic link below a directory with its target."""
        return self._pins.aliases(directory)

    def interfaces_of(self, ref: model.InterfaceRef) -> tuple[model.InterfaceRef, ...]:
        """The interfaces that a caller's words mean."""
        return devices.meant(ref)

    def namespace_of(self, words: str) -> str:
        """The network namespace that a caller's words mean."""
        return namespaces.meant(words)

    def namespace_lost(self, stored: str) -> str:
        """What is to be told of a stored network namespace."""
        return namespaces.lost(stored)

    def cgroup_of(self, words: str) -> str:
        """The cgroup that a caller's words mean."""
        return cgroups.meant(words)

    def interface(self, ref: model.InterfaceRef) -> model.Interface:
        """Find an interface."""
        return netns.find(ref)

    def xdp_on(self, ref: model.InterfaceRef) -> tuple[model.ProgramId, ...]:
        """Programs on the XDP hook, by anyone."""
        return _interface.xdp_on(ref)

    def tcx_on(self, ref: model.InterfaceRef, attach_type: int) -> tuple[model.HookEntry, ...]:
        """Programs on a TCX hook in running order."""
        return tcx.on(ref, attach_type)

    def socket(self, named: model.Descriptor | model.LocalAddress, netns: str | None, *, several: bool) -> model.Socket:
        """The socket that a caller names."""
        return sockets.find(named, netns, several=several)

    def filters_on(self, ref: model.InterfaceRef) -> tuple[model.Filter, ...]:
        """Traffic-control filters of an interface, by anyone."""
        return filters.listed(ref)

    def filters_in(self, netns: str | None) -> tuple[model.Filter, ...]:
        """Traffic-control filters of every interface of a namespace, by anyone."""
        return filters.everywhere(netns)

    def check_target(self, target: request.Target) -> None:
        """Look for a target without attaching."""
        targets.check(target)

    def places(self, target: request.Target) -> tuple[request.Target, ...]:
        """What a target stands for here and now."""
        return targets.expand(target)

    def lost(self, target: request.Target, began: int) -> model.Loss | None:
        """What a link has lost of its target."""
        return targets.lost(target, began)

    def map_at(self, caller: model.Caller, path: str) -> model.MapId:
        """The map at a pin that a caller names."""
        return elements.at(caller, path)

    def btf(self, id: int) -> bytes:
        """The BTF with an id, b"" when it is gone."""
        try:
            return observe.btf(id)
        except OSError:
            return b""

    def kernel_types(self) -> bytes:
        """The kernel's own BTF."""
        try:
            return observe.kernel_types()
        except errors.Unsupported:
            return b""

    def possible_cpus(self) -> int:
        """How many values an element of a per-CPU map has."""
        return cpus.possible()

    def elements(self, map: model.MapId, after: bytes, limit: int) -> tuple[door.Elements, bytes]:
        """A page of elements and the token of the next."""
        return _elements.page(map, after, limit)

    def element(self, map: model.MapId, key: bytes, value: bytes = b"") -> tuple[bytes, ...] | None:
        """The values at a key, None when there are none."""
        return _elements.lookup(map, key, value)

    def records(self, map: model.MapId) -> AbstractContextManager[door.Reader]:
        """Take events out of a buffer."""
        return _records.opened(map)

    def read_counts(self, counts: model.MapPin) -> tuple[int, ...]:
        """A counter map's sums."""
        return _counts.read(self._pins, counts)

    def read_file(self, caller: model.Caller, path: str, limit: int) -> bytes:
        """The bytes of a file, read with the caller's rights; see ``files.read_as``."""
        return files.read_as(path, caller, limit)

    # ---- act: reversible

    def make_directory(self, path: model.PinDir, *, closed: bool = False) -> None:
        """mkdir -p below the pins."""
        self._pins.make_directory(path, 0o700 if closed else 0o755)

    def load_object(self, load: steps.ObjectLoad) -> dict[model.ProgramPin, steps.LoadedProgram]:
        """Open, patch, relocate, load and pin."""
        return loading.load(self._loader, self._pins, load)

    def load_linked(
        self,
        candidates: tuple[linked.Linked, ...],
        pin: model.ProgramPin,
        counts: model.MapPin,
        slots: int,
    ) -> steps.LoadedLinked:
        """Make the counter map and load the first candidate that the verifier accepts."""
        return linking.load(self._pins, candidates, pin, counts, slots)

    def load_member(self, member: relocated.Member, pin: model.ProgramPin) -> model.KernelProgram:
        """Load one kept program again and pin it."""
        return linking.load_member(self._pins, member, pin)

    def attach(
        self, program: model.ProgramPin, candidates: tuple[request.LinkRequest, ...], pin: model.LinkPin
    ) -> steps.Linked:
        """Create and pin a link by the first candidate that works."""
        return attaching.attach(self._pins, program, candidates, pin)

    def swap(self, link: model.LinkPin, old: model.ProgramPin, new: model.ProgramPin) -> None:
        """Atomic update of a link or filter whose program is ``old``."""
        if not attaching.swap(self._pins, link, old, new):
            raise errors.NotFound(f"the pin {link} is gone", do="see `skep doctor`")

    def move_table(self, link: model.LinkPin, old: model.MapPin, new: request.StructOpsTarget) -> None:
        """Atomic update of a struct_ops link."""
        registration.move(self._pins, link, old, new)

    def settle(self) -> None:
        """Wait for an RCU grace period."""
        settle.settle()

    # ---- act: run

    def run(self, program: model.ProgramPin, packet: bytes, context: bytes, repeat: int | None) -> door.Answer:
        """Run a program on request."""
        return running.run(self._pins, program, packet, context, repeat)

    def read_link(self, link: model.LinkPin) -> AbstractContextManager[door.Printed]:
        """What a pinned iterator prints."""
        return running.opened(self._pins, link)

    def read_program(self, program: model.ProgramPin, by: request.LinkRequest) -> AbstractContextManager[door.Printed]:
        """What an iterator prints that is attached for this reading only."""
        return running.opened_for_once(self._pins, program, by)

    # ---- act: what maps hold

    def update_element(self, map: model.MapId, key: bytes, values: tuple[bytes, ...], flags: int) -> None:
        """Write one element."""
        _elements.update(map, key, values, flags)

    def delete_element(self, map: model.MapId, key: bytes) -> bytes | None:
        """Remove one element."""
        return _elements.delete(map, key)

    # ---- act: irreversible, repeatable

    def detach(self, pin: model.LinkPin) -> None:
        """Detach, unlink the pin and wait until the kernel has forgotten the link."""
        kind = noted.kind(self._pins, pin)
        if kind is None:
            detaching.detach(self._pins, pin)
        else:
            kind.detach(self._pins, pin)

    def unregister(self, map: model.MapId) -> None:
        """Take back a struct_ops without a link, whose pin is gone."""
        registration.end_by_id(map)

    def point(self, link: model.LinkPin, program: model.ProgramPin) -> None:
        """Update a link whatever it runs; a missing pin is fine."""
        attaching.swap(self._pins, link, None, program)

    def point_table(self, link: model.LinkPin, map: model.MapPin) -> None:
        """Move a struct_ops link back."""
        registration.point(self._pins, link, map)

    def unpin(self, pin: model.ProgramPin | model.MapPin) -> None:
        """Unlink a pin; a missing one is fine."""
        self._pins.release(pin)

    def rename(self, old: str, new: str) -> None:
        """Rename a pin over another."""
        self._pins.rename(old, new)

    def alias(self, path: str, target: str) -> None:
        """Make a symbolic link."""
        self._pins.alias(path, target)

    def remove_alias(self, path: str) -> None:
        """Remove a symbolic link."""
        self._pins.remove_alias(path)

    def remove_directory(self, path: model.PinDir) -> None:
        """Remove a directory with the pins in it."""
        self._pins.remove_directory(path)


_counts, _elements, _records = counts, elements, records  # methods have names like these


def _raise_descriptor_limit() -> None:
    """Take all descriptors the hard limit allows; fewer still work."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
