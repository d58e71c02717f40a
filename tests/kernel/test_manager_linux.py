"""The Manager on this machine's kernel: every type, changes under traffic, kill -9 anywhere, reboot, lost store."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from skep import errors, manager, model
from skep.hooks import xdp
from tests import instance
from tests.kernel import manager_rig
from tests.kernel.manager_rig import ROOT

pytestmark = pytest.mark.slow
TYPES = ("on_xdp", "on_tc", "on_tcx", "on_tracepoint", "on_uprobe", "on_uretprobe")
MANAGED = model.ProgramFilter(managed_only=True)


@pytest.fixture
def rig(tmp_path):
    with manager_rig.rig(tmp_path) as made:
        yield made


@pytest.mark.guest
@pytest.mark.parametrize("name", TYPES)
def test_load_attach_run_detach_unload(rig, name):
    empty = rig.state()
    (program,) = rig.load(name)
    assert rig.manager.program(program.record.id).status.kernel.tag == program.record.tag
    rig.trigger(name)
    assert rig.runs(program) == 0
    link = rig.attach(program, rig.attachment(name))
    rig.trigger(name)
    assert rig.runs(program) >= 1
    seen = rig.manager.link(link)
    assert (seen.status.state, seen.status.pin_present) == (model.LinkState.ATTACHED, True)
    assert rig.manager.doctor() == ()
    rig.detach(link)
    ran = rig.runs(program)  # until now others on this host may have triggered it too
    rig.trigger(name)
    assert rig.runs(program) == ran
    rig.unload(program)
    assert rig.state() == empty
    assert rig.kernel.program_by_id(program.record.id) is None


@pytest.mark.parametrize("name", TYPES)
def test_when_detach_returns_the_same_program_can_be_attached_again(rig, name):
    (program,) = rig.load(name)
    for _ in range(100):
        rig.detach(rig.attach(program, rig.attachment(name)))
    ran = rig.runs(program)  # not always 0: a tracepoint also sees what others on this host do meanwhile
    rig.trigger(name)
    assert rig.runs(program) == ran


def test_totals_equal_the_members_own_counters_over_200_changes_under_traffic(rig):
    """Three members stay and change places and masks, one comes and goes; each counts in a map of its own too."""
    chance = random.Random(7)
    members = [rig.load("on_xdp", verdict=verdict)[0] for verdict in (2, 1, 0)]
    links = [rig.attach(one, rig.attachment("on_xdp", priority=10 * n)) for n, one in enumerate(members)]
    (guest,) = rig.load("on_xdp")
    present: list[model.LinkId] = []
    with rig.traffic():
        for number in range(200):
            if number % 4 == 3:
                if present:
                    rig.detach(present.pop())
                else:
                    present.append(rig.attach(guest, rig.attachment("on_xdp", priority=chance.randrange(40))))
                continue
            change = model.UpdateLink(
                link=chance.choice(links),
                priority=chance.randrange(40),
                proceed_on=tuple(sorted(chance.sample((0, 1, 2), k=chance.randrange(1, 4)))),
            )
            rig.manager.run(ROOT, change)
    rig.kernel.settle()
    told = {one.record.id: one.status.counts for one in rig.manager.links(model.LinkFilter())}
    own = [rig.runs(one) for one in members]
    assert [told[link].runs for link in links] == own
    assert sum(own) > 1000
    for link in links:
        assert told[link].runs == told[link].proceeded + sum(told[link].stopped.values())
    assert rig.manager.chain("xdp", rig.near).record.revision > 150


def test_counts_read_under_traffic_and_changes_never_fall(rig):
    members = [rig.load("on_xdp")[0] for _ in range(2)]
    links = [rig.attach(one, rig.attachment("on_xdp", priority=10)) for one in members]
    fell: list[object] = []
    changing = [True]

    def read() -> None:
        last = [0, 0]
        while changing[0]:
            seen = rig.manager.chain("xdp", rig.near)
            now = dict(zip((one.link for one in seen.record.members), (one.runs for one in seen.counts), strict=True))
            for number, link in enumerate(links):
                if now[link] < last[number]:
                    fell.append((last[number], now[link]))
                last[number] = now[link]

    def change() -> None:
        try:
            for number in range(60):
                rig.manager.run(ROOT, model.UpdateLink(link=links[number % 2], priority=number % 3))
        finally:
            changing[0] = False

    with rig.traffic():
        manager_rig.in_threads(read, change)
    # Between swap and commit the new revision's packets are not told yet, so a number may stand still, never fall.
    assert fell == []


def test_links_are_listed_while_others_come_and_go(rig):
    """The kernel answers EAGAIN for a link that is being made; that is nobody's failure."""
    (stays,) = rig.load("on_tcx")
    link = rig.attach(stays, rig.attachment("on_tcx"))
    (moves,) = rig.load("on_tracepoint")
    changing = [True]

    def read() -> None:
        while changing[0]:
            states = {one.record.id: one.status.state for one in rig.manager.links(model.LinkFilter())}
            assert states[link] is model.LinkState.ATTACHED

    def change() -> None:
        try:
            for _ in range(40):
                rig.detach(rig.attach(moves, rig.attachment("on_tracepoint")))
        finally:
            changing[0] = False

    manager_rig.in_threads(read, read, change)


