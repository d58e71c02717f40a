"""tc chains as packets meet them: verdicts, exact counts over swaps, other people's filters, and what can go away."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skep import errors, model
from skep.hooks import tc, tcx
from skep.kernel import filters, linux, netns
from tests import bpf_build, instance
from tests.kernel import bpf_raw, manager_rig
from tests.kernel.manager_rig import ROOT

pytestmark = pytest.mark.slow
UNSPEC, OK, SHOT, PIPE = -1, 0, 2, 3
WAYS = ("ingress", "egress")
ETHER = 0x88B5
"""An EtherType for experiments (IEEE 802), which nobody but the test sends."""
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[manager_rig.Rig]:
    with manager_rig.rig(tmp_path) as made:
        yield made


def count(rig: manager_rig.Rig, verdict: int = PIPE) -> model.Program:
    operation = model.Load(
        object=bpf_build.build("tc_count").read_bytes(),
        source=model.FileSource(path="tc_count.bpf.o"),
        programs=(model.ProgramSpec(name="count"),),
        global_data={"verdict": struct.pack("=i", verdict)},
    )
    return rig.manager.run(ROOT, operation).programs[0]


def on(rig: manager_rig.Rig, priority: int, way: str = "ingress", **fields: Any) -> tc.TcAttachment:  # Any: its fields
    return tc.TcAttachment(interface=rig.near, direction=tcx.Direction(way), priority=priority, **fields)


def own(program: model.Program) -> int:
    """What the program counted in a map of its own."""
    pin = next(one.pin for one in program.record.maps if one.name == "packets")
    path = bytearray(os.fsencode(pin) + b"\0")
    fd = bpf_raw.bpf(7, bytearray(struct.pack("=QII", bpf_raw.address(path), 0, 0)))  # BPF_OBJ_GET
    try:
        return int(struct.unpack("=Q", bpf_raw.map_lookup(fd, struct.pack("=I", 0), 8))[0])
    finally:
        os.close(fd)


def arrived(rig: manager_rig.Rig, way: str, frames: int) -> int:
    """Send through the near end, inward or outward; how many frames came out behind it."""
    near, far = rig.network.near, rig.network.far
    source, sink = (far, near) if way == "ingress" else (near, far)

    def send() -> int:
        # A socket of this very EtherType gets what traffic control lets through; one for all types stands before it.
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHER)) as inward:
            inward.bind((sink, ETHER))
            inward.settimeout(0.2)
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
                out.bind((source, 0))
                for _ in range(frames):
                    # Whoever sends is told when egress drops what he sends.
                    with contextlib.suppress(OSError):
                        out.send(FRAME)
            got = 0
            try:
                while got < frames:
                    inward.recv(100)
                    got += 1
            except TimeoutError:
                pass
            return got

    return netns.inside(rig.network.path, send)


FRAME = b"\xff" * 6 + b"\x02" + bytes(5) + struct.pack("!H", ETHER) + bytes(50)


def counts(rig: manager_rig.Rig, *links: model.LinkId) -> list[model.Counts | None]:
    return [rig.manager.link(one).status.counts for one in links]


def all_ran(runs: int) -> model.Counts:
    return model.Counts(runs=runs, proceeded=runs)


def run_tc(rig: manager_rig.Rig, *words: str) -> str:
    done = subprocess.run(["tc", "-n", rig.network.name, *words], capture_output=True, text=True, check=True)
    return done.stdout


# ---------------------------------------------------------------- verdicts and order


@every_way
@pytest.mark.parametrize(
    ("verdict", "mask", "arrives"),
    [
        pytest.param(PIPE, (), True, id="pipe falls off the end as ok"),
        pytest.param(OK, (), True, id="ok ends the chain"),
        pytest.param(SHOT, (), False, id="shot ends the chain"),
        pytest.param(SHOT, (SHOT,), True, id="shot falls off the end and passes"),
        pytest.param(UNSPEC, (), True, id="unspec ends the chain and leaves it to others"),
        pytest.param(UNSPEC, (UNSPEC,), True, id="unspec falls off the end"),
        pytest.param(4, (), False, id="stolen ends the chain"),
        pytest.param(99, (SHOT, OK), False, id="an unknown verdict ends it as shot"),
        pytest.param(30, (30,), True, id="the dispatcher's own verdict goes on"),
    ],
)
def test_the_last_verdict_decides_what_arrives(
    rig: manager_rig.Rig, way: str, verdict: int, mask: tuple[int, ...], arrives: bool
) -> None:
    first = rig.attach(count(rig), on(rig, 1, way))
    program = count(rig, verdict)
    last = rig.attach(program, on(rig, 2, way, proceed_on=mask))
    assert arrived(rig, way, 3) == (3 if arrives else 0)
    stopped = 0 if verdict in (mask or tc.DEFAULT_PROCEED_ON) else 3
    before, after = counts(rig, first, last)
    assert before == all_ran(3)
    assert after is not None
    assert (after.runs, after.proceeded, sum(after.stopped.values())) == (3, 3 - stopped, stopped)
    assert own(program) == 3
    for link in (first, last):
        rig.detach(link)
    assert arrived(rig, way, 2) == 2
    assert own(program) == 3


@every_way
def test_a_member_behind_the_end_sees_nothing_until_it_is_put_before(rig: manager_rig.Rig, way: str) -> None:
    first = rig.attach(count(rig, SHOT), on(rig, 1, way))
    behind = rig.attach(count(rig), on(rig, 2, way))
    assert arrived(rig, way, 3) == 0
    assert counts(rig, first, behind) == [model.Counts(runs=3, stopped={SHOT: 3}), model.Counts()]
    rig.manager.run(ROOT, model.UpdateLink(link=behind, priority=0))
    assert arrived(rig, way, 2) == 0
    assert counts(rig, first, behind) == [model.Counts(runs=5, stopped={SHOT: 5}), all_ran(2)]
    members = rig.manager.chain(f"tc-{way}", rig.near).record.members
    assert [one.link for one in members] == [behind, first]


def test_the_directions_are_two_chains_behind_one_qdisc(rig: manager_rig.Rig) -> None:
    program = count(rig)
    inward, outward = (rig.attach(program, on(rig, 1, way)) for way in WAYS)
    assert arrived(rig, "ingress", 3) == 3
    assert arrived(rig, "egress", 2) == 2
    assert counts(rig, inward, outward) == [all_ran(3), all_ran(2)]
    assert {one.record.key.type for one in rig.manager.chains()} == {"tc-ingress", "tc-egress"}
    rig.detach(inward)
    assert rig.qdisc() == "clsact"
    rig.detach(outward)
    assert rig.qdisc() == ""


def test_the_same_program_runs_as_tc_and_as_tcx(rig: manager_rig.Rig) -> None:
    """TCX comes first, and what it hands on meets the chain."""
    program = count(rig, UNSPEC)
    under_tcx = rig.attach(program, rig.attachment("on_tcx"))
    under_tc = rig.attach(program, on(rig, 1))
    assert arrived(rig, "ingress", 3) == 3
    assert own(program) == 6
    assert {one.record.id: one.record.hook for one in rig.manager.links(model.LinkFilter())} == {
        under_tcx: "tcx",
        under_tc: "tc",
    }
    assert rig.manager.doctor() == ()


MEMBERS = ("with_static", "with_global", "jumping", "looping", "changing", "looking")


@pytest.mark.guest
@every_way
def test_members_of_every_shape_run_in_one_chain(rig: manager_rig.Rig, way: str) -> None:
    """Inlined, called, with subprograms, a tail call and a callback; what one does to the packet the next one sees."""
    programs, links = [], []
    for number, name in enumerate(MEMBERS):
        operation = model.Load(
            object=bpf_build.build("tc_members").read_bytes(),
            source=model.FileSource(path="tc_members.bpf.o"),
            programs=(model.ProgramSpec(name=name),),
        )
        programs.append(rig.manager.run(ROOT, operation).programs[0])
        links.append(rig.attach(programs[-1], on(rig, number, way)))
    assert arrived(rig, way, 5) == 5
    assert [own(one) for one in programs] == [5] * len(MEMBERS)
    assert counts(rig, *links) == [*[all_ran(5)] * 5, model.Counts(runs=5, stopped={OK: 5})]
    forms = [one.form for one in rig.manager.chain(f"tc-{way}", rig.near).record.members]
    assert model.MemberForm.CALL in forms
    assert model.MemberForm.INLINE in forms


# ---------------------------------------------------------------- exact counts


@every_way
def test_no_packet_is_missed_or_counted_twice_over_50_swaps(rig: manager_rig.Rig, way: str) -> None:
    """Every member hands everything on, so each must have seen exactly what was sent, wherever it stood."""
    programs = [count(rig) for _ in range(3)]
    links = [rig.attach(one, on(rig, 10 * number, way)) for number, one in enumerate(programs)]
    device = rig.network.far if way == "ingress" else rig.network.near
    script = manager_rig.SENDER + "print(-1 - left)"  # it counts down from -1
    words = [*rig.network.enter, sys.executable, "-c", script, device, "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as sender:
        for number in range(50):
            # The first goes to the end: every such change is a swap.
            rig.manager.run(ROOT, model.UpdateLink(link=links[number % 3], priority=100 + number))
            if number == 20:
                rig.manager.run(ROOT, replacement(programs[0]))
        sender.send_signal(signal.SIGTERM)
        sent = int(sender.communicate()[0])
    rig.kernel.settle()
    assert sent > 5_000
    assert counts(rig, *links) == [all_ran(sent)] * 3
    assert [own(one) for one in programs] == [sent] * 3
    assert rig.manager.chain(f"tc-{way}", rig.near).record.revision == 3 + 50 + 1


def replacement(program: model.Program) -> model.ReplaceProgram:
    return model.ReplaceProgram(
        program=program.record.id,
        object=bpf_build.build("tc_count", "ANOTHER").read_bytes(),
        source=model.FileSource(path="tc_count.bpf.o"),
    )


# ---------------------------------------------------------------- other people's filters


CLASSIC = ("protocol", "all", "bpf", "bytecode", "1,6 0 0 0,")
"""A classic filter that matches nothing."""


def foreign(rig: manager_rig.Rig, way: str = "ingress") -> list[str]:
    """What `tc filter show` says of filters that do not bear our pins' name."""
    lines = run_tc(rig, "filter", "show", "dev", rig.network.near, way).splitlines()
    return [line for line in lines if "bytecode" in line]


