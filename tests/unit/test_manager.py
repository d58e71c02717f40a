"""The Manager on a fake kernel and a real store: what callers get, and what is left after things go wrong."""

from __future__ import annotations

import logging
import threading

import pytest

from skep import errors, manager, model, paths, policy, store
from skep.hooks import tcx, tracepoint, xdp
from tests import bpf_build, fake_kernel

ROOT = model.Caller(uid=0, gid=0, pid=1)
USER = model.Caller(uid=1000, gid=100, pid=7, groups=(27,))
ETH0 = model.InterfaceRef(name="eth0")
PINS = paths.Pins(fake_kernel.ROOT)
ALL = model.ProgramFilter()
OBJECT = bpf_build.build("every_type").read_bytes()


class Bed:
    """A fake kernel, a store and the manager over them."""

    def __init__(self, path, **options):
        self.path = path
        self.kernel = fake_kernel.FakeKernel()
        self.store = store.Store(path)
        self.options = options
        self.manager = self.make()
        self.manager.sweep()

    def make(self, **options):
        return manager.Manager(self.kernel, self.store, PINS, **{"clock": lambda: 1.0, **self.options, **options})

    def restart(self, **options):
        """As a new process would find it."""
        self.store.close()
        self.store = store.Store(self.path)
        self.manager = self.make(**options)
        return self.manager.sweep()

    def load(self, *names, **fields):
        op = model.Load(
            object=OBJECT,
            source=model.FileSource(path="/x/kinds.o"),
            programs=tuple(model.ProgramSpec(name=name) for name in names),
            **fields,
        )
        done = self.manager.run(ROOT, op)
        return done.programs

    def attach(self, program, attachment=None, **fields):
        attachment = attachment or xdp.XdpAttachment(interface=ETH0, priority=fields.pop("priority", 50))
        op = model.Attach(program=program.record.id, attachment=attachment, **fields)
        (link,) = self.manager.run(ROOT, op).links
        return link

    def state(self):
        """Kernel and records, for comparing before and after."""
        records = self.store.snapshot()
        return self.kernel.snapshot(), records.programs, records.links, records.chains, self.store.pending()


@pytest.fixture
def bed(tmp_path):
    one = Bed(tmp_path / "skep.db")
    yield one
    one.store.close()


# ---------------------------------------------------------------- programs


def test_a_loaded_program_is_told_with_its_ids_and_paths(bed):
    (program,) = bed.load("on_xdp", metadata={"owner": "me"})
    assert program.status == model.ProgramStatus(kernel=bed.kernel.program_by_id(program.record.id), pin_present=True)
    assert program.used_by == (program.record.id,)
    assert program.map_dir == f"{PINS.root}/maps/{program.record.id}"
    assert program.record.loaded_by == ROOT
    assert bed.manager.program(program.record.id) == program
    assert bed.manager.programs(ALL) == (program,)


def test_programs_of_one_load_share_their_maps(bed):
    one, two = bed.load("on_xdp", "on_tcx")
    assert one.used_by == two.used_by == (one.record.id, two.record.id)
    (third,) = bed.load("on_xdp", map_owner=one.record.id)
    assert third.used_by == (one.record.id, two.record.id, third.record.id)
    assert third.map_dir == f"{PINS.root}/maps/{one.record.id}"


