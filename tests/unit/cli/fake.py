"""A stand-in for the daemon made of domain values: it answers what it was given and remembers what it was asked."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field

from skep import errors, model
from skep.hooks import tcx, tracepoint, uprobe, xdp
from skep.policy.images import Asked, Decision, Mode, Rule, decide_verified
from skep.trust.verdict import Seen, Verdict

NOTHING = model.Inventory(fingerprint="f", release="6.1")
CALLER = model.Caller(uid=0, gid=0, pid=77, origin="socket")
XDP_KEY = model.ChainKey(type="xdp", netns=model.NetnsInode(4026531840), ifindex=model.IfIndex(2))
DIGEST = model.Digest("ab" * 32)


def kernel_program(id: int, **changes: object) -> model.KernelProgram:
    values: dict[str, object] = {
        "id": id,
        "type": 6,
        "name": f"prog{id}",
        "tag": "0123456789abcdef",
        "loaded_at_ns": 5_000_000_000,
        "uid": 0,
        "gpl_compatible": True,
        "map_ids": (90,),
        "btf_id": 7,
        "xlated_bytes": 64,
        "jited_bytes": 80,
        "memlock_bytes": 4096,
        "verified_insns": 8,
    }
    return model.KernelProgram(**(values | changes))  # type: ignore[arg-type]


def program(
    id: int,
    *,
    key: int = 0,
    name: str = "",
    hook: str = "xdp",
    links: tuple[int, ...] = (),
    prog_type: int = 6,
    metadata: dict[str, str] | None = None,
    **changes: object,
) -> model.Program:
    key = key or id
    values: dict[str, object] = {
        "key": key,
        "generation": 1,
        "id": id,
        "tag": "0123456789abcdef",
        "loaded_at_ns": 5_000_000_000,
        "boot_id": "b",
        "name": name or f"prog{id}",
        "hook": hook,
        "section": hook,
        "prog_type": prog_type,
        "object": DIGEST,
        "source": model.FileSource(path="/objects/a.o"),
        "pin": f"/pins/progs/{key}-1",
        "set": 1,
        "maps": (model.MapRef(name="counts", pin=model.MapPin("/pins/sets/1/counts")),),
        "license": "GPL",
        "gpl_compatible": True,
        "metadata": metadata or {},
        "global_data": {"limit": b"\x01\x00"},
        "loaded_by": CALLER,
        "created_at": 1_700_000_000.5,
    }
    return model.Program(
        record=model.ProgramRecord(**(values | changes)),  # type: ignore[arg-type]
        status=model.ProgramStatus(kernel=kernel_program(id, type=prog_type), pin_present=True),
        links=tuple(model.LinkId(link) for link in links),
        used_by=(model.ProgramId(id),),
        map_dir=f"/pins/maps/{id}",
    )


def link(
    id: int, program: model.Program, attachment: object, *, chain: model.ChainKey | None = None, **changes: object
) -> model.Link:
    member = chain is not None
    values: dict[str, object] = {
        "id": id,
        "program": program.record.key,
        "hook": program.record.hook,
        "attachment": attachment,
        "pins": () if member else (f"/pins/links/{id}",),
        "kernel_ids": () if member else (id + 500,),
        "netns": 4026531840,
        "ifindex": 2 if member else 0,
        "chain": chain,
        "priority": getattr(attachment, "priority", None),
        "mode": model.XdpMode.DRV if member else None,
        "boot_id": "b",
        "created_at": 1_700_000_001.25,
    }
    counts = model.Counts(runs=10, proceeded=7, stopped={1: 3}) if member else None
    seen = model.KernelLink(
        id=model.KernelLinkId(900 if member else id + 500),
        type=6 if member else 7,
        program_id=program.record.id,
        ifindex=model.IfIndex(2 if member else 0),
    )
    return model.Link(
        record=model.LinkRecord(**(values | changes)),  # type: ignore[arg-type]
        status=model.LinkStatus(
            state=model.LinkState.ATTACHED, kernel=(seen,), position=0 if member else None, counts=counts
        ),
        program_id=program.record.id,
        program_name=program.record.name,
    )


ETH0 = model.InterfaceRef(name="eth0")
PASS = program(101, name="pass", links=(1,), metadata={"bpfman.io/application": "fw", "tier": "front"})
DROP = program(102, name="drop", links=(2,), metadata={"tier": "back"})
SCHED = program(103, name="sched", hook="tracepoint", prog_type=5, links=(3,))
IDLE = program(104, name="idle", hook="tcx", prog_type=3)
RET = program(105, name="ret", hook="uretprobe", prog_type=2, links=(4,))
FOREIGN = model.ForeignProgram(kernel=kernel_program(50, type=26, name="theirs", map_ids=()))

LINKS = (
    link(1, PASS, xdp.XdpAttachment(interface=ETH0, priority=50), chain=XDP_KEY, metadata={"who": "me"}),
    link(2, DROP, xdp.XdpAttachment(interface=ETH0, priority=60, proceed_on=(1, 2)), chain=XDP_KEY),
    link(3, SCHED, tracepoint.TracepointAttachment(group="sched", name="sched_switch")),
    link(4, RET, uprobe.UprobeAttachment(target="libc", fn_name="malloc", pid=12)),
    link(5, IDLE, tcx.TcxAttachment(interface=ETH0, direction=tcx.Direction.EGRESS, priority=3), ifindex=2),
)

CHAIN = model.ChainStatus(
    record=model.ChainRecord(
        key=XDP_KEY,
        revision=3,
        interface="eth0",
        netns_path=None,
        members=(
            model.ChainMember(
                link=model.LinkId(1), program=model.ProgramKey(101), name="pass", priority=50, proceed_on=0x80000004
            ),
            model.ChainMember(
                link=model.LinkId(2),
                program=model.ProgramKey(102),
                name="drop",
                priority=60,
                proceed_on=0b110,
                form=model.MemberForm.CALL,
            ),
        ),
        link_pin=model.LinkPin("/pins/chains/x/link"),
        program_pin=model.ProgramPin("/pins/chains/x/3/prog"),
        counts_pin=model.MapPin("/pins/chains/x/3/counts"),
        program_id=model.ProgramId(800),
        link_id=model.KernelLinkId(900),
        mode=model.XdpMode.DRV,
        boot_id="b",
    ),
    counts=(
        model.Counts(runs=1000, proceeded=750, stopped={1: 250}),
        model.Counts(runs=750, proceeded=0, stopped={2: 700, 0: 50}),
    ),
    packets=1000,
    state=model.LinkState.ATTACHED,
    warnings=("the end of the chain turns drop into pass",),
)

MAP = model.MapView(
    kernel=model.KernelMap(
        id=model.MapId(90), type=6, name="counts", key_size=4, value_size=8, max_entries=1, flags=0, memlock_bytes=512
    ),
    pins=(model.MapPin("/pins/sets/1/counts"),),
    programs=(model.ProgramId(101),),
)
FOREIGN_MAP = model.MapView(
    kernel=model.KernelMap(id=model.MapId(91), type=1, name="other", key_size=4, value_size=4, max_entries=9, flags=1)
)

SHAPE = model.MapShape(
    view=MAP,
    key=model.MapType(name="__u32", size=4),
    value=model.MapType(
        name="struct pair",
        size=8,
        fields=(
            model.MapField(name="left", type="__u32", bit=0, bits=32),
            model.MapField(name="low", type="__u32", bit=34, bits=3),
        ),
    ),
    origin="the map",
    cpus=2,
)
ENTRIES = (
    model.MapEntry(key=b"\1\0\0\0", values=(b"\2\0", b"\3\0"), key_json="1", values_json=("2", "3")),
    model.MapEntry(key=b"\2\0\0\0", values=(b"\7\0\0\0",), key_json="2", values_json=("7",), inner=model.MapId(7)),
    model.MapEntry(key=b"\3\0\0\0", values=(b"\xff",)),
)

EVENTS = tuple(
    model.Event(
        id=number,
        at=1_700_000_000.0 + number,
        operation=model.OperationId(number),
        verb="load",
        subject=f"program {number}",
        caller=CALLER,
        outcome="ok" if number != 2 else "Rejected",
        detail="" if number != 2 else "too bad",
        duration_ms=1.25,
    )
    for number in (1, 2, 3)
)
FINDING = model.Finding(
    kind="unknown pin",
    subject="/pins/progs/9-1",
    explanation="the store does not know it",
    remedy="skep adopt /pins/progs/9-1",
    adoptable=True,
)
FEATURES = (
    model.Feature(name="tcx", available=True, first="6.6", group="program type", config=("NET_XGRESS",)),
    model.Feature(
        name="kprobe",
        available=False,
        errno=95,
        first="4.1",
        note="not built in",
        group="program type",
        needs="a kernel built with CONFIG_KPROBES",
        lasting="ends with its socket",
    ),
    model.Feature(name="link-update", available=True, first="5.7", group="link"),
)


@dataclass
class FakeSkep:
    """See the module. ``refusal`` is raised by the next run or preview."""

    all: tuple[model.Program | model.ForeignProgram, ...] = (FOREIGN, PASS, DROP, SCHED, IDLE, RET)
    found: model.Inventory = NOTHING
    findings: tuple[model.Finding, ...] = (FINDING,)
    refusal: BaseException | None = None
    ran: list[model.Operation] = field(default_factory=list)
    previewed: list[model.Operation] = field(default_factory=list)
    waits: list[float | None] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    asked: list[object] = field(default_factory=list)
    pulled: list[model.ImageRequest] = field(default_factory=list)
    prunes: list[tuple[bool, float, bool]] = field(default_factory=list)

    def run(self, op: model.Operation, *, wait: float | None = None) -> model.Done:
        self.ran.append(op)
        self.waits.append(wait)
        if self.refusal is not None:
            raise self.refusal
        match op:
            case model.Load() | model.ReplaceProgram():
                return model.Done(operation=model.OperationId(9), programs=(PASS,), warnings=self.warnings)
            case model.Adopt():
                return model.Done(operation=model.OperationId(9), programs=(DROP,))
            case model.Attach(program=id):
                found = next((each for each in LINKS if each.program_id == id), None)
                if found is None:
                    raise errors.NotFound(f"no program {id}", near=("101",))
                return model.Done(operation=model.OperationId(9), links=(found.record.id,), warnings=self.warnings)
            case model.Unload(program=id):
                self.program(id)
            case model.Detach(link=id) | model.UpdateLink(link=id):
                self.link(id)
        return model.Done(operation=model.OperationId(9))

    def preview(self, op: model.Operation) -> model.Preview:
        self.previewed.append(op)
        if self.refusal is not None:
            raise self.refusal
        return model.Preview(steps=("load program", "pin it"), warnings=("a warning",))

    def program(self, id: model.ProgramId) -> model.Program | model.ForeignProgram:
        for each in self.all:
            if (each.kernel.id if isinstance(each, model.ForeignProgram) else each.record.id) == id:
                return each
        raise errors.NotFound(f"no program {id}", near=("101", "102"))

    def programs(self, filter: model.ProgramFilter) -> tuple[model.Program | model.ForeignProgram, ...]:
        return tuple(
            each
            for each in self.all
            if (isinstance(each, model.ForeignProgram) and not (filter.managed_only or filter.metadata))
            or (isinstance(each, model.Program) and filter.metadata.items() <= each.record.metadata.items())
        )

    def link(self, id: model.LinkId) -> model.Link:
        for each in LINKS:
            if each.record.id == id:
                return each
        raise errors.NotFound(f"no link {id}")

    def links(self, filter: model.LinkFilter) -> tuple[model.Link, ...]:
        return tuple(
            each
            for each in LINKS
            if (filter.program_id is None or each.program_id == filter.program_id)
            and (not filter.hooks or each.record.hook in filter.hooks)
            and filter.metadata.items() <= self._labels(each.program_id).items()
        )

    def _labels(self, id: model.ProgramId) -> dict[str, str]:
        found = self.program(id)
        return dict(found.record.metadata) if isinstance(found, model.Program) else {}

    def chains(self) -> tuple[model.ChainStatus, ...]:
        return (CHAIN,)

    def chain(self, type: str, interface: model.InterfaceRef) -> model.ChainStatus:
        if (type, interface.name) == ("xdp", "eth0"):
            return CHAIN
        raise errors.NotFound(f"no {type} chain on {interface.name}")

    def maps(self) -> tuple[model.MapView, ...]:
        return (MAP, FOREIGN_MAP)

    def map(self, id: model.MapId) -> model.MapView:
        for each in self.maps():
            if each.kernel.id == id:
                return each
        raise errors.NotFound(f"no map {id}")

    def map_shape(self, ref: str) -> model.MapShape:
        for each in self.maps():
            if ref in (str(each.kernel.id), each.kernel.name):
                return dataclasses.replace(SHAPE, view=each)
        raise errors.NotFound(f"no map {ref!r}")

    def map_pages(self, wanted: model.MapDump) -> Iterator[model.MapPage]:
        self.asked.append(wanted)
        yield model.MapPage(entries=ENTRIES[:1], token=b"more")
        yield model.MapPage(entries=ENTRIES[1:], token=b"\x01\x02" if wanted.limit else b"")

    def map_lookup(self, ref: str, key: model.Datum | None) -> model.MapEntry:
        self.asked.append((ref, key))
        if key == model.Datum(json='"gone"'):
            raise errors.NotFound("no such key in map 90 (counts)")
        return ENTRIES[0]

    def map_write(self, wanted: model.MapWrite) -> model.MapWritten:
        self.asked.append(wanted)
        if wanted.key == model.Datum(json='"gone"'):
            raise errors.NotFound("no such key in map 90 (counts)")
        return model.MapWritten(
            operation=model.OperationId(9),
            map=model.MapId(90),
            entry=ENTRIES[0] if wanted.verb is model.MapVerb.UPDATE or wanted.key is None else None,
            warnings=self.warnings,
        )

    def map_fill(self, wanted: model.MapFill) -> Iterator[int]:
        self.asked.append(wanted)
        for number, element in enumerate(wanted.elements):
            if element.key == model.Datum(json='"full"'):
                yield number
                raise errors.Exhausted("map 90 (counts) is full", why="it holds 2 elements at most", do="delete some")
        yield len(wanted.elements)

    def map_events(self, wanted: model.MapFollow) -> Iterator[tuple[model.MapRecord, ...]]:
        self.asked.append(wanted)
        yield (model.MapRecord(data=b"\1\2", json='{"number":1}', size=2), model.MapRecord(data=b"\1\2", size=2, cpu=1))
        yield (model.MapRecord(lost=3, cpu=0), model.MapRecord(data=b"\1", size=70_000))

    def run_program(self, wanted: model.Run) -> model.Ran:
        self.asked.append(wanted)
        if self.refusal is not None:
            raise self.refusal
        return model.Ran(
            operation=model.OperationId(9),
            program=wanted.program,
            answer=2,
            verdict="XDP_PASS",
            times=wanted.repeat,
            duration_ns=41,
            packet=wanted.packet[:2] + b"A" + wanted.packet[3:],
            context=wanted.context,
            warnings=self.warnings,
        )

    def read_iterator(self, wanted: model.ReadIterator) -> Iterator[bytes]:
        self.asked.append(wanted)
        yield b"1 first\n2 sec"
        yield b"ond\n"

    def events(self, after: int = 0, limit: int = 1000) -> tuple[model.Event, ...]:
        return tuple(event for event in EVENTS if event.id > after)[:limit]

    def wait_events(self, after: int, timeout: float) -> tuple[model.Event, ...]:
        return (EVENTS[-1],) if after == EVENTS[-1].id else self.events(after)

    @property
    def images(self) -> FakeImages:
        return FakeImages(self)

    def inventory(self, unless: str = "") -> model.Inventory | None:
        return None if unless == self.found.fingerprint else self.found

    def describe_host(self) -> model.HostSeen:
        lo = model.InterfaceSeen(name="lo", ifindex=model.IfIndex(1), up=True)
        own = model.NamespaceSeen(path=None, inode=model.NetnsInode(1), interfaces=(lo,), primary=())
        return model.HostSeen(namespaces=(own,))

    def doctor(self) -> tuple[model.Finding, ...]:
        return self.findings

    def features(self) -> tuple[model.Feature, ...]:
        return FEATURES


IMAGE = model.Image(
    digest="sha256:" + "1a" * 32,
    manifest="sha256:" + "2b" * 32,
    names=("registry.test/bpf/pass:v1",),
    platform="linux/amd64",
    size=12_345,
    programs={"pass": "xdp", "odd": "tracing"},
    maps={"counts": "hash"},
    labelled=True,
    evidence=2,
    pulled_at=1_700_000_000.0,
    used_at=1_700_000_100.0,
    loaded=(model.ProgramId(101),),
)
BARE_IMAGE = dataclasses.replace(IMAGE, digest="sha256:" + "3c" * 32, programs={}, maps={}, labelled=False, names=())


@dataclass
class FakeImages:
    """Two images; pulling one whose reference has "bare" in it gives the one without labels."""

    skep: FakeSkep

    def pull(self, wanted: model.ImageRequest) -> Iterator[model.PullProgress | model.Image]:
        self.skep.pulled.append(wanted)
        yield model.PullProgress(done=1, total=2, digest=IMAGE.digest)
        yield BARE_IMAGE if "bare" in wanted.url else IMAGE

    def listed(self) -> tuple[model.Image, ...]:
        return (IMAGE, BARE_IMAGE)

    def one(self, ref: str) -> model.Image:
        if ref != IMAGE.names[0]:
            raise errors.NotFound(f"the cache has no image {ref}", do="see 'skep image list'")
        return IMAGE

    def check(self, ref: str, asked: Asked | None = None) -> tuple[Decision, Verdict]:
        self.one(ref)
        seen = Seen(
            source="sha256-1a.sig", form="cosign tag", kind="signature", predicate="x", key="release.pub",
            at=datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        )  # fmt: skip
        facts = (("builder", "https://builder.test"),)
        built = dataclasses.replace(seen, kind="SLSA provenance", facts=facts)
        rule = Rule(name="ours", images=("**",), mode=Mode.REQUIRE)
        decision = decide_verified(rule, "registry.test/bpf/pass", IMAGE.digest, str(seen))
        return decision, Verdict(image=ref, signatures=(seen,), attestations=(built,))

    def prune(self, *, everything: bool, older_than: float, dry_run: bool) -> model.Pruned:
        self.skep.prunes.append((everything, older_than, dry_run))
        return model.Pruned(digests=(BARE_IMAGE.digest,), freed=2048)
