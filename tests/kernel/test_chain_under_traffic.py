"""The rules of chains as a packet meets them: through the Manager, on an interface, with frames that really arrive."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from skep import errors, model
from tests import bpf_build
from tests.kernel import manager_rig
from tests.kernel.manager_rig import ROOT

pytestmark = pytest.mark.native  # test_linked_* ask the guest the same without a wire

ABORTED, DROP, PASS = 0, 1, 2
SYSTEM = Path("/usr/lib/x86_64-linux-gnu/bpf")
FILTERS = sorted(SYSTEM.glob("xdpfilt_*.o"))
ETHER, IPV4 = 0x88B5, 0x0800
"""EtherTypes: an experimental one (IEEE 802) that the stack has no protocol for, and IPv4."""
TCP, UDP = 6, 17


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[manager_rig.Rig]:
    with manager_rig.rig(tmp_path) as made:
        yield made


def load(rig: manager_rig.Rig, path: Path, program: str, **data: int) -> model.Program:
    operation = model.Load(
        object=path.read_bytes(),
        source=model.FileSource(path=path.name),
        programs=(model.ProgramSpec(name=program),),
        global_data={name: struct.pack("=I", value) for name, value in data.items()},
    )
    return rig.manager.run(ROOT, operation).programs[0]


def count(rig: manager_rig.Rig, verdict: int = PASS, program: str = "count") -> model.Program:
    return load(rig, bpf_build.build("count"), program, verdict=verdict)


def attach(rig: manager_rig.Rig, program: model.Program, priority: int, **fields: object) -> model.LinkId:
    return rig.attach(program, rig.attachment("on_xdp", priority=priority, **fields))


def frame(type: int = ETHER, protocol: int = UDP) -> bytes:
    """A frame of 64 bytes; as IPv4 it goes from 192.0.2.1 to 192.0.2.2 (RFC 5737), port 1 to 2."""
    ethernet = b"\xff" * 6 + b"\x02" + bytes(5) + struct.pack("!H", type)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 50, 0, 0, 64, protocol, 0, bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]))
    return ethernet + ip + struct.pack("!HHHHIBBHHH", 1, 2, 16, 0, 0, 0x50, 0, 0, 0, 0) + bytes(8)


def arrived(rig: manager_rig.Rig, frames: Sequence[bytes]) -> int:
    """Send from the far end; how many of them the stack behind the near end's XDP hook got."""
    words = [*rig.network.enter, sys.executable, "-c", _COUNTED, rig.network.near, rig.network.far]
    done = subprocess.run(words, input=b"".join(frames), stdout=subprocess.PIPE, check=True)
    return int(done.stdout)


_COUNTED = """
import socket, sys
frames = [data[at:at + 64] for data in [sys.stdin.buffer.read()] for at in range(0, len(data), 64)]
types = {frame[12:14] for frame in frames}
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as inward:  # ETH_P_ALL
    inward.bind((sys.argv[1], 3))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((sys.argv[2], 0))
        got = 0
        inward.settimeout(0.2)
        for frame in frames:
            out.send(frame)
            try:
                while inward.recv(100)[:64] != frame:
                    pass
                got += 1
            except TimeoutError:
                pass
print(got)
"""


def counts(rig: manager_rig.Rig, *links: model.LinkId) -> list[model.Counts | None]:
    return [rig.manager.link(one).status.counts for one in links]


def all_ran(runs: int) -> model.Counts:
    return model.Counts(runs=runs, proceeded=runs)