@pytest.mark.guest
def test_foreign_filters_stay_and_are_told(rig: manager_rig.Rig) -> None:
    near = rig.network.near
    run_tc(rig, "qdisc", "add", "dev", near, "clsact")
    for priority in ("10", "50", "60"):
        run_tc(rig, "filter", "add", "dev", near, "ingress", "prio", priority, *CLASSIC)
    before = foreign(rig)
    assert len(before) == 3
    program = count(rig)
    done = rig.manager.run(ROOT, model.Attach(program=program.record.id, attachment=on(rig, 1)))
    assert [one.split(":")[0] for one in done.warnings] == [
        "a foreign bpf filter at priority 10 is asked before the chain",
        "a foreign bpf filter at priority 50 is asked before the chain",
        "a foreign bpf filter at priority 60 is asked only about packets that the chain ends with unspec",
    ]
    (link,) = done.links
    chain = rig.manager.chain("tc-ingress", rig.near)
    assert chain.record.filter_priority == 51
    assert chain.warnings == done.warnings
    second = rig.attach(count(rig), on(rig, 2))
    assert arrived(rig, "ingress", 3) == 3
    assert counts(rig, link, second) == [all_ran(3)] * 2
    assert foreign(rig) == before
    rig.detach(second)
    rig.detach(link)
    assert foreign(rig) == before
    assert rig.qdisc() == "clsact"