def test_loads_at_once_all_succeed(rig):
    def load_and_unload() -> None:
        for _ in range(5):
            rig.unload(rig.load("on_xdp")[0])

    empty = rig.state()
    manager_rig.in_threads(load_and_unload, load_and_unload, load_and_unload)
    assert rig.state() == empty


# ---------------------------------------------------------------- killed

VERBS: dict[str, Callable[[Any], model.Operation]] = {
    "load": lambda w: manager_rig.load("on_xdp", "on_tcx"),
    "attach-xdp-first": lambda w: model.Attach(program=w.spare.record.id, attachment=w.rig.attachment("on_xdp")),
    "attach-xdp-next": lambda w: model.Attach(program=w.spare.record.id, attachment=w.rig.attachment("on_xdp")),
    "attach-tc-first": lambda w: model.Attach(program=w.tc.record.id, attachment=w.rig.attachment("on_tc")),
    "attach-tc-next": lambda w: model.Attach(program=w.tc.record.id, attachment=w.rig.attachment("on_tc")),
    "update-tc": lambda w: model.UpdateLink(link=w.links["tc"], priority=3, proceed_on=(1,)),
    "detach-tc-last": lambda w: model.Detach(link=w.links["tc"]),
    "detach-tc-one-of-two": lambda w: model.Detach(link=w.links["tc"]),
    "replace-tc": lambda w: replace(w.first_tc),
    "attach-tcx": lambda w: model.Attach(program=w.tcx.record.id, attachment=w.rig.attachment("on_tcx")),
    "attach-tracepoint": lambda w: model.Attach(
        program=w.tracepoint.record.id, attachment=w.rig.attachment("on_tracepoint")
    ),
    "attach-uprobe": lambda w: model.Attach(program=w.uprobe.record.id, attachment=w.rig.attachment("on_uprobe")),
    "update-xdp": lambda w: model.UpdateLink(link=w.links["xdp"], priority=3, proceed_on=(1,)),
    "update-tcx": lambda w: model.UpdateLink(link=w.links["tcx"], priority=90),
    "detach-xdp-last": lambda w: model.Detach(link=w.links["xdp"]),
    "detach-xdp-one-of-two": lambda w: model.Detach(link=w.links["xdp"]),
    "detach-tcx": lambda w: model.Detach(link=w.links["tcx"]),
    "detach-tracepoint": lambda w: model.Detach(link=w.links["tracepoint"]),
    "replace-xdp": lambda w: replace(w.first),
    "replace-xdp-on-two": lambda w: replace(w.first),
    "replace-tracepoint": lambda w: replace(w.tracepoint),
    "replace-tcx": lambda w: replace(w.tcx),
    "replace-unattached": lambda w: replace(w.spare),
    "unload": lambda w: model.Unload(program=w.spare.record.id),
    "unload-attached": lambda w: model.Unload(program=w.first.record.id),
}