# ---------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("verdict", "mask", "arrives"),
    [
        pytest.param(PASS, (PASS,), True, id="pass falls off the end"),
        pytest.param(PASS, (DROP,), True, id="pass ends the chain"),
        pytest.param(DROP, (PASS,), False, id="drop ends the chain"),
        pytest.param(DROP, (DROP,), True, id="drop falls off the end and passes"),
        pytest.param(ABORTED, (ABORTED,), True, id="aborted falls off the end and passes"),
        pytest.param(ABORTED, (PASS,), False, id="aborted ends the chain"),
        pytest.param(99, (ABORTED, DROP, PASS), False, id="an unknown verdict ends it as aborted"),
        pytest.param(31, (31,), True, id="the dispatcher's own verdict goes on"),
    ],
)
def test_the_last_verdict_decides_what_arrives(
    rig: manager_rig.Rig, verdict: int, mask: tuple[int, ...], arrives: bool
) -> None:
    first = attach(rig, count(rig), 1)
    last = attach(rig, count(rig, verdict), 2, proceed_on=mask)
    assert arrived(rig, [frame()] * 3) == (3 if arrives else 0)
    stopped = 0 if verdict in mask else 3
    before, after = counts(rig, first, last)
    assert before == all_ran(3)
    assert after is not None
    assert (after.runs, after.proceeded, sum(after.stopped.values())) == (3, 3 - stopped, stopped)


def test_a_member_behind_the_end_sees_nothing(rig: manager_rig.Rig) -> None:
    first = attach(rig, count(rig, DROP), 1)
    behind = attach(rig, count(rig), 2)
    assert arrived(rig, [frame()] * 3) == 0
    assert counts(rig, first, behind) == [model.Counts(runs=3, stopped={DROP: 3}), model.Counts()]
    rig.manager.run(ROOT, model.UpdateLink(link=behind, priority=0))
    assert arrived(rig, [frame()] * 2) == 0
    assert counts(rig, first, behind) == [model.Counts(runs=5, stopped={DROP: 5}), all_ran(2)]


# ---------------------------------------------------------------- order


def test_the_extremes_of_priority_are_first_and_last(rig: manager_rig.Rig) -> None:
    """Each drops the packet for those behind it, so that who counted tells who was first."""
    last = attach(rig, count(rig, DROP), 2**31 - 1)
    first = attach(rig, count(rig, DROP), 0)
    assert arrived(rig, [frame()]) == 0
    assert counts(rig, first, last) == [model.Counts(runs=1, stopped={DROP: 1}), model.Counts()]
    for priority in (-1, 2**31):
        with pytest.raises(errors.InvalidRequest, match="priority"):
            attach(rig, count(rig), priority)
    rig.detach(first)
    assert arrived(rig, [frame()]) == 0
    assert counts(rig, last) == [model.Counts(runs=1, stopped={DROP: 1})]


def test_among_equals_the_last_attached_goes_first_then_names(rig: manager_rig.Rig) -> None:
    path = bpf_build.build("every_type")
    plain = attach(rig, count(rig), 50)
    named = attach(rig, load(rig, path, "on_xdp"), 50)
    newest = attach(rig, count(rig), 50)
    order = [one.link for one in rig.manager.chain("xdp", rig.near).record.members]
    assert order == [newest, plain, named]  # "count" before "on_xdp" but for the newest
    rig.manager.run(ROOT, model.UpdateLink(link=named, proceed_on=(ABORTED,)))
    rig.manager.run(ROOT, model.UpdateLink(link=newest, proceed_on=(ABORTED,)))
    arrived(rig, [frame()] * 2)
    assert counts(rig, newest, plain, named) == [
        model.Counts(runs=2, stopped={PASS: 2}), model.Counts(), model.Counts(),
    ]  # fmt: skip


# ---------------------------------------------------------------- size


def test_32_small_members_run_in_the_order_of_their_priorities(rig: manager_rig.Rig) -> None:
    """31 with two maps each, one with none, and the counters: 63 of the 64 maps that a program may use."""
    chance = random.Random(32)
    places = list(range(31))
    chance.shuffle(places)
    at = {place: attach(rig, count(rig), 10 * place) for place in places}
    bare = load(rig, bpf_build.build("licences", "GPL_HELPER"), "licensed")
    links = [at[place] for place in sorted(at)]
    links.append(attach(rig, bare, 1000))
    assert [one.link for one in rig.manager.chain("xdp", rig.near).record.members] == links
    assert arrived(rig, [frame()] * 4) == 4
    assert counts(rig, *links) == [all_ran(4)] * 32
    stops = links[15]
    rig.manager.run(ROOT, model.UpdateLink(link=stops, proceed_on=(DROP,)))
    arrived(rig, [frame()] * 2)
    assert [one.runs for one in counts(rig, *links) if one is not None] == [6] * 16 + [4] * 16