def test_tc_shows_whose_filter_it_is(rig: manager_rig.Rig) -> None:
    rig.attach(count(rig), on(rig, 1, "egress"))
    shown = run_tc(rig, "filter", "show", "dev", rig.network.near, "egress")
    record = rig.manager.chain("tc-egress", rig.near).record
    assert f"pref 50 bpf chain 0 handle 0x1 {rig.pins.chain(record.key)} direct-action" in shown
    assert f"id {record.program_id} " in shown
    assert run_tc(rig, "filter", "show", "dev", rig.network.near, "ingress") == ""


@pytest.mark.guest
def test_an_ingress_qdisc_serves_ingress_and_is_nobodys_to_replace(rig: manager_rig.Rig) -> None:
    run_tc(rig, "qdisc", "add", "dev", rig.network.near, "ingress")
    program = count(rig)
    before = rig.state()
    with pytest.raises(errors.Conflict, match="no egress side") as told:
        rig.attach(program, on(rig, 1, "egress"))
    assert "tcx" in told.value.do
    assert rig.state() == before
    link = rig.attach(program, on(rig, 1))
    assert arrived(rig, "ingress", 3) == 3
    assert counts(rig, link) == [all_ran(3)]
    rig.detach(link)
    assert rig.state() == before
    assert rig.qdisc() == "ingress"


@pytest.mark.guest
def test_the_kernels_own_words_are_told(rig: manager_rig.Rig) -> None:
    """A shared block takes filters by its own number only; the kernel says so, and nothing is left behind."""
    for end in (rig.network.near, rig.network.far):
        run_tc(rig, "qdisc", "add", "dev", end, "ingress_block", "7", "clsact")
    program = count(rig)
    before = rig.state()
    with pytest.raises(errors.SkepError, match="shared"):
        rig.attach(program, on(rig, 1))
    assert rig.state() == before