def test_lists_join_ours_with_those_of_others(bed):
    foreign = bed.kernel.foreign_xdp("eth1")
    (ours,) = bed.load("on_xdp", metadata={"a": "b"})
    link = bed.attach(ours)
    chain = bed.manager.chain("xdp", ETH0)
    listed = bed.manager.programs(ALL)
    assert [type(one) for one in listed] == [model.ForeignProgram, model.Program, model.ForeignProgram]
    assert [one.kernel.id for one in listed if isinstance(one, model.ForeignProgram)] == [
        foreign,
        chain.record.program_id,
    ]
    assert [one.chain for one in listed if isinstance(one, model.ForeignProgram)] == ["", str(chain.record.key)]
    assert listed[1].links == (link,)
    only = [
        model.ProgramFilter(managed_only=True),
        model.ProgramFilter(metadata={"a": "b"}),
        model.ProgramFilter(hooks=(model.HookName("xdp"),)),
    ]
    assert [bed.manager.programs(one) for one in only] == [(listed[1],)] * 3
    assert bed.manager.programs(model.ProgramFilter(metadata={"a": "c"})) == ()
    assert bed.manager.programs(model.ProgramFilter(prog_type=3)) == ()
    assert bed.manager.programs(model.ProgramFilter(prog_type=6)) == listed
    assert bed.manager.program(foreign) == listed[0]


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda m: m.program(model.ProgramId(4711)), id="program"),
        pytest.param(lambda m: m.link(model.LinkId(4711)), id="link"),
        pytest.param(lambda m: m.map(model.MapId(4711)), id="map"),
        pytest.param(lambda m: m.chain("xdp", ETH0), id="chain"),
        pytest.param(lambda m: m.chain("xdp", model.InterfaceRef(name="eth9")), id="interface"),
        pytest.param(lambda m: m.run(ROOT, model.Unload(program=model.ProgramId(4711))), id="unload"),
        pytest.param(lambda m: m.run(ROOT, model.Detach(link=model.LinkId(4711))), id="detach"),
    ],
)
def test_what_is_not_there_is_not_found(bed, ask):
    with pytest.raises(errors.NotFound):
        ask(bed.manager)


def test_maps_are_told_with_their_users_and_pins(bed):
    one, two = bed.load("on_xdp", "on_tcx")
    used = [view for view in bed.manager.maps() if view.programs]
    assert {view.programs for view in used} == {(one.record.id, two.record.id)}
    runs = next(view for view in used if view.kernel.name == "runs")
    assert runs.pins == (PINS.map(one.record.set, "runs"),)
    assert bed.manager.map(runs.kernel.id) == runs


# ---------------------------------------------------------------- links and chains


def test_a_chain_counts_over_its_revisions(bed):
    first, second = bed.load("on_xdp")[0], bed.load("on_xdp")[0]
    low = bed.attach(first, priority=10)
    bed.kernel.packets("eth0", 5, member=None, code=0)
    bed.kernel.packets("eth0", 2, member=0, code=1)
    high = bed.attach(second, priority=20)
    bed.kernel.packets("eth0", 3, member=1, code=1)
    bed.kernel.packets("eth0", 4, member=0, code=0)
    seen = bed.manager.chain("xdp", ETH0)
    assert [one.link for one in seen.record.members] == [low, high]
    assert seen.packets == 7
    assert seen.counts == (
        model.Counts(runs=14, proceeded=8, stopped={0: 4, 1: 2}),
        model.Counts(runs=3, proceeded=0, stopped={1: 3}),
    )
    assert bed.manager.chains() == (seen,)
    told = bed.manager.links(model.LinkFilter())
    assert [one.status.counts for one in told] == list(seen.counts)
    assert [one.status.position for one in told] == [0, 1]
    assert [one.program_name for one in told] == ["on_xdp", "on_xdp"]
    bed.manager.run(ROOT, model.UpdateLink(link=high, priority=5))
    assert bed.manager.chain("xdp", ETH0).counts == (seen.counts[1], seen.counts[0])


def test_a_chain_that_changes_while_it_is_read_is_read_again(bed):
    """Otherwise a packet of the old revision would be counted twice, or not at all."""
    first, second = bed.load("on_xdp")[0], bed.load("on_xdp")[0]
    bed.attach(first, priority=10)
    bed.kernel.packets("eth0", 5, member=0, code=1)
    read = bed.kernel.read_counts
    changed: list[bool] = []

    class Meddling(fake_kernel.FakeKernel):
        def __init__(self, real):
            self.__dict__.update(real.__dict__)

        def read_counts(self, counts):
            found = read(counts)
            if not changed:
                changed.append(True)
                bed.attach(second, priority=20)
            return found

    # The change in between goes through a manager of its own: one that shares kernel and store.
    looking = manager.Manager(Meddling(bed.kernel), bed.store, PINS)
    assert looking.chain("xdp", ETH0).counts[0] == model.Counts(runs=5, stopped={1: 5})
    assert changed