def replace(program: model.Program) -> model.ReplaceProgram:
    load = manager_rig.load(program.record.name, verdict=1)
    return model.ReplaceProgram(
        program=program.record.id, object=load.object, source=load.source, global_data=load.global_data
    )


@dataclasses.dataclass
class World:
    """What is there before the verb: programs of three types, and the links the verb's name asks for."""

    rig: manager_rig.Rig
    verb: str

    def __post_init__(self) -> None:
        self.first = self.rig.load("on_xdp")[0]
        self.spare = self.rig.load("on_xdp")[0]
        self.tc = self.rig.load("on_tc")[0]
        self.first_tc = self.rig.load("on_tc")[0]
        self.tcx = self.rig.load("on_tcx")[0]
        self.tracepoint = self.rig.load("on_tracepoint")[0]
        self.uprobe = self.rig.load("on_uprobe")[0]
        self.links: dict[str, model.LinkId] = {}
        if self.verb.startswith(("attach-xdp-next", "detach-xdp", "update-xdp", "replace-xdp", "unload-attached")):
            self.links["xdp"] = self.rig.attach(self.first, self.rig.attachment("on_xdp", priority=5))
        if self.verb == "replace-xdp-on-two":
            far = model.InterfaceRef(name=self.rig.network.far, netns=self.rig.network.path)
            self.links["far"] = self.rig.attach(self.first, xdp.XdpAttachment(interface=far, priority=5))
        if self.verb in ("attach-tc-next", "update-tc", "detach-tc-last", "detach-tc-one-of-two", "replace-tc"):
            self.links["tc"] = self.rig.attach(self.first_tc, self.rig.attachment("on_tc", priority=5))
        if self.verb in ("detach-tc-one-of-two", "update-tc"):
            self.links["spare"] = self.rig.attach(self.tc, self.rig.attachment("on_tc", priority=6))
        if self.verb in ("detach-tracepoint", "replace-tracepoint"):
            self.links["tracepoint"] = self.rig.attach(self.tracepoint, self.rig.attachment("on_tracepoint"))
        if self.verb in ("detach-xdp-one-of-two", "update-xdp", "replace-xdp"):
            self.links["spare"] = self.rig.attach(self.spare, self.rig.attachment("on_xdp", priority=6))
        if self.verb in ("update-tcx", "detach-tcx", "replace-tcx"):
            self.links["tcx"] = self.rig.attach(self.tcx, self.rig.attachment("on_tcx", priority=10))
        if self.verb == "update-tcx":
            other = self.rig.load("on_tcx")[0]
            self.links["other"] = self.rig.attach(other, self.rig.attachment("on_tcx", priority=20))


@pytest.mark.parametrize("verb", VERBS)
def test_kill_9_at_every_point_ends_before_or_after(tmp_path, verb):
    """Each run is killed one point later than the one before, until one ends by itself: that one shows the end."""
    ends = []
    for point in itertools.count():
        with manager_rig.rig(tmp_path / str(point)) as rig:
            world = World(rig, verb)
            if world.links.get("xdp") or world.links.get("tc"):
                rig.send(5)
            before, runs = rig.state(), runs_of(rig)
            status, passed = rig.killed(VERBS[verb](world), point)
            rig.restart()
            after = rig.state()
            where = f"killed at {passed[-1]!r}"
            assert after[-1] == (), where
            assert rig.manager.doctor() == (), where
            ends.append("before" if after == before else "after")
            if ends[-1] == "before":
                assert runs_of(rig) == runs, where
            else:
                assert shape(after) == shape_of_end(tmp_path, verb), where
            if status == 0:
                break
            assert status == -9, where
    assert ends[0] == "before"
    assert ends[-1] == "after"
    assert ends == sorted(ends, reverse=True), "once past the commit, always past it"
    assert len(ends) > 4


