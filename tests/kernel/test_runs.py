"""Programs run on request, for every type that can: the answer by name, what is left of the input, and that it ran."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from skep import errors, hooks, model
from skep.cli import packet
from skep.hooks import cgroup
from tests.kernel import types_rig
from tests.kernel.types_rig import ROOT, Rig

FRAME = packet.made("udp4")


@dataclass(frozen=True, kw_only=True)
class Case:
    program: str
    packet: bytes = FRAME
    context: bytes = b""
    answer: tuple[int, str] = (0, "")
    seen: Callable[[model.Ran], bool] = lambda ran: ran.packet == bytes(14) + FRAME[14:]
    repeats: bool = True


def lookup(port: int) -> bytes:
    """``struct bpf_sk_lookup`` (linux/bpf.h) of a TCP connection over IPv4 to a local port."""
    return struct.pack("=QII20s2s2x20sI8x", 0, 2, 6, b"", b"", b"", port)


CASES = {
    "xdp": Case(
        program="run_xdp",
        packet=b"\1\2\4" + FRAME[3:],
        answer=(2, "XDP_PASS"),
        seen=lambda ran: ran.packet == b"\2\1\4" + FRAME[3:],
    ),
    "tc": Case(
        program="run_tc",
        context=bytes(8) + struct.pack("=I", 41) + bytes(180),
        answer=(2, "TC_ACT_SHOT"),
        seen=lambda ran: ran.context[8:12] == struct.pack("=I", 42),
    ),
    "tcx": Case(
        program="run_tcx",
        context=bytes(8) + struct.pack("=I", 41) + bytes(180),
        answer=(2, "TC_ACT_SHOT"),
        seen=lambda ran: ran.context[8:12] == struct.pack("=I", 42),
    ),
    "netkit": Case(
        program="run_netkit",
        context=bytes(8) + struct.pack("=I", 41) + bytes(180),
        answer=(2, "TC_ACT_SHOT"),
        seen=lambda ran: ran.context[8:12] == struct.pack("=I", 42),
    ),
    "cgroup_skb": Case(program="run_cgroup_skb", answer=(1, "pass")),
    "socket_filter": Case(program="run_socket_filter", answer=(20, "")),
    "flow_dissector": Case(program="run_flow", answer=(2, "BPF_DROP"), seen=lambda ran: len(ran.packet) >= 52),
    "netfilter": Case(program="run_netfilter", answer=(1, "NF_ACCEPT"), seen=lambda ran: ran.packet == b""),
    "lwt_in": Case(program="run_lwt_in", answer=(0, "BPF_OK")),
    "lwt_out": Case(program="run_lwt_out", answer=(2, "BPF_DROP")),
    "lwt_xmit": Case(program="run_lwt_xmit", answer=(128, "BPF_LWT_REROUTE")),
    "raw_tracepoint": Case(
        program="run_raw_tp",
        packet=b"",
        context=struct.pack("=2Q", 3, 4),
        answer=(7, ""),
        seen=lambda ran: ran.packet == b"",
        repeats=False,
    ),
    "sk_lookup": Case(
        program="run_sk_lookup", packet=b"", context=lookup(80), answer=(1, "SK_PASS"), seen=lambda ran: not ran.packet
    ),
    "syscall": Case(
        program="run_syscall",
        packet=b"",
        context=struct.pack("=3Q", 3, 4, 0),
        answer=(-7, ""),
        seen=lambda ran: struct.unpack("=3Q", ran.context) == (3, 4, 7),
        repeats=False,
    ),
}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with types_rig.rig(tmp_path, object="runs") as made:
        yield made


def test_every_type_that_can_be_run_has_a_case() -> None:
    assert set(CASES) == {hook.name for hook in hooks.HOOKS if hook.runs is not None}


@pytest.mark.parametrize("name", CASES)
def test_a_program_runs_when_asked(rig: Rig, name: str) -> None:
    case = CASES[name]
    program = rig.load(case.program)
    assert program.record.hook == name
    wanted = model.Run(program=program.record.id, packet=case.packet, context=case.context)
    ran = rig.manager.runs.program(ROOT, wanted)
    assert (ran.answer, ran.verdict) == case.answer
    assert case.seen(ran)
    assert ran.times == rig.hits() == 1
    assert (ran.duration_ns is not None) is case.repeats
    assert rig.links() == ()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.repeats])
def test_it_runs_as_often_as_asked_and_the_kernel_measures(rig: Rig, name: str) -> None:
    case = CASES[name]
    program = rig.load(case.program)
    wanted = model.Run(program=program.record.id, packet=case.packet, context=case.context, repeat=5000)
    ran = rig.manager.runs.program(ROOT, wanted)
    assert ran.times == rig.hits() == 5000
    assert ran.duration_ns is not None
    assert 0 < ran.duration_ns < 100_000


def test_the_verdict_depends_on_the_packet(rig: Rig) -> None:
    program = rig.load("run_xdp")
    answers = [
        rig.manager.runs.program(ROOT, model.Run(program=program.record.id, packet=b"\0\0" + third + FRAME[3:])).verdict
        for third in (b"\1", b"\2")
    ]
    assert answers == ["XDP_DROP", "XDP_PASS"]


def test_every_kind_of_packet_is_one_to_the_kernel(rig: Rig) -> None:
    """The packet filter's runs look at protocol and version; others take anything."""
    filter, program = rig.load("run_netfilter"), rig.load("run_tc")
    for kind in packet.KINDS:
        rig.manager.runs.program(ROOT, model.Run(program=program.record.id, packet=packet.made(kind)))
        if kind.endswith("4"):
            rig.manager.runs.program(ROOT, model.Run(program=filter.record.id, packet=packet.made(kind)))