# ---------------------------------------------------------------- Debian's filters


FRAMES = [frame(ETHER), frame(IPV4, UDP), frame(IPV4, TCP)]
"""What a filter without any rule does with them is its name's first word: alw lets all through, dny none."""


@pytest.mark.parametrize("path", FILTERS, ids=lambda path: path.stem)
def test_debians_filters_judge_real_frames_between_others(rig: manager_rig.Rig, path: Path) -> None:
    before = attach(rig, count(rig), 1)
    judge = attach(rig, load(rig, path, path.stem), 2)
    after = attach(rig, count(rig), 3)
    alone = len(FRAMES) if path.stem.startswith("xdpfilt_alw") else 0
    assert arrived(rig, FRAMES) == alone
    first, middle, last = counts(rig, before, judge, after)
    assert first == all_ran(len(FRAMES))
    assert middle is not None
    assert (middle.runs, middle.proceeded) == (len(FRAMES), alone)
    assert middle.stopped == ({DROP: len(FRAMES) - alone} if alone < len(FRAMES) else {})
    assert last == (all_ran(alone) if alone else model.Counts())


def test_all_of_debians_filters_in_one_chain(rig: manager_rig.Rig) -> None:
    """They pin their maps by name, so ten filters share five maps; each still judges every frame."""
    links = [
        attach(rig, load(rig, path, path.stem), number, proceed_on=(PASS, DROP)) for number, path in enumerate(FILTERS)
    ]
    last = attach(rig, count(rig), 100)
    assert len(links) == 10
    assert arrived(rig, FRAMES * 2) == 6, "every verdict goes on, and falling off the end passes"
    assert counts(rig, *links, last) == [all_ran(6)] * 11
    maps = {one for link in links for one in used_maps(rig, link)}
    assert len(maps) == 5


def used_maps(rig: manager_rig.Rig, link: model.LinkId) -> tuple[model.MapId, ...]:
    program = rig.manager.program(rig.manager.link(link).program_id)
    assert isinstance(program, model.Program)
    assert program.status.kernel is not None
    return program.status.kernel.map_ids


# ---------------------------------------------------------------- flags and licences


def test_a_chain_on_jumbo_frames_refuses_the_member_without_frags_by_name(rig: manager_rig.Rig) -> None:
    for end in (rig.network.near, rig.network.far):
        subprocess.run(["ip", "-n", rig.network.name, "link", "set", end, "mtu", "9000"], check=True)
    frags = attach(rig, count(rig, program="count_frags"), 1, mode=model.XdpMode.DRV)
    before = rig.state()
    plain = count(rig)
    with pytest.raises(errors.SkepError) as refused:
        attach(rig, plain, 2)
    assert "count not built for SEC" in str(refused.value)
    rig.unload(plain)
    assert rig.state() == before
    second = attach(rig, count(rig, program="count_frags"), 2)
    assert arrived(rig, [frame()] * 3) == 3
    assert counts(rig, frags, second) == [all_ran(3)] * 2


def test_members_under_other_licences_are_refused_in_words_and_the_chain_stays(rig: manager_rig.Rig) -> None:
    free = load(rig, bpf_build.build("licences", "GPL_HELPER"), "licensed")
    other = load(rig, bpf_build.build("licences"), "licensed")
    first = attach(rig, free, 1)
    before = rig.state()
    with pytest.raises(errors.Conflict, match=r"(?i)gpl"):
        attach(rig, other, 2)
    assert rig.state() == before
    assert arrived(rig, [frame()] * 2) == 2
    assert counts(rig, first) == [all_ran(2)]