@pytest.mark.parametrize(
    "modes, taken",
    [
        pytest.param((model.XdpMode.DRV, model.XdpMode.SKB), model.XdpMode.SKB, id="with-fallback"),
        pytest.param((model.XdpMode.DRV,), None, id="without"),
        pytest.param((model.XdpMode.SKB,), model.XdpMode.SKB, id="generic-wanted"),
    ],
)
def test_the_configured_modes_are_tried_in_order(bed, modes, taken):
    bed.kernel.native = False
    bed.manager = bed.make(xdp_modes=lambda interface: modes)
    (program,) = bed.load("on_xdp")
    if taken is None:
        with pytest.raises(errors.Unsupported):
            bed.attach(program)
        return
    record = bed.manager.link(bed.attach(program)).record
    assert (record.mode, record.fallback != "") == (taken, modes[0] is not taken)


def test_tcx_tells_who_else_is_there(bed):
    (program,) = bed.load("on_tcx")
    bed.kernel.foreign_tcx("eth0", 46, at=0)
    attachment = tcx.TcxAttachment(interface=ETH0, direction=tcx.Direction.INGRESS, priority=5)
    link = bed.attach(program, attachment)
    bed.kernel.foreign_tcx("eth0", 46, at=0)
    chain = bed.manager.chain("tcx-ingress", ETH0)
    names = [one.name for one in chain.record.members]
    assert sorted(names) == ["foreign", "foreign", "on_tcx"]
    assert [one.link for one in chain.record.members if one.name == "on_tcx"] == [link]
    assert len(chain.warnings) == 2
    assert bed.manager.link(link).status.position == names.index("on_tcx")
    assert bed.manager.chain("tcx-egress", ETH0).record.members == ()
    with pytest.raises(errors.InvalidRequest, match="tcx-ingress"):
        bed.manager.chain("tc", ETH0)


def test_links_are_listed_by_program_type_and_metadata(bed):
    (one,) = bed.load("on_xdp", metadata={"app": "one"})
    (two,) = bed.load("on_tracepoint")
    first = bed.attach(one, metadata={"mine": "x"})
    second = bed.attach(two, tracepoint.TracepointAttachment(group="sched", name="sched_switch"))
    cases = {
        model.LinkFilter: [first, second],
        lambda: model.LinkFilter(program_id=one.record.id): [first],
        lambda: model.LinkFilter(hooks=(model.HookName("tracepoint"),)): [second],
        lambda: model.LinkFilter(metadata={"app": "one"}): [first],
        lambda: model.LinkFilter(metadata={"mine": "x"}): [],
    }
    for make, wanted in cases.items():
        assert [link.record.id for link in bed.manager.links(make())] == wanted


def test_a_deleted_interface_makes_its_links_defunct(bed):
    (program,) = bed.load("on_xdp")
    link = bed.attach(program)
    assert bed.manager.link(link).status.state is model.LinkState.ATTACHED
    bed.kernel.delete_interface("eth0")
    told = bed.manager.link(link).status
    assert (told.state, told.reason != "") == (model.LinkState.DEFUNCT, True)
    assert [one.kind for one in bed.manager.doctor()] == ["defunct link"]
    bed.manager.run(ROOT, model.Detach(link=link))
    assert bed.manager.doctor() == ()


def test_a_dead_chain_makes_room_for_a_new_interface_with_its_numbers(bed):
    """A new network namespace gets the number of one that is gone, and its first interface the same index."""
    (old,), (new,) = bed.load("on_xdp"), bed.load("on_xdp")
    first = bed.attach(old)
    number = bed.kernel.interfaces[None, "eth0"].ifindex
    bed.kernel.delete_interface("eth0")
    bed.kernel.add_interface("eth0", ifindex=number)
    again = model.Attach(program=new.record.id, attachment=xdp.XdpAttachment(interface=ETH0, priority=5))
    warned = bed.manager.preview(ROOT, again).warnings
    done = bed.manager.run(ROOT, again)
    assert done.warnings == warned
    assert f"detached: {first}" in done.warnings[0]
    (link,) = done.links
    states = {one.record.id: one.status.state for one in bed.manager.links(model.LinkFilter())}
    assert states == {first: model.LinkState.DEFUNCT, link: model.LinkState.ATTACHED}
    bed.manager.run(ROOT, model.Detach(link=first))
    assert bed.manager.link(link).status.state is model.LinkState.ATTACHED
    assert bed.manager.doctor() == ()