def in_kernel(rig: manager_rig.Rig) -> object:
    """What is pinned and attached, but for what the notes say: the lost object's digest is struck out of them."""
    pins, hooks, *_ = rig.state()
    assert isinstance(pins, dict)
    return {pin: "/notes/" not in pin and what for pin, what in pins.items()}, hooks


def runs_of(rig: manager_rig.Rig) -> dict[model.LinkId, model.Counts | None]:
    return {one.record.id: one.status.counts for one in rig.manager.links(model.LinkFilter())}


def shape(state) -> object:
    """A state without the numbers that differ from run to run."""
    pinned, hooks, programs, links, chains, pending = state
    kinds = sorted(pin.split("/")[5].split("_")[0] for pin in pinned)
    return (
        kinds,
        tuple(len(hook) for hook in hooks),
        sorted((one.name, one.generation) for one in programs.values()),
        sorted((one.hook, one.priority or 0, one.pins != ()) for one in links.values()),
        [tuple((one.name, one.priority, one.proceed_on) for one in chain.members) for chain in chains.values()],
        pending,
    )


_ENDS: dict[str, object] = {}


def shape_of_end(tmp_path, verb: str) -> object:
    """How the world looks after the verb when nobody kills anything."""
    if verb not in _ENDS:
        with manager_rig.rig(tmp_path / f"{verb}-undisturbed") as rig:
            world = World(rig, verb)
            rig.manager.run(ROOT, VERBS[verb](world))
            _ENDS[verb] = shape(rig.state())
    return _ENDS[verb]