@pytest.mark.parametrize(
    ("program", "wanted", "words"),
    [
        ("run_xdp", {"packet": b"short"}, "need a packet of 14 bytes"),
        ("run_syscall", {"packet": FRAME}, "take no packet"),
        ("run_sk_lookup", {}, "nothing but a context"),
        ("run_raw_tp", {"repeat": 2}, "once a request"),
        ("run_xdp", {"packet": FRAME, "repeat": 1_000_001}, "1 to 1000000"),
        ("no_run", {"packet": FRAME}, "types that it runs: xdp"),
        ("run_lwt_seg6local", {"packet": FRAME}, "types that it runs: xdp"),
        ("print_tasks", {}, "iterator"),
    ],
)
def test_what_no_program_takes_is_refused(rig: Rig, program: str, wanted: dict[str, object], words: str) -> None:
    loaded = rig.load(program)
    with pytest.raises(errors.InvalidRequest, match=words):
        rig.manager.runs.program(ROOT, model.Run(program=loaded.record.id, **wanted))  # type: ignore[arg-type]  # as the table says
    if program.startswith("run_"):
        assert rig.hits() == 0


@pytest.mark.parametrize(
    ("program", "wanted"),
    [
        ("run_xdp", {"packet": FRAME, "context": b"\xff" * 24}),
        ("run_sk_lookup", {"context": b"\xff" * 64}),
        ("run_syscall", {"context": b"\1"}),
    ],
)
def test_what_the_kernel_does_not_take_is_explained(rig: Rig, program: str, wanted: dict[str, bytes]) -> None:
    loaded = rig.load(program)
    with pytest.raises(errors.Rejected, match="does not fit") as told:
        rig.manager.runs.program(ROOT, model.Run(program=loaded.record.id, **wanted))  # type: ignore[arg-type]  # as the table says
    assert told.value.errno
    assert rig.hits() == 0


def test_the_time_for_repetitions_is_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    from skep.runs import runs

    monkeypatch.setattr(runs, "SECONDS", 0.0)
    program = rig.load("run_xdp")
    ran = rig.manager.runs.program(ROOT, model.Run(program=program.record.id, packet=FRAME, repeat=1_000_000))
    assert ran.times == rig.hits() == 1
    assert "the time was up" in ran.warnings[0]


# ---------------------------------------------------------------- iterators


def read(rig: Rig, **wanted: object) -> bytes:
    return b"".join(rig.manager.runs.iterator(ROOT, model.ReadIterator(**wanted)))  # type: ignore[arg-type]  # passed on as given


def tasks(text: bytes) -> set[int]:
    return {int(line.split()[0]) for line in text.splitlines()}


def through(**values: object) -> object:
    return hooks.by_name("iter").build(values)


def test_a_link_is_read_as_often_as_asked(rig: Rig) -> None:
    link = rig.attach(rig.load("print_tasks"), through())
    for _ in range(2):
        assert {2, os.getpid()} <= tasks(read(rig, link=link))
    rig.detach(link)
    with pytest.raises(errors.NotFound):
        read(rig, link=link)