def test_looking_is_not_told_to_those_who_listen_for_changes(rig: manager_rig.Rig) -> None:
    link = rig.attach(count(rig), on(rig, 1))

    def look() -> bool:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as listener:
            listener.bind((0, 1 << 3))  # RTNLGRP_TC
            listener.setblocking(False)
            rig.manager.links(model.LinkFilter())
            rig.manager.chain("tc-ingress", rig.near)
            rig.manager.doctor()
            with pytest.raises(BlockingIOError):
                listener.recv(1 << 16)
            rig.manager.run(ROOT, model.UpdateLink(link=link, proceed_on=(OK,)))
            return bool(listener.recv(1 << 16))

    assert netns.inside(rig.network.path, look), "a change is told"


# ---------------------------------------------------------------- twice


def test_attached_twice_and_detached_twice(rig: manager_rig.Rig) -> None:
    program = count(rig)
    link = rig.attach(program, on(rig, 1))
    before = rig.state()
    with pytest.raises(errors.AlreadyExists):
        rig.attach(program, on(rig, 2))
    assert rig.state() == before
    rig.detach(link)
    before = rig.state()
    with pytest.raises(errors.NotFound):
        rig.detach(link)
    assert rig.state() == before


# ---------------------------------------------------------------- what goes away


@pytest.mark.guest
@pytest.mark.parametrize("how", ["interface", "qdisc", "filter", "replaced filter"])
def test_a_chain_that_others_end_is_defunct_and_makes_room(rig: manager_rig.Rig, how: str) -> None:
    near = rig.network.near
    programs = [count(rig) for _ in range(2)]
    links = [rig.attach(one, on(rig, number)) for number, one in enumerate(programs)]
    match how:
        case "interface":
            subprocess.run(["ip", "-n", rig.network.name, "link", "del", near], check=True)
        case "qdisc":
            run_tc(rig, "qdisc", "del", "dev", near, "clsact")
        case "filter":
            run_tc(rig, "filter", "del", "dev", near, "ingress", "prio", "50")
        case _:
            run_tc(rig, "filter", "replace", "dev", near, "ingress", "prio", "50", "handle", "1", *CLASSIC)
    for link in links:
        seen = rig.manager.link(link).status
        assert (seen.state, bool(seen.reason)) == (model.LinkState.DEFUNCT, True)
    assert {one.kind for one in rig.manager.doctor()} == {"defunct link"}
    assert rig.manager.chains()[0].state is model.LinkState.DEFUNCT
    with pytest.raises(errors.Conflict, match="no longer runs"):
        rig.manager.run(ROOT, model.UpdateLink(link=links[0], priority=9))
    if how == "interface":
        rig.detach(links[0])
    else:
        fresh = rig.attach(count(rig), on(rig, 1))
        assert arrived(rig, "ingress", 2) == 2
        assert counts(rig, fresh) == [all_ran(2)]
        rig.detach(links[0])
        assert arrived(rig, "ingress", 2) == 2
        assert counts(rig, fresh) == [all_ran(4)]
        rig.detach(fresh)
    rig.detach(links[1])
    assert rig.manager.doctor() == ()
    if how == "replaced filter":
        assert len(foreign(rig)) == 1
        assert rig.qdisc() == "clsact"


def test_a_renamed_interface_keeps_its_chain(rig: manager_rig.Rig) -> None:
    link = rig.attach(count(rig), on(rig, 1))
    ip = ["ip", "-n", rig.network.name, "link", "set"]
    subprocess.run([*ip, rig.network.near, "name", "other"], check=True)
    rig.manager.run(ROOT, model.UpdateLink(link=link, proceed_on=(OK,)))
    assert rig.manager.link(link).status.state is model.LinkState.ATTACHED
    rig.detach(link)
    subprocess.run([*ip, "other", "name", rig.network.near], check=True)
    assert rig.kernel.filters_on(rig.near) == ()
    assert rig.qdisc() == ""


def test_a_namespace_that_lost_its_name_is_found_by_its_number(tmp_path: Path) -> None:
    """A process still lives in it, so the filter still runs: it can be changed and ended."""
    with manager_rig.rig(tmp_path) as rig:
        link = rig.attach(count(rig), on(rig, 1))
        other = rig.attach(count(rig), on(rig, 2))
        with subprocess.Popen([*rig.network.enter, "sleep", "600"]) as inside:
            try:
                wait_inside(inside.pid, rig.network.path)
                ref = model.InterfaceRef(name=rig.network.near, netns=f"/proc/{inside.pid}/ns/net")
                subprocess.run(["ip", "netns", "del", rig.network.name], check=True)
                assert rig.manager.link(link).status.state is model.LinkState.ATTACHED
                rig.detach(other)
                assert len(rig.kernel.filters_on(ref)) == 1
                rig.detach(link)
                assert rig.kernel.filters_on(ref) == ()
            finally:
                inside.send_signal(signal.SIGTERM)
        subprocess.run(["ip", "netns", "add", rig.network.name], check=True)  # another of that name: the rig deletes it