def test_kill_9_under_traffic_loses_and_doubles_no_count(rig):
    """Packets that a revision counted before it was taken back belong to its members all the same."""
    members = [rig.load("on_xdp", verdict=verdict)[0] for verdict in (2, 1)]
    links = [rig.attach(one, rig.attachment("on_xdp", priority=10 * n)) for n, one in enumerate(members)]
    status, point, outcomes = -9, 0, set()
    while status == -9:
        revision = rig.manager.chain("xdp", rig.near).record.revision
        with rig.traffic():
            rig.send(10)
            change = model.UpdateLink(link=links[point % 2], proceed_on=((2,), (1, 2))[point // 2 % 2], priority=point)
            status, _ = rig.killed(change, point)
            rig.send(10)
            rig.restart()
        rig.kernel.settle()
        seen = rig.manager.chain("xdp", rig.near)
        outcomes.add(seen.record.revision - revision)
        told = {one.link: counts.runs for one, counts in zip(seen.record.members, seen.counts, strict=True)}
        assert [told[link] for link in links] == [rig.runs(one) for one in members], point
        point += 1
    assert status == 0
    assert outcomes == {0, 1}


# ---------------------------------------------------------------- reboot, lost store, full disk


class Rebooted:
    """The kernel's answers, but for its boot id: as after a reboot that the test cannot do."""

    def __init__(self, kernel: object) -> None:
        self._kernel = kernel

    def boot(self) -> model.Boot:
        return model.Boot(boot_id="another boot", release=os.uname().release)

    def __getattr__(self, name: str) -> object:
        return getattr(self._kernel, name)


def test_after_a_reboot_nothing_stale_is_taken_for_ours(rig):
    (program,) = rig.load("on_xdp")
    rig.attach(program, rig.attachment("on_xdp"))
    (other,) = rig.load("on_tracepoint")
    rig.attach(other, rig.attachment("on_tracepoint"))
    instance.remove_pins(rig.pins.root)
    rig.kernel = Rebooted(rig.kernel)
    rig.restart()
    assert rig.manager.programs(MANAGED) == ()
    assert rig.manager.links(model.LinkFilter()) == ()
    assert rig.manager.chains() == ()
    assert {one.kind for one in rig.manager.doctor()} == {"program of an earlier boot"}
    (again,) = rig.load("on_xdp")
    assert again.record.key not in (program.record.key, other.record.key)
    link = rig.attach(again, rig.attachment("on_xdp"))
    rig.send(3)
    assert rig.manager.link(link).status.counts == model.Counts(runs=3, proceeded=3)
    assert [one.subject for one in rig.manager.doctor()] == [f"program {other.record.id} (on_tracepoint)"]
    rig.manager.run(ROOT, model.Unload(program=other.record.id))
    assert rig.manager.doctor() == ()


def test_a_lost_store_removes_no_pin_and_is_rebuilt_by_adoption(rig):
    program = rig.load("on_xdp")[0]
    other = rig.load("on_tracepoint")[0]
    rig.attach(program, rig.attachment("on_xdp"))
    rig.attach(other, rig.attachment("on_tracepoint"))
    pinned = rig.state()[:2]
    rig.store.close()
    for part in ("", "-wal", "-shm"):
        rig.database.with_name(rig.database.name + part).unlink(missing_ok=True)
    rig.restart()
    assert rig.state()[:2] == pinned
    assert rig.manager.programs(MANAGED) == ()
    rounds = 0
    while adoptable := [one for one in rig.manager.doctor() if one.adoptable]:
        rounds += 1
        assert rounds < 10, adoptable
        adopted = 0
        for one in adoptable:
            try:
                rig.manager.run(ROOT, model.Adopt(pin=one.subject))
                adopted += 1
            except (errors.Conflict, errors.NotFound):
                continue  # a link's program must be adopted first
        assert adopted, adoptable
    assert {one.record.id for one in rig.manager.programs(MANAGED)} == {program.record.id, other.record.id}
    ran = rig.runs(program)
    rig.send(3)
    assert rig.runs(program) == ran + 3
    for link in rig.manager.links(model.LinkFilter()):
        rig.detach(link.record.id)
    for one in rig.manager.programs(MANAGED):
        rig.unload(one)
    assert rig.manager.doctor() == ()
    assert rig.kernel.program_by_id(program.record.id) is None
    assert rig.kernel.xdp_on(rig.near) == ()


def test_kill_9_while_adopting_ends_before_or_after(tmp_path):
    ends = []
    for point in itertools.count():
        with manager_rig.rig(tmp_path / str(point)) as rig:
            program = rig.load("on_xdp")[0]
            other = rig.load("on_tracepoint")[0]
            rig.attach(program, rig.attachment("on_xdp"))
            rig.attach(other, rig.attachment("on_tracepoint"))
            whole, pinned = shape(rig.state()), in_kernel(rig)
            rig.store.close()
            for part in ("", "-wal", "-shm"):
                rig.database.with_name(rig.database.name + part).unlink(missing_ok=True)
            rig.restart()
            status, passed = rig.killed(model.Adopt(pin=rig.pins.root), point)
            rig.restart()
            assert in_kernel(rig) == pinned, passed[-1]
            found = rig.manager.programs(MANAGED)
            ends.append("after" if found else "before")
            if found:
                assert shape(rig.state()) == whole, passed[-1]
                assert rig.manager.doctor() == (), passed[-1]
            else:
                assert [one for one in rig.manager.doctor() if one.adoptable], passed[-1]
            if status == 0:
                break
            assert status == -9, passed[-1]
    assert (ends[0], ends[-1]) == ("before", "after")
    assert ends == sorted(ends, reverse=True)


def test_a_manager_is_not_needed_for_what_it_has_set_up(rig):
    """Nothing ends with the process: no descriptor is held."""
    (program,) = rig.load("on_xdp")
    link = rig.attach(program, rig.attachment("on_xdp"))
    held = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            held.append(os.readlink(f"/proc/self/fd/{fd}"))
    assert [one for one in held if "bpf" in one] == []
    rig.manager = manager.Manager(rig.kernel, rig.store, rig.pins)
    rig.send(2)
    assert rig.manager.link(link).status.counts.runs == 2