# ---------------------------------------------------------------- reboot, loss, doctor


def test_after_a_reboot_reused_ids_are_not_mistaken_for_ours(bed):
    (program,) = bed.load("on_xdp")
    link = bed.attach(program)
    bed.kernel.reboot()
    bed.kernel.reuse_ids(program.record.id)
    foreign = bed.kernel.foreign_xdp("eth1")
    assert foreign == program.record.id
    bed.restart()
    assert bed.manager.programs(ALL) == (model.ForeignProgram(kernel=bed.kernel.program_by_id(foreign)),)
    assert isinstance(bed.manager.program(foreign), model.ForeignProgram)
    assert bed.manager.links(model.LinkFilter()) == ()
    assert bed.manager.chains() == ()
    assert bed.manager.link(link).status.state is model.LinkState.DEFUNCT
    assert [one.kind for one in bed.manager.doctor()] == ["program of an earlier boot"]
    bed.manager.run(ROOT, model.Unload(program=program.record.id))
    assert bed.kernel.program_by_id(foreign) is not None
    assert (bed.manager.doctor(), bed.store.snapshot().links) == ((), {})


def test_a_stale_program_gives_way_when_the_same_is_loaded_again(bed):
    (old,) = bed.load("on_xdp")
    bed.load("on_tcx")
    bed.attach(old)
    bed.kernel.reboot()
    bed.restart()
    (new,) = bed.load("on_xdp")
    assert sorted(one.key for one in bed.store.snapshot().programs.values()) == [2, new.record.key]
    link = bed.attach(new)
    assert [one.record.id for one in bed.manager.links(model.LinkFilter())] == [link]


def test_what_an_application_had_before_a_reboot_gives_way_to_its_other_code(bed):
    mine = {"skep/applied": "ClusterBpfApplication/counter"}
    (old,) = bed.load("on_xdp", metadata=mine)
    (other,) = bed.load("on_xdp", metadata={"skep/applied": "ClusterBpfApplication/other"})
    bed.attach(old)
    bed.kernel.reboot()
    bed.restart()
    done = bed.manager.run(
        ROOT,
        model.Load(
            object=bpf_build.build("hooks").read_bytes(),
            source=model.FileSource(path="/x/hooks.o"),
            programs=(model.ProgramSpec(name="on_xdp"),),
            metadata=mine,
        ),
    )
    assert set(bed.store.snapshot().programs) == {other.record.key, done.programs[0].record.key}


def test_an_id_that_the_kernel_gave_to_another_program_is_noticed(bed):
    (program,) = bed.load("on_xdp")
    bed.kernel.unpin(program.record.pin)
    found = bed.manager.program(program.record.id)
    assert (found.status.kernel, found.status.pin_present) == (None, False)
    assert bed.manager.programs(ALL) == ()
    assert "missing program" in [one.kind for one in bed.manager.doctor()]
    bed.kernel.reuse_ids(program.record.id)
    bed.kernel.foreign_xdp("eth1")
    assert isinstance(bed.manager.program(program.record.id), model.ForeignProgram)
    assert "reused program id" in [one.kind for one in bed.manager.doctor()]


