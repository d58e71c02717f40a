"""A kernel in memory: a fake of ``kernel.door.Kernel``, held to the same contract suite as Linux.

Objects live as the kernel's do: a program while it is pinned or attached, a map while it is pinned or used, a link
while it is pinned. ``fail`` makes a method refuse, ``snapshot`` is for comparing before and after, and below
"the world outside" is what happens to a kernel without skep: packets, deleted interfaces, reboots, other programs.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from skep import errors, model, steps
from skep.bytecode import elf, insn, maps, relocated, struct_ops
from skep.chain import codes, counts, linked
from skep.hooks import request
from tests import fake_elements, fake_runs

ROOT = "/sys/fs/bpf/test"
BPF_XDP = 37
TCX = {46: "ingress", 47: "egress"}
SOCKET = 0
"""No link type: what stands for a program on a socket."""
EBUSY, EEXIST, EOPNOTSUPP, EINVAL, EPERM, ENOLINK = 16, 17, 95, 22, 1, 67

HostInterface = tuple[model.NetnsInode, model.IfIndex]


@dataclass(slots=True)
class Program:
    info: model.KernelProgram
    maps: tuple[model.MapId, ...] = ()


@dataclass(slots=True)
class Map:
    info: model.KernelMap
    slots: list[int] = field(default_factory=list)
    held: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)
    queue: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class Link:
    id: model.KernelLinkId
    type: int
    program: model.ProgramId
    attach_type: int
    where: HostInterface | None
    detail: str = ""
    dead: bool = False


@dataclass(slots=True)
class Filter:
    """A traffic-control filter; ``made``: whether the qdisc was made for it. Ours go with their note."""

    info: model.Filter
    where: HostInterface
    made: bool = False
    dead: bool = False


class FakeKernel(fake_elements.Elements, fake_runs.Runs):
    """One fake kernel. Interfaces ``eth0`` and ``eth1`` in the own namespace, ``eth0`` in ``/run/netns/blue``."""

    def __init__(self) -> None:
        self.boots = 0
        self.interfaces: dict[tuple[str | None, str], model.Interface] = {}
        self.native = True
        self.tracepoints = {("syscalls", "sys_enter_getpid"), ("sched", "sched_switch")}
        self.gone: set[str] = set()
        self.cpus: tuple[int, ...] = (0, 1, 3)
        self.processes = {1}
        self.files = {"/bin/probed": {"main", "work"}}
        self.objects: dict[str, bytes] = {}
        self.sockets: dict[tuple[model.Descriptor | model.LocalAddress, str | None], model.Socket] = {}
        self.refuse_linked: Callable[[linked.Linked], str] = lambda one: ""
        self.held: dict[model.ObjectRef, tuple[int, ...]] = {}
        self.holders: list[model.Process] = []
        self.calls: list[str] = []
        self._failures: dict[str, list[errors.SkepError | None]] = {}
        self._start()

    def _start(self) -> None:
        self.boots += 1
        self._next = 100 * self.boots
        self._clock = 1_000
        self._programs: dict[model.ProgramId, Program] = {}
        self._maps: dict[model.MapId, Map] = {}
        self._links: dict[model.KernelLinkId, Link] = {}
        self._pins: dict[str, tuple[str, int]] = {}
        self._aliases: dict[str, str] = {}
        self._directories: set[str] = {ROOT}
        self._xdp: dict[HostInterface, list[model.ProgramId]] = {}
        self._tcx: dict[tuple[HostInterface, int], list[model.HookEntry]] = {}
        self._qdiscs: dict[HostInterface, str] = {}
        self._filters: dict[int, Filter] = {}
        self._start_elements()
        self._start_runs()
        self.interfaces = {}
        for number, (netns, name) in enumerate(((None, "eth0"), (None, "eth1"), ("/run/netns/blue", "eth0"))):
            self.add_interface(name, netns=netns, ifindex=number % 2 + 2)

    # ---------------------------------------------------------------- the world outside

    def add_interface(self, name: str, *, netns: str | None = None, ifindex: int, mtu: int = 1500) -> None:
        inode = model.NetnsInode(4026531840 if netns is None else 4026532000 + len(netns))
        self.interfaces[netns, name] = model.Interface(name=name, ifindex=model.IfIndex(ifindex), netns=inode, mtu=mtu)

    def delete_interface(self, name: str, netns: str | None = None) -> None:
        """As ``ip link delete``: links on it become defunct."""
        gone = self.interfaces.pop((netns, name))
        where = (gone.netns, gone.ifindex)
        for link in self._links.values():
            if link.where == where:
                link.dead = True
        self._xdp.pop(where, None)
        for attach_type in TCX:
            self._tcx.pop((where, attach_type), None)
        self.delete_qdisc(name, where=where)

    def reboot(self) -> None:
        """Everything is gone, ids start anew (from other numbers, unless ``reuse_ids``)."""
        self._start()

    def reuse_ids(self, first: int) -> None:
        """Let the next ids be those from ``first`` on."""
        self._next = first - 1

    def foreign_xdp(self, name: str, netns: str | None = None) -> model.ProgramId:
        """Somebody attaches an XDP program by netlink."""
        found = self.interfaces[netns, name]
        id = self._add_program("foreign", 6, "f" * 16, ())
        self._xdp[found.netns, found.ifindex] = [id]
        return id

    def foreign_qdisc(self, name: str, kind: str) -> None:
        """Somebody adds a qdisc ("clsact", "ingress")."""
        found = self.interfaces[None, name]
        self._qdiscs[found.netns, found.ifindex] = kind

    def foreign_filter(self, name: str, direction: str, priority: int, *, called: str = "") -> model.Filter:
        """Somebody adds a BPF filter; the qdisc must be there."""
        found = self.interfaces[None, name]
        where = (found.netns, found.ifindex)
        assert self._qdiscs[where]
        program = self._add_program("foreign", 3, "d" * 16, ())
        info = model.Filter(
            interface=name, ifindex=found.ifindex, direction=direction, priority=priority, handle=1, kind="bpf",
            name=called, program_id=program, tag="d" * 16,
        )  # fmt: skip
        self._filters[self._new_id()] = Filter(info, where)
        return info

    def delete_qdisc(self, name: str, *, where: HostInterface | None = None) -> None:
        """As ``tc qdisc delete``: all filters go with it."""
        if where is None:
            found = self.interfaces[None, name]
            where = (found.netns, found.ifindex)
        self._qdiscs.pop(where, None)
        for id, one in list(self._filters.items()):
            if one.where == where:
                self._lose(id)
        self._collect()

    def remove_filter(self, name: str, direction: str, priority: int) -> None:
        """As ``tc filter delete``."""
        found = self.interfaces[None, name]
        for id, one in list(self._filters.items()):
            if one.where == (found.netns, found.ifindex) and (one.info.direction, one.info.priority) == (
                direction,
                priority,
            ):
                self._lose(id)
        self._collect()

    def qdisc(self, name: str) -> str:
        """The kind of qdisc in an interface's ingress slot."""
        found = self.interfaces[None, name]
        return self._qdiscs.get((found.netns, found.ifindex), "")

    def foreign_map(
        self, type: int, key: int, value: int, *, name: str = "", entries: int = 8, **more: Any
    ) -> model.MapId:
        """Somebody makes a map."""
        id = model.MapId(self._new_id())
        self._maps[id] = Map(
            model.KernelMap(
                id=id, type=type, name=name, key_size=key, value_size=value, max_entries=entries, **{"flags": 0, **more}
            )
        )
        self.foreign_pins[f"/sys/fs/bpf/foreign/{id}"] = id
        return id

    def foreign_tcx(self, name: str, attach_type: int, *, at: int) -> model.ProgramId:
        """Somebody else's TCX program at a position of the list."""
        found = self.interfaces[None, name]
        id = self._add_program("foreign", 3, "e" * 16, ())
        entry = model.HookEntry(program_id=id, link_id=model.KernelLinkId(0))
        self._tcx.setdefault(((found.netns, found.ifindex), attach_type), []).insert(at, entry)
        return id

    def packets(
        self, name: str, number: int, *, member: int | None, code: int, netns: str | None = None, direction: str = ""
    ) -> None:
        """Packets arrive, and the chain's ``member`` ends them with ``code`` (None: they fall off the end).

        ``direction``: that of a tc chain, "" for XDP's.
        """
        found = self.interfaces[netns, name]
        where = (found.netns, found.ifindex)
        hook = codes.TC if direction else codes.XDP
        if direction:
            (running,) = (
                one.info.program_id
                for one in self._filters.values()
                if one.where == where and one.info.direction == direction and one.info.name.startswith(ROOT)
            )
        else:
            (running,) = self._xdp[where]
        for id in self._programs[running].maps:
            one = self._maps[id]
            if one.slots:
                members = (len(one.slots) - 1) // counts.stride(hook)
                slot = counts.fall_off_slot(hook, members) if member is None else counts.slot(hook, member, code)
                one.slots[slot] += number

    def running(self, name: str, netns: str | None = None) -> tuple[str, ...]:
        """Tags of what runs on an interface's XDP hook."""
        found = self.interfaces[netns, name]
        return tuple(self._programs[id].info.tag for id in self._xdp.get((found.netns, found.ifindex), ()))

    def fail(self, method: str, error: errors.SkepError, *, after: int = 0) -> None:
        """Let a method's call number ``after`` (from 0, from now on) raise ``error``; the others succeed."""
        self._failures[method] = [*([None] * after), error]

    def heal(self) -> None:
        """Nothing fails any more."""
        self._failures.clear()

    def snapshot(self) -> object:
        """Everything that can be observed, for comparing; numbers that only grow are left out."""
        return (
            {path: (kind, id) for path, (kind, id) in self._pins.items()},
            dict(self._aliases),
            frozenset(self._directories),
            {id: one.info for id, one in self._programs.items()},
            {id: (one.info, tuple(one.slots), dict(one.held), tuple(one.queue)) for id, one in self._maps.items()},
            {id: dataclasses.astuple(one) for id, one in self._links.items()},
            {where: tuple(ids) for where, ids in self._xdp.items() if ids},
            {where: tuple(entries) for where, entries in self._tcx.items() if entries},
            {where: kind for where, kind in self._qdiscs.items() if kind},
            {id: dataclasses.astuple(one) for id, one in self._filters.items()},
        )

    # ---------------------------------------------------------------- observe

    def boot(self) -> model.Boot:
        return model.Boot(boot_id=f"boot-{self.boots}", release="6.18.0-fake")

    def features(self) -> tuple[model.Feature, ...]:
        return (model.Feature(name="xdp", available=True, first="5.9"),)

    def programs(self) -> tuple[model.KernelProgram, ...]:
        return tuple(self._programs[id].info for id in sorted(self._programs))

    def program_by_id(self, id: model.ProgramId) -> model.KernelProgram | None:
        found = self._programs.get(id)
        return None if found is None else found.info

    def maps(self) -> tuple[model.KernelMap, ...]:
        return tuple(self._maps[id].info for id in sorted(self._maps))

    def map_by_id(self, id: model.MapId) -> model.KernelMap | None:
        found = self._maps.get(id)
        return None if found is None else found.info

    def links(self) -> tuple[model.KernelLink, ...]:
        return tuple(self._link_info(self._links[id]) for id in sorted(self._links) if self._links[id].type != SOCKET)

    def program(self, pin: model.ProgramPin) -> model.KernelProgram | None:
        found = self._at(pin, "program")
        return None if found is None else self._programs[model.ProgramId(found)].info

    def map(self, pin: model.MapPin) -> model.KernelMap | None:
        found = self._at(pin, "map")
        return None if found is None else self._maps[model.MapId(found)].info

    def link(self, pin: model.LinkPin) -> model.KernelLink | None:
        if pin.endswith("/filter"):
            noted = self._at(pin, "filter")
            return None if noted is None else self._filter_info(self._filters[noted])
        found = self._at(pin, "link")
        return None if found is None else self._link_info(self._links[model.KernelLinkId(found)])

    def pins(self, directory: model.PinDir) -> tuple[str, ...]:
        return tuple(sorted(path for path in (*self._pins, *self._aliases) if path.startswith(f"{directory}/")))

    def aliases(self, directory: model.PinDir) -> dict[str, str]:
        return {path: self._aliases[path] for path in sorted(self._aliases) if path.startswith(f"{directory}/")}

    def interfaces_of(self, ref: model.InterfaceRef) -> tuple[model.InterfaceRef, ...]:
        where = None if ref.netns is None else self.namespace_of(ref.netns)
        if where not in {netns for netns, _ in self.interfaces} | {None}:
            raise errors.NotFound(f"no network namespace at {where}")
        here = sorted((one.ifindex, one.name) for (netns, _), one in self.interfaces.items() if netns == where)
        found = [name for _, name in here if name == ref.name or fnmatch.fnmatchcase(name, ref.name)]
        found += [name for index, name in here if ref.name == f"ifindex:{index}"]
        if not found:
            near = errors.near_misses(ref.name, [name for _, name in here])
            raise errors.NotFound(f"no interface {ref.name!r}", near=near)
        return tuple(model.InterfaceRef(name=name, netns=where) for name in found)

    def namespace_of(self, words: str) -> str:
        return words if "/" in words or words.startswith("pid:") else f"/run/netns/{words}"

    def namespace_lost(self, stored: str) -> str:
        return f"{stored} is gone" if stored in self.gone else ""

    def cgroup_of(self, words: str) -> str:
        return words if words.startswith("/") else f"/sys/fs/cgroup/{words}"

    def interface(self, ref: model.InterfaceRef) -> model.Interface:
        namespaces = {netns for netns, _ in self.interfaces} | {None}
        if ref.netns not in namespaces:
            raise errors.NotFound(f"no network namespace at {ref.netns}")
        found = self.interfaces.get((ref.netns, ref.name))
        if found is None:
            names = tuple(name for netns, name in self.interfaces if netns == ref.netns)
            raise errors.NotFound(f"no interface {ref.name!r}", near=errors.near_misses(ref.name, names))
        return found

    def xdp_on(self, ref: model.InterfaceRef) -> tuple[model.ProgramId, ...]:
        found = self.interface(ref)
        return tuple(self._xdp.get((found.netns, found.ifindex), ()))

    def tcx_on(self, ref: model.InterfaceRef, attach_type: int) -> tuple[model.HookEntry, ...]:
        found = self.interface(ref)
        return tuple(self._tcx.get(((found.netns, found.ifindex), attach_type), ()))

    def lost(self, target: request.Target, began: int) -> model.Loss | None:
        pid = getattr(target, "pid", None)
        if pid is None or pid in self.processes:
            return None
        return model.Loss(state=model.LinkState.DEFUNCT, reason=f"process {pid} has ended")

    def socket(self, named: model.Descriptor | model.LocalAddress, netns: str | None, *, several: bool) -> model.Socket:
        found = [one for key, one in self.sockets.items() if key == (named, netns)]
        if not found:
            raise errors.NotFound(f"no socket {named}")
        return found[0]

    def filters_on(self, ref: model.InterfaceRef) -> tuple[model.Filter, ...]:
        found = self.interface(ref)
        return self._listed(lambda one: one.where == (found.netns, found.ifindex))

    def filters_in(self, netns: str | None) -> tuple[model.Filter, ...]:
        inodes = {one.netns for (path, _), one in self.interfaces.items() if path == netns}
        return self._listed(lambda one: one.where[0] in inodes)

    def _listed(self, wanted: Callable[[Filter], bool]) -> tuple[model.Filter, ...]:
        found = [one.info for one in self._filters.values() if wanted(one) and not one.dead]
        return tuple(sorted(found, key=lambda one: (one.direction, one.priority)))

    def check_target(self, target: request.Target) -> None:
        match target:
            case request.InterfaceTarget() | request.FilterTarget():
                self.interface(target.interface)
            case request.TracepointTarget():
                if (target.group, target.name) not in self.tracepoints:
                    known = tuple(name for _, name in self.tracepoints)
                    raise errors.NotFound(
                        f"no tracepoint {target.group}/{target.name}", near=errors.near_misses(target.name, known)
                    )
            case request.UprobeTarget():
                symbols = self.files.get(target.path)
                if symbols is None:
                    raise errors.NotFound(f"no file {target.path}")
                if target.symbol and target.symbol not in symbols:
                    raise errors.NotFound(
                        f"no function {target.symbol!r} in {target.path}",
                        near=errors.near_misses(target.symbol, symbols),
                    )

    def places(self, target: request.Target) -> tuple[request.Target, ...]:
        self.check_target(target)
        if isinstance(target, request.PerfEventTarget) and target.pid is None and target.cpu is None:
            return tuple(dataclasses.replace(target, cpu=cpu) for cpu in self.cpus)
        if isinstance(target, request.KprobeMultiTarget | request.UprobeMultiTarget):
            return (dataclasses.replace(target, matched=len(target.patterns)),)
        return (target,)

    def kernel_types(self) -> bytes:
        return b""

    def registrations(self) -> tuple[model.Registration, ...]:
        return ()

    def survey(self) -> model.Survey:
        kinds = {"program": model.ObjectKind.PROGRAM, "map": model.ObjectKind.MAP, "link": model.ObjectKind.LINK}
        pins: dict[model.ObjectRef, tuple[str, ...]] = {}
        for path, (kind, id) in sorted(self._pins.items()):
            if kind in kinds:
                pins[kinds[kind], id] = (*pins.get((kinds[kind], id), ()), path)
        return model.Survey(
            programs=self.programs(),
            links=self.links(),
            maps=self.maps(),
            pins=pins,
            held=self.held,
            processes={one.pid: one for one in self.holders},
        )

    def fingerprint(self) -> str:
        return repr((sorted(self._programs), sorted(self._links), sorted(self._maps)))

    def unregister(self, map: model.MapId) -> None:
        self._may_fail("unregister")

    def read_counts(self, counts: model.MapPin) -> tuple[int, ...]:
        self._may_fail("read_counts")
        found = self._at(counts, "map")
        if found is None:
            raise errors.NotFound(f"no map at {counts}")
        return tuple(self._maps[model.MapId(found)].slots)

    def read_file(self, caller: model.Caller, path: str, limit: int) -> bytes:
        found = self.objects.get(path)
        if found is None:
            raise errors.NotFound(f"cannot read {path}")
        if len(found) > limit:
            raise errors.BadObject(f"cannot read {path}")
        return found

    # ---------------------------------------------------------------- act: reversible

    def make_directory(self, path: model.PinDir, *, closed: bool = False) -> None:
        self._may_fail("make_directory")
        while path not in self._directories and path.startswith(ROOT):
            self._directories.add(path)
            path = model.PinDir(path.rpartition("/")[0])

    def load_object(self, load: steps.ObjectLoad) -> dict[model.ProgramPin, steps.LoadedProgram]:
        self._may_fail("load_object")
        opened = elf.parse(load.object)
        definitions = {one.name: _info(one) for one in maps.maps(opened)}
        definitions.update({one.name: _data(one) for one in maps.data_sections(opened)})
        definitions.update({one.name: _table(one) for one in struct_ops.tables(opened)})
        for one in load.maps:
            wanted = definitions[one.name]
            if one.reuse is not None and (found := self.map(one.reuse)) is not None:
                if difference := wanted.difference(found):
                    raise errors.MapsDiffer(f"map {one.name!r} cannot be reused", why="; ".join(difference))
            elif one.reuse is not None and not one.reuse_if_present:
                raise errors.NotFound(f"no map at {one.reuse}")
        self._check_free([one.pin for one in load.programs])
        self._check_free(pin for one in load.maps for pin in one.pins if pin != one.reuse)
        ids: list[model.MapId] = []
        for one in load.maps:
            found_id = self._at(one.reuse, "map") if one.reuse is not None else None
            if found_id is None:
                found_id = self._new_id()
                self._maps[model.MapId(found_id)] = Map(
                    dataclasses.replace(definitions[one.name], id=model.MapId(found_id))
                )
            ids.append(model.MapId(found_id))
            for pin in one.pins:
                self._pins.setdefault(pin, ("map", found_id))
        digest = hashlib.sha256(load.object + repr(load.patches).encode())
        loaded = {}
        for program in load.programs:
            tag = hashlib.sha256(digest.digest() + program.name.encode()).hexdigest()[:16]
            id = self._add_program(program.name[:15], program.prog_type, tag, tuple(ids))
            self._pins[program.pin] = ("program", id)
            loaded[program.pin] = steps.LoadedProgram(
                kernel=self._programs[id].info,
                member=relocated.Member(
                    name=program.name,
                    insns=insn.encode([insn.mov32_imm(0, 2), insn.EXIT_INSN]),
                    maps=tuple(one.pins[0] for one in load.maps),
                    prog_type=program.prog_type,
                    expected_attach_type=program.expected_attach_type,
                    prog_flags=program.prog_flags,
                    licence="GPL",
                    verified_insns=2,
                ),
            )
        return loaded

    def load_linked(
        self, candidates: tuple[linked.Linked, ...], pin: model.ProgramPin, counts: model.MapPin, slots: int
    ) -> steps.LoadedLinked:
        self._may_fail("load_linked")
        self._check_free([pin, counts])
        refused = []
        for number, one in enumerate(candidates):
            ids = tuple(model.MapId(self._need(path, "map")) for path in one.maps if path != counts)
            if why := self.refuse_linked(one):
                refused.append(why)
                continue
            map_id = model.MapId(self._new_id())
            info = model.KernelMap(
                id=map_id, type=6, name="counts", key_size=4, value_size=8, max_entries=slots, flags=0
            )
            self._maps[map_id] = Map(info, [0] * slots)
            tag = hashlib.sha256(one.insns + repr(one.maps).encode()).hexdigest()[:16]
            id = self._add_program(one.name, one.prog_type, tag, (*ids, map_id))
            self._pins[counts] = ("map", map_id)
            self._pins[pin] = ("program", id)
            return steps.LoadedLinked(kernel=self._programs[id].info, taken=number, refused=tuple(refused))
        raise errors.Rejected("the verifier refused the chain", why=refused[-1], log=refused[-1])

    def load_member(self, member: relocated.Member, pin: model.ProgramPin) -> model.KernelProgram:
        self._may_fail("load_member")
        self._check_free([pin])
        ids = tuple(model.MapId(self._need(path, "map")) for path in member.maps)
        tag = hashlib.sha256(member.insns).hexdigest()[:16]
        id = self._add_program(member.name[:15], member.prog_type, tag, ids)
        self._pins[pin] = ("program", id)
        return self._programs[id].info

    def attach(
        self, program: model.ProgramPin, candidates: tuple[request.LinkRequest, ...], pin: model.LinkPin
    ) -> steps.Linked:
        self._may_fail("attach")
        self._check_free([pin])
        id = model.ProgramId(self._need(program, "program"))
        refused: list[str] = []
        last: errors.SkepError | None = None
        for number, one in enumerate(candidates):
            self.check_target(one.target)
            if isinstance(one.target, request.FilterTarget):
                return self._attach_filter(id, one.target, pin)
            try:
                link, interface = self._attach(id, one)
            except errors.Unsupported as no:
                refused.append(f"{one.label}: {no.why or no.what}")
                last = no
                continue
            self._links[link.id] = link
            self._pins[pin] = ("link", link.id)
            return steps.Linked(kernel=self._link_info(link), taken=number, interface=interface, refused=tuple(refused))
        assert last is not None
        raise last

    def _attach(self, id: model.ProgramId, one: request.LinkRequest) -> tuple[Link, model.Interface | None]:
        match one.target:
            case request.InterfaceTarget():
                interface = self.interface(one.target.interface)
                where = (interface.netns, interface.ifindex)
                if one.attach_type == BPF_XDP:
                    return self._attach_xdp(id, one, where), interface
                return self._attach_tcx(id, one, where), interface
            case request.TracepointTarget():
                detail = f"{one.target.group}/{one.target.name}"
                if any(link.program == id and link.detail == detail for link in self._links.values()):
                    raise errors.AlreadyExists(f"the program is attached to {detail} already", errno=EEXIST)
                return self._new_link(5, id, one.attach_type, None, detail), None
            case request.UprobeTarget():
                detail = f"{one.target.path} {one.target.symbol}+{one.target.offset}"
                return self._new_link(5, id, one.attach_type, None, detail), None
            case request.SocketTarget(socket=model.SocketRef() as ref):
                if ref not in {one.ref for one in self.sockets.values()}:
                    raise errors.NotFound("it was closed meanwhile")
                return self._new_link(SOCKET, id, 0, None, f"socket {ref.inode}"), None
            case request.StructOpsTarget():
                return self._new_link(9, id, one.attach_type, None, str(one.target.map)), None
            case _:  # kinds of places of which the fake knows nothing: whatever is asked for is there
                return self._new_link(2, id, one.attach_type, None, str(one.target)), None

    def _attach_xdp(self, id: model.ProgramId, one: request.LinkRequest, where: HostInterface) -> Link:
        if self._xdp.get(where):
            raise errors.Conflict("another XDP program is attached", errno=EBUSY)
        if one.label == "hw" or (one.label == "drv" and not self.native):
            raise errors.Unsupported(
                "cannot attach", feature=f"XDP mode {one.label}", why="Operation not supported", errno=EOPNOTSUPP
            )
        self._xdp[where] = [id]
        return self._new_link(6, id, one.attach_type, where)

    def _attach_tcx(self, id: model.ProgramId, one: request.LinkRequest, where: HostInterface) -> Link:
        entries = self._tcx.setdefault((where, one.attach_type), [])
        if any(entry.program_id == id for entry in entries):
            raise errors.AlreadyExists("the program is attached there already", errno=EEXIST)
        anchor = one.options
        position = len(entries)
        if isinstance(anchor, request.Anchor):
            if anchor.link is None:
                position = 0 if anchor.place is request.Place.BEFORE else len(entries)
            else:
                beside = self._need(anchor.link, "link")
                position = next(number for number, entry in enumerate(entries) if entry.link_id == beside)
                position += anchor.place is request.Place.AFTER
        link = self._new_link(11, id, one.attach_type, where)
        entries.insert(position, model.HookEntry(program_id=id, link_id=link.id))
        return link

    def _attach_filter(self, id: model.ProgramId, wanted: request.FilterTarget, pin: model.LinkPin) -> steps.Linked:
        interface = self.interface(wanted.interface)
        where = (interface.netns, interface.ifindex)
        kind = self._qdiscs.get(where, "")
        if kind == "ingress" and wanted.direction == "egress":
            raise errors.Conflict("an ingress qdisc has no egress side")
        if any(
            (one.info.direction, one.info.priority) == (wanted.direction, wanted.priority)
            for one in self._filters.values()
            if one.where == where and not one.dead
        ):
            raise errors.AlreadyExists("there is a filter with that priority", errno=EEXIST)
        beside = None if wanted.beside is None else self._at(wanted.beside, "filter")
        made = not kind or (beside is not None and self._filters[beside].made and not self._filters[beside].dead)
        self._qdiscs[where] = kind or "clsact"
        info = model.Filter(
            interface=interface.name, ifindex=interface.ifindex, direction=wanted.direction, priority=wanted.priority,
            handle=1, kind="bpf", name=pin.rpartition("/")[0], program_id=id, tag=self._programs[id].info.tag,
        )  # fmt: skip
        filter_id = self._new_id()
        self._filters[filter_id] = Filter(info, where, made)
        self._pins[pin] = ("filter", filter_id)
        return steps.Linked(
            kernel=self._filter_info(self._filters[filter_id]), taken=0, interface=interface, filter=info
        )

    def _filter_info(self, one: Filter) -> model.KernelLink:
        return model.KernelLink(
            id=model.KernelLinkId(0),
            type=0,
            program_id=model.ProgramId(0) if one.dead else one.info.program_id,
            ifindex=model.IfIndex(0) if one.dead else one.info.ifindex,
            detail=f"{one.info.direction} filter, priority {one.info.priority}, handle 0x1",
            defunct=one.dead,
        )

    def _swap_filter(self, pin: model.LinkPin, old: model.ProgramPin | None, new: model.ProgramPin) -> None:
        found = self._at(pin, "filter")
        one = None if found is None else self._filters[found]
        if one is None or one.dead:
            if old is None:
                return
            raise errors.Conflict("the filter is gone", errno=ENOLINK)
        if old is not None and one.info.program_id != self._need(old, "program"):
            raise errors.Conflict("another program is attached", errno=EPERM)
        id = model.ProgramId(self._need(new, "program"))
        one.info = dataclasses.replace(one.info, program_id=id, tag=self._programs[id].info.tag)
        self._collect()

    def _lose(self, id: int) -> None:
        """A filter is gone; the note of one of ours stays."""
        if ("filter", id) in self._pins.values():
            self._filters[id].dead = True
        else:
            del self._filters[id]

    def swap(self, link: model.LinkPin, old: model.ProgramPin, new: model.ProgramPin) -> None:
        self._may_fail("swap")
        if link.endswith("/filter"):
            return self._swap_filter(link, old, new)
        found = self._links[model.KernelLinkId(self._need(link, "link"))]
        if found.program != self._need(old, "program"):
            raise errors.Conflict("another program is attached", errno=EPERM)
        self._replace(found, model.ProgramId(self._need(new, "program")))

    def move_table(self, link: model.LinkPin, old: model.MapPin, new: request.StructOpsTarget) -> None:
        self._may_fail("move_table")
        self._need(old, "map")
        self._need(new.map, "map")
        self._links[model.KernelLinkId(self._need(link, "link"))].detail = str(new.map)

    def point_table(self, link: model.LinkPin, map: model.MapPin) -> None:
        self._may_fail("point_table")
        found = self._at(link, "link")
        if found is not None:
            self._need(map, "map")
            self._links[model.KernelLinkId(found)].detail = str(map)

    def settle(self) -> None:
        self._may_fail("settle")

    # ---------------------------------------------------------------- act: irreversible, repeatable

    def detach(self, pin: model.LinkPin) -> None:
        self._may_fail("detach")
        if pin.endswith("/filter"):
            if (filter := self._at(pin, "filter")) is not None:
                del self._pins[pin]
                self._drop_filter(self._filters.pop(filter))
                self._collect()
        elif self._at(pin, "link") is not None:
            del self._pins[pin]
            self._collect()

    def point(self, link: model.LinkPin, program: model.ProgramPin) -> None:
        self._may_fail("point")
        if link.endswith("/filter"):
            return self._swap_filter(link, None, program)
        found = self._at(link, "link")
        if found is not None:
            self._replace(self._links[model.KernelLinkId(found)], model.ProgramId(self._need(program, "program")))

    def unpin(self, pin: model.ProgramPin | model.MapPin) -> None:
        self._may_fail("unpin")
        self._pins.pop(pin, None)
        self._collect()

    def rename(self, old: str, new: str) -> None:
        self._may_fail("rename")
        if old in self._pins:
            self._pins[new] = self._pins.pop(old)
            self._collect()
        elif new not in self._pins:
            raise errors.NotFound(f"no pin at {old}")

    def alias(self, path: str, target: str) -> None:
        self._may_fail("alias")
        self._aliases[path] = target

    def remove_alias(self, path: str) -> None:
        self._may_fail("remove_alias")
        self._aliases.pop(path, None)

    def remove_directory(self, path: model.PinDir) -> None:
        self._may_fail("remove_directory")
        for pin in [pin for pin in self._pins if pin.startswith(f"{path}/")]:
            del self._pins[pin]
        self._directories = {one for one in self._directories if one != path and not one.startswith(f"{path}/")}
        self._collect()

    # ---------------------------------------------------------------- inside

    def _may_fail(self, method: str) -> None:
        self.calls.append(method)
        waiting = self._failures.get(method)
        if waiting:
            error = waiting.pop(0)
            if error is not None:
                raise error

    def _new_id(self) -> int:
        self._next += 1
        return self._next

    def _add_program(self, name: str, type: int, tag: str, ids: tuple[model.MapId, ...]) -> model.ProgramId:
        id = model.ProgramId(self._new_id())
        self._clock += 1
        self._programs[id] = Program(
            model.KernelProgram(
                id=id, type=type, name=name, tag=tag, loaded_at_ns=self._clock, map_ids=ids, gpl_compatible=True
            ),
            ids,
        )
        return id

    def _new_link(
        self, type: int, program: model.ProgramId, attach_type: int, where: HostInterface | None, detail: str = ""
    ) -> Link:
        return Link(model.KernelLinkId(self._new_id()), type, program, attach_type, where, detail)

    def _link_info(self, link: Link) -> model.KernelLink:
        if link.type == SOCKET:  # no link of the kernel's, but what skep notes
            alive = link.detail in {f"socket {one.ref.inode}" for one in self.sockets.values()}
            return model.KernelLink(
                id=model.KernelLinkId(0),
                type=SOCKET,
                program_id=link.program,
                detail=link.detail if alive else "its socket is closed",
                defunct=not alive,
            )
        ifindex = link.where[1] if link.where is not None and not link.dead else model.IfIndex(0)
        return model.KernelLink(
            id=link.id,
            type=link.type,
            program_id=link.program,
            attach_type=link.attach_type,
            ifindex=ifindex,
            detail=link.detail,
        )

    def _at(self, pin: str | None, kind: str) -> int | None:
        found = self._pins.get(pin) if pin is not None else None
        if found is None:
            return None
        if found[0] != kind:
            raise errors.Broken(f"{pin} is not a {kind}")
        return found[1]

    def _need(self, pin: str, kind: str) -> int:
        found = self._at(pin, kind)
        if found is None:
            raise errors.NotFound(f"no {kind} at {pin}")
        return found

    def _check_free(self, pins: Iterable[str]) -> None:
        for pin in pins:
            if pin in self._pins:
                raise errors.AlreadyExists(f"{pin} is there already", errno=EEXIST)
            if pin.rpartition("/")[0] not in self._directories:
                raise errors.NotFound(f"no directory for {pin}")

    def _replace(self, link: Link, program: model.ProgramId) -> None:
        if link.dead:
            raise errors.Conflict("the link has no interface any more", errno=ENOLINK)
        if link.type == 5:
            raise errors.Unsupported("a perf link cannot be updated", feature="update of perf links", errno=EINVAL)
        if link.type == 6:
            assert link.where is not None
            self._xdp[link.where] = [program]
        elif link.type != SOCKET:
            assert link.where is not None
            entries = self._tcx[link.where, link.attach_type]
            for number, entry in enumerate(entries):
                if entry.link_id == link.id:
                    entries[number] = model.HookEntry(program_id=program, link_id=link.id)
        link.program = program
        self._collect()

    def _drop_filter(self, gone: Filter) -> None:
        """What goes with one of our filters: the qdisc, if it was ours and nothing else is there."""
        if gone.made and not gone.dead and all(one.where != gone.where for one in self._filters.values()):
            self._qdiscs.pop(gone.where, None)

    def _collect(self) -> None:
        """What nothing refers to any more goes, as in the kernel."""
        pinned = {kind: {id for one, id in self._pins.values() if one == kind} for kind in ("link", "program", "map")}
        for id in [id for id in self._links if id not in pinned["link"]]:
            link = self._links.pop(id)
            if link.where is not None and not link.dead:
                if link.type == 6:
                    self._xdp.pop(link.where, None)
                else:
                    entries = self._tcx[link.where, link.attach_type]
                    entries[:] = [entry for entry in entries if entry.link_id != link.id]
        held = pinned["program"] | {link.program for link in self._links.values()}
        held |= {id for ids in self._xdp.values() for id in ids}
        held |= {entry.program_id for entries in self._tcx.values() for entry in entries}
        held |= {one.info.program_id for one in self._filters.values() if not one.dead}
        for program in [id for id in self._programs if id not in held]:
            del self._programs[program]
        used = pinned["map"] | {id for program in self._programs.values() for id in program.maps}
        for map_id in [id for id in self._maps if id not in used]:
            del self._maps[map_id]


def _info(declared: maps.Map) -> model.KernelMap:
    return model.KernelMap(
        id=model.MapId(0),
        type=declared.type,
        name=declared.name[:15],
        key_size=declared.key_size,
        value_size=declared.value_size,
        max_entries=declared.max_entries,
        flags=declared.flags,
    )


def _table(table: struct_ops.Table) -> model.KernelMap:
    return model.KernelMap(
        id=model.MapId(0), type=26, name=table.name[:15], key_size=4, value_size=256, max_entries=1, flags=0
    )


def _data(section: maps.DataSection) -> model.KernelMap:
    return model.KernelMap(
        id=model.MapId(0), type=2, name=section.name[:15], key_size=4, value_size=section.size, max_entries=1, flags=0
    )