def wait_inside(pid: int, path: str) -> None:
    """nsenter changes the namespace before it becomes ``sleep``: wait for the change."""
    while os.stat(f"/proc/{pid}/ns/net").st_ino != os.stat(path).st_ino:
        os.sched_yield()


def test_a_namespace_whose_name_means_another_is_left_alone(rig: manager_rig.Rig) -> None:
    link = rig.attach(count(rig), on(rig, 1))
    subprocess.run(["ip", "netns", "del", rig.network.name], check=True)
    subprocess.run(["ip", "netns", "add", rig.network.name], check=True)
    words = ["link", "add", rig.network.near, "type", "veth", "peer", "name", rig.network.far]
    subprocess.run(["ip", "-n", rig.network.name, *words], check=True)
    run_tc(rig, "qdisc", "add", "dev", rig.network.near, "clsact")
    assert rig.manager.link(link).status.state is model.LinkState.DEFUNCT
    rig.detach(link)
    assert rig.qdisc() == "clsact"


# ---------------------------------------------------------------- lost store, lost pins


def test_a_lost_store_is_rebuilt_and_the_chain_can_change_and_end(rig: manager_rig.Rig) -> None:
    programs = [count(rig) for _ in range(2)]
    for number, one in enumerate(programs):
        rig.attach(one, on(rig, number))
    rig.store.close()
    for part in ("", "-wal", "-shm"):
        rig.database.with_name(rig.database.name + part).unlink(missing_ok=True)
    rig.restart()
    record = next(one for one in rig.manager.doctor() if one.subject.endswith("/filter"))
    rig.manager.run(ROOT, model.Adopt(pin=record.subject))
    assert rig.manager.doctor() == ()
    first, second = (one.record.id for one in rig.manager.links(model.LinkFilter()))
    rig.manager.run(ROOT, model.UpdateLink(link=first, priority=99))
    assert arrived(rig, "ingress", 3) == 3
    assert [one.runs for one in counts(rig, first, second) if one] == [3, 3]
    rig.detach(first)
    rig.detach(second)
    assert rig.kernel.filters_on(rig.near) == ()
    assert rig.qdisc() == ""


def test_a_filter_outlives_its_pins_and_the_doctor_finds_it(rig: manager_rig.Rig) -> None:
    program = count(rig)
    rig.attach(program, on(rig, 1))
    instance.remove_pins(str(rig.pins.directory("chains")))
    found = next(one for one in rig.manager.doctor() if one.kind == "unknown filter")
    assert f"on {rig.network.near} ingress" in found.subject
    command = found.remedy.split("'")[1]
    assert arrived(rig, "ingress", 2) == 2
    assert own(program) == 2
    subprocess.run(command.split(), check=True)
    assert rig.kernel.filters_on(rig.near) == ()
    assert [one.kind for one in rig.manager.doctor()] == ["defunct link"]


def test_a_note_that_cannot_be_read_stops_nothing(rig: manager_rig.Rig) -> None:
    program = count(rig)
    link = rig.attach(program, on(rig, 1))
    rig.kernel.alias(rig.manager.chain("tc-ingress", rig.near).record.link_pin, "not a note")
    assert rig.manager.link(link).status.state is model.LinkState.DEFUNCT
    found = {one.kind: one.remedy for one in rig.manager.doctor()}
    assert set(found) == {"defunct link", "unknown filter"}
    with pytest.raises(errors.Conflict):
        rig.manager.run(ROOT, model.UpdateLink(link=link, priority=9))
    rig.detach(link)
    subprocess.run(found["unknown filter"].split("'")[1].split(), check=True)
    assert rig.kernel.filters_on(rig.near) == ()
    rig.unload(program)
    assert rig.manager.doctor() == ()


def test_nothing_but_a_note_is_taken_for_a_filter(rig: manager_rig.Rig) -> None:
    assert isinstance(rig.kernel, linux.Linux)
    assert filters.is_noted(rig.kernel._pins, model.LinkPin("/x/chains/tc-ingress-1-2/filter"))
    assert not filters.is_noted(rig.kernel._pins, model.LinkPin("/x/sets/1/a_filter"))