def test_a_lost_store_removes_nothing_and_gives_no_id_twice(bed, tmp_path):
    (program,) = bed.load("on_xdp")
    bed.attach(program)
    before = bed.kernel.snapshot()
    bed.store.close()
    bed.path.write_bytes(b"rubbish" * 100)
    bed.restart()
    assert bed.kernel.snapshot() == before
    kinds = {one.kind: one for one in bed.manager.doctor()}
    assert kinds["damaged store"].subject == f"{bed.path}.corrupt-1"
    adoptable = [one.subject for one in bed.manager.doctor() if one.adoptable]
    assert set(adoptable) >= {program.record.pin}
    (again,) = bed.load("on_xdp")
    assert again.record.key > program.record.key
    assert again.record.set > program.record.set


def test_a_healthy_host_has_no_findings(bed):
    (program,) = bed.load("on_xdp")
    bed.attach(program)
    bed.attach(bed.load("on_tcx")[0], tcx.TcxAttachment(interface=ETH0, direction=tcx.Direction.EGRESS, priority=1))
    assert bed.manager.doctor() == ()


def test_the_doctor_tells_of_a_missing_alias_and_a_foreign_program(bed):
    (program,) = bed.load("on_xdp")
    bed.attach(program)
    bed.kernel.remove_alias(PINS.alias_program(program.record.id))
    bed.kernel.foreign_xdp("eth0")
    assert {one.kind for one in bed.manager.doctor()} >= {"missing alias", "foreign program on a hook"}


# ---------------------------------------------------------------- going wrong


class Killed(BaseException):
    """What a fault point raises in place of kill -9: nothing of ours handles it."""


def test_a_refused_operation_leaves_everything_and_is_in_the_history(bed, caplog):
    (program,) = bed.load("on_xdp")
    before = bed.state()
    bed.kernel.fail("attach", errors.Conflict("hook taken", errno=16))
    with caplog.at_level(logging.INFO, "skep.manager"), pytest.raises(errors.Conflict, match="hook taken"):
        bed.attach(program)
    assert bed.state() == before
    event = bed.manager.events()[-1]
    assert (event.verb, event.subject, event.outcome) == ("attach", f"program {program.record.id}", "Conflict")
    (line,) = [one for one in caplog.records if one.name == "skep.manager"]
    assert (line.verb, line.outcome, line.caller_uid, line.operation) == ("attach", "Conflict", 0, event.operation)
    assert line.duration_ms >= 0


def test_what_cannot_be_taken_back_is_before_the_next_change(bed):
    (program,) = bed.load("on_xdp")
    before = bed.state()
    bed.kernel.fail("attach", errors.Conflict("hook taken"))
    bed.kernel.fail("unpin", errors.Broken("bpffs is sick"))
    with pytest.raises(errors.Conflict):
        bed.attach(program)
    assert bed.store.pending() != ()
    assert [one.kind for one in bed.manager.doctor()].count("leftover operation") == 1
    bed.attach(program)
    assert bed.store.pending() == ()
    bed.manager.run(ROOT, model.Detach(link=bed.manager.links(model.LinkFilter())[0].record.id))
    assert bed.state() == before


def test_nothing_is_built_on_what_cannot_be_taken_back(bed):
    (program,) = bed.load("on_xdp")
    bed.kernel.fail("attach", errors.Conflict("hook taken"))
    bed.kernel.fail("unpin", errors.Broken("bpffs is sick"))
    with pytest.raises(errors.Conflict):
        bed.attach(program)
    bed.kernel.fail("unpin", errors.Broken("bpffs is sick"))
    with pytest.raises(errors.Broken, match="half done"):
        bed.load("on_tcx")


def test_what_a_restart_puts_right_is_in_the_history(bed):
    def fault(point: str) -> None:
        if point == "committed":
            raise Killed

    bed.manager = bed.make(fault=fault)
    with pytest.raises(Killed):
        bed.load("on_xdp")
    assert bed.restart() == ("operation 1 (load) was finished",)
    event = bed.manager.events()[-1]
    assert (event.verb, event.subject, event.outcome, event.operation) == ("sweep", "operation 1 (load)", "ok", 1)
    assert bed.manager.doctor() == ()