def test_a_program_is_read_without_leaving_a_link(rig: Rig) -> None:
    program = rig.load("print_tasks")
    before = {one.id for one in rig.kernel.links()}
    assert {2, os.getpid()} <= tasks(read(rig, program=program.record.id))
    assert {one.id for one in rig.kernel.links()} <= before
    assert rig.links() == ()


@pytest.mark.parametrize("what", ["pid", "tid"])
def test_one_process_or_thread_is_gone_through(rig: Rig, what: str) -> None:
    program = rig.load("print_tasks")
    assert tasks(read(rig, program=program.record.id, attachment=through(**{what: os.getpid()}))) == {os.getpid()}
    link = rig.attach(program, through(**{what: os.getpid()}))
    assert tasks(read(rig, link=link)) == {os.getpid()}


def test_a_map_s_elements_are_gone_through(rig: Rig) -> None:
    program = rig.load("print_elements")
    pin = rig.pin("hits")
    wanted = b"0 0\n1 0\n2 0\n3 0\n"
    assert read(rig, program=program.record.id, attachment=through(map=pin)) == wanted
    id = rig.kernel.map(model.MapPin(pin))
    assert id is not None
    link = rig.attach(program, through(map=str(id.id)))
    assert read(rig, link=link) == wanted


@pytest.mark.parametrize(("order", "lines"), [("self", 1), ("descendants", 2), ("ancestors", 2), (None, 2)])
def test_cgroups_are_gone_through_in_an_order(rig: Rig, order: str | None, lines: int) -> None:
    program = rig.load("print_cgroups")
    outer = rig.cgroup()
    os.mkdir(f"{outer}/inner")
    try:
        start = f"{outer}/inner" if order == "ancestors" else outer
        text = read(rig, program=program.record.id, attachment=through(cgroup=start, order=order))
        found = text.count(b"cgroup\n")
        assert found >= lines if order == "ancestors" else found == lines
        assert text.endswith(b"end\n")
    finally:
        os.rmdir(f"{outer}/inner")


def test_a_reading_ends_at_its_limit(rig: Rig) -> None:
    program = rig.load("print_tasks")
    assert len(read(rig, program=program.record.id, limit=3)) == 3


NOBODY = 2**22 - 1


@pytest.mark.parametrize(
    ("program", "values", "kind", "words"),
    [
        ("print_tasks", {"pid": NOBODY}, errors.NotFound, "no process"),
        ("print_tasks", {"map": "1"}, errors.InvalidRequest, "takes no map"),
        ("print_elements", {}, errors.InvalidRequest, "needs a map"),
        ("print_elements", {"map": "4294967295"}, errors.NotFound, "no map with id"),
        ("print_elements", {"map": "/sys/fs/bpf/never/made"}, errors.NotFound, "no map at"),
        ("print_cgroups", {"cgroup": "/etc"}, errors.InvalidRequest, "not a cgroup"),
        ("print_cgroups", {"cgroup": "/never/made/by/anybody"}, errors.NotFound, "no cgroup"),
        ("print_cgroups", {"pid": 1}, errors.InvalidRequest, "takes no pid"),
    ],
)
def test_what_cannot_be_gone_through_is_told(
    rig: Rig, program: str, values: dict[str, object], kind: type[errors.SkepError], words: str
) -> None:
    loaded = rig.load(program)
    with pytest.raises(kind, match=words):
        read(rig, program=loaded.record.id, attachment=through(**values))
    with pytest.raises(kind, match=words):
        rig.attach(loaded, through(**values))
    assert rig.links() == ()


def test_other_links_and_programs_are_not_read(rig: Rig) -> None:
    program = rig.load("run_cgroup_skb")
    link = rig.attach(program, cgroup.CgroupAttachment(path=rig.cgroup()))
    for wanted in ({"link": link}, {"program": program.record.id}):
        with pytest.raises(errors.InvalidRequest, match="only iterators print"):
            read(rig, **wanted)


def test_types_that_are_not_attached_say_so(rig: Rig) -> None:
    for name, words in (("run_syscall", "skep program run"), ("run_lwt_seg6local", "ip.8.")):
        program = rig.load(name)
        with pytest.raises(errors.InvalidRequest, match=words):
            rig.attach(program, cgroup.CgroupAttachment(path=rig.cgroup()))