def test_a_bug_is_told_as_one(bed, caplog):
    def fault(point: str) -> None:
        raise ZeroDivisionError("a bug")

    before = bed.state()
    bed.manager = bed.make(fault=fault)
    with pytest.raises(errors.Broken, match="bug in skep: ZeroDivisionError"):
        bed.load("on_xdp")
    assert bed.state()[:4] == before[:4]
    assert any(one.exc_info for one in caplog.records)


# ---------------------------------------------------------------- who may, and when


def test_everybody_may_unless_a_rule_says_otherwise(tmp_path):
    bed = Bed(tmp_path / "skep.db", access=policy.Access(rules=(policy.Reading(gids=frozenset({27})),)))
    op = model.Unload(program=model.ProgramId(1))
    with pytest.raises(errors.Denied, match="uid 1000 is restricted to reading"):
        bed.manager.run(USER, op)
    with pytest.raises(errors.NotFound):
        bed.manager.run(model.Caller(uid=1001, gid=100, pid=7), op)
    with pytest.raises(errors.NotFound):
        bed.manager.run(model.Caller(uid=0, gid=27, pid=7), op)
    assert [one.outcome for one in bed.manager.events()] == ["Denied", "NotFound", "NotFound"]
    assert bed.manager.programs(ALL) == ()
    bed.store.close()


def test_a_writer_waits_its_turn_and_no_longer_than_asked(bed):
    """One thread stands inside a change until the other has given up."""
    entered, leave = threading.Event(), threading.Event()

    def fault(point: str) -> None:
        entered.set()
        leave.wait(10)

    bed.manager = bed.make(fault=fault)
    one = threading.Thread(target=bed.load, args=("on_xdp",))
    one.start()
    assert entered.wait(10)
    with pytest.raises(errors.Busy, match="another change"):
        bed.manager.run(ROOT, model.Unload(program=model.ProgramId(1)), wait=0.01)
    assert bed.manager.programs(ALL) == ()
    leave.set()
    one.join()
    assert len(bed.manager.programs(ALL)) == 1


def test_changes_at_once_all_happen_and_readers_see_no_half(bed):
    torn: list[object] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            for one in bed.manager.programs(model.ProgramFilter(managed_only=True)):
                if one.status.kernel is None or one.used_by != (one.record.id,):
                    torn.append(one)

    def change() -> None:
        for _ in range(5):
            (program,) = bed.load("on_xdp")
            bed.manager.run(ROOT, model.Unload(program=program.record.id))
            bed.load("on_tcx")

    reader = threading.Thread(target=read)
    reader.start()
    writers = [threading.Thread(target=change) for _ in range(2)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    stop.set()
    reader.join()
    assert torn == []
    assert len(bed.manager.programs(ALL)) == 10
    assert len({one.operation for one in bed.manager.events()}) == 30


def test_a_watcher_is_woken_by_the_next_event(bed):
    assert bed.manager.wait_events(0, 0.0) == ()
    woken: list[tuple[model.Event, ...]] = []
    one = threading.Thread(target=lambda: woken.append(bed.manager.wait_events(0, 10.0)))
    one.start()
    bed.load("on_xdp")
    one.join()
    assert [(event.verb, event.outcome) for event in woken[0]] == [("load", "ok")]


def test_a_named_object_is_read_by_the_kernel_door_within_the_limit(bed):
    """The door opens it with the caller's rights; here it is only asked for, with the limit."""
    bed.kernel.objects = {"/small": b"x", "/large": bytes(model.MAX_OBJECT_BYTES + 1)}
    assert bed.manager.read_object(USER, "/small") == b"x"
    with pytest.raises(errors.BadObject):
        bed.manager.read_object(USER, "/large")


def test_a_preview_changes_nothing_and_uses_no_id(bed):
    (program,) = bed.load("on_xdp")
    before = bed.state()
    op = model.Attach(program=program.record.id, attachment=xdp.XdpAttachment(interface=ETH0, priority=5))
    shown = bed.manager.preview(USER, op)
    assert shown == bed.manager.preview(USER, op)
    assert any("links/" in step or "chains/" in step for step in shown.steps)
    assert bed.state() == before
    assert bed.manager.run(ROOT, op).links == (model.LinkId(1),)
