"""Running by hand, through the Manager on a fake kernel: who may, what is refused, what is bounded and written down."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skep import errors, model, policy, steps
from skep.hooks import iter as iterator
from skep.hooks import request
from skep.runs import runs
from tests.unit import host

ROOT = host.CALLER
READER = model.Caller(uid=1000, gid=1000, pid=7)
FRAME = bytes(60)
ACCESS = policy.Access(rules=(policy.Reading(uids=frozenset({1000})),))


class Bed:
    def __init__(self, path) -> None:
        self.host = host.Host(path)
        self.kernel = self.host.kernel
        self.manager = host.Manager(self.kernel, self.host.store, host.PINS, access=ACCESS)
        self.now = 0.0
        self.manager.runs._clock = lambda: self.now
        (self.xdp,) = self.host.load("first")

    def run(self, caller: model.Caller = ROOT, **wanted) -> model.Ran:
        return self.manager.runs.program(caller, model.Run(**{"program": self.xdp, "packet": FRAME, **wanted}))

    def read(self, caller: model.Caller = ROOT, **wanted) -> list[bytes]:
        return list(self.manager.runs.iterator(caller, model.ReadIterator(**wanted)))

    def as_iterator(self, function: str = "task") -> model.ProgramId:
        """A program that the store takes for an iterator: the test objects hold none that the fake can load."""
        import dataclasses

        record = next(one for one in self.host.store.snapshot().programs.values() if one.id == self.xdp)
        changed = dataclasses.replace(record, hook=model.HookName("iter"), section="iter/x", attach_func=function)
        operation = self.host.store.take_ids(programs=0, links=0, sets=0).operation
        self.host.store.begin(operation, "test", ())
        self.host.store.commit(operation, steps.StoreChange(programs=(changed,)), ())
        self.host.store.done(operation)
        return self.xdp

    def last(self) -> model.Event:
        return self.manager.events(0)[-1]


@pytest.fixture
def bed(tmp_path) -> Iterator[Bed]:
    made = Bed(tmp_path / "skep.db")
    yield made
    made.host.store.close()


def test_a_run_answers_and_is_written_down(bed) -> None:
    ran = bed.run(context=b"ctx")
    assert (ran.answer, ran.verdict, ran.times, ran.duration_ns) == (2, "XDP_PASS", 1, 40)
    assert (ran.packet, ran.context) == (FRAME, b"ctx")
    event = bed.last()
    assert (event.verb, event.subject, event.outcome) == ("run", f"program {bed.xdp}", "ok")
    assert event.operation == ran.operation


def test_repetitions_are_asked_for_in_portions_of_a_slice(bed) -> None:
    bed.kernel.nanoseconds = 1_000_000
    ran = bed.run(repeat=1000)
    assert [repeat for _, _, repeat in bed.kernel.ran[:4]] == [1, 50, 50, 50]
    assert sum(repeat for _, _, repeat in bed.kernel.ran) == ran.times == 1000


def test_a_fast_program_s_portions_grow_slowly(bed) -> None:
    bed.run(repeat=100_000)
    assert [repeat for _, _, repeat in bed.kernel.ran] == [1, 100, 10_000, 89_899]


def test_repetitions_end_when_the_time_is_up(bed) -> None:
    bed.kernel.nanoseconds = 10_000_000
    before = bed.kernel.run

    def slow(*arguments):
        bed.now += 3.0
        return before(*arguments)

    bed.kernel.run = slow
    ran = bed.run(repeat=1_000_000)
    assert ran.times == 1 + 5 + 5 + 5
    assert "ran 16 times of 1000000" in ran.warnings[0]


def test_repetitions_end_with_the_client(bed) -> None:
    ran = bed.manager.runs.program(
        ROOT, model.Run(program=bed.xdp, packet=FRAME, repeat=1000), stop=lambda: len(bed.kernel.ran) > 1
    )
    assert ran.times == 101


@pytest.mark.parametrize(
    ("wanted", "kind", "words"),
    [
        ({"packet": bytes(13)}, errors.InvalidRequest, "14 bytes or more"),
        ({"packet": bytes(65536)}, errors.Exhausted, "65536 bytes"),
        ({"context": bytes(65536)}, errors.Exhausted, "context has 65536"),
        ({"repeat": 0}, errors.InvalidRequest, "1 to 1000000"),
        ({"repeat": 1_000_001}, errors.InvalidRequest, "1 to 1000000"),
        ({"program": model.ProgramId(4)}, errors.NotFound, "no program 4"),
    ],
)
def test_a_wrong_run_never_reaches_the_kernel(bed, wanted, kind, words) -> None:
    with pytest.raises(kind, match=words):
        bed.run(**wanted)
    assert bed.kernel.ran == []
    assert bed.last().outcome == kind.__name__


def test_types_that_cannot_be_run_name_those_that_can(bed) -> None:
    (point,) = bed.host.load("point")
    with pytest.raises(errors.InvalidRequest, match="xdp, tc, tcx") as told:
        bed.run(program=point)
    assert "tracepoint" in told.value.why
    with pytest.raises(errors.InvalidRequest, match="is read"):
        bed.run(program=bed.as_iterator())


def test_running_is_a_change(bed) -> None:
    with pytest.raises(errors.Denied, match="run is not allowed"):
        bed.run(READER)
    with pytest.raises(errors.Denied, match="read is not allowed"):
        bed.read(READER, program=bed.as_iterator())
    assert bed.kernel.ran == []
    assert bed.last().caller == READER


def test_somebody_else_s_program_is_not_run(bed) -> None:
    foreign = bed.kernel.foreign_xdp("eth1")
    with pytest.raises(errors.Denied, match="somebody else loaded it"):
        bed.run(program=foreign)


def test_a_program_that_is_gone_is_not_run(bed) -> None:
    record = next(one for one in bed.host.store.snapshot().programs.values())
    bed.kernel.unpin(record.pin)
    with pytest.raises(errors.Conflict, match="not in the kernel"):
        bed.run()


# ---------------------------------------------------------------- iterators


def test_an_iterator_is_read_to_its_end(bed) -> None:
    bed.kernel.printed = [b"one", None, b"two"]
    assert bed.read(program=bed.as_iterator()) == [b"one", b"two"]
    assert bed.kernel.readings == 0
    assert (bed.last().verb, bed.last().outcome) == ("read", "ok")


def test_what_it_goes_through_is_asked_for(bed) -> None:
    program = bed.as_iterator()
    bed.read(program=program, attachment=iterator.IteratorAttachment(pid=7))
    (one,) = bed.kernel.read_by
    assert one.target == request.IteratorTarget(name="task", pid=7)


def test_a_reading_ends_at_the_caller_s_limit(bed) -> None:
    bed.kernel.printed = [b"123456789"] * 9
    assert b"".join(bed.read(program=bed.as_iterator(), limit=12)) == b"123456789123"


def test_a_reading_is_bounded(bed, monkeypatch) -> None:
    program = bed.as_iterator()
    bed.kernel.printed = [b"x" * 100] * 9
    monkeypatch.setattr(runs, "MOST_BYTES", 250)
    with pytest.raises(errors.Exhausted, match="was ended"):
        bed.read(program=program)
    bed.kernel.printed = [None] * 9
    monkeypatch.setattr(runs, "READING_SECONDS", -1.0)
    with pytest.raises(errors.Exhausted, match="was ended"):
        bed.read(program=program)
    assert bed.kernel.readings == 0


def test_a_reader_that_goes_away_ends_the_reading(bed) -> None:
    bed.kernel.printed = [b"x"] * 9
    text = bed.manager.runs.iterator(ROOT, model.ReadIterator(program=bed.as_iterator()))
    assert next(text) == b"x"
    assert bed.kernel.readings == 1
    text.close()
    assert bed.kernel.readings == 0


def test_what_is_no_iterator_is_not_read(bed) -> None:
    with pytest.raises(errors.InvalidRequest, match="only iterators print"):
        bed.read(program=bed.xdp)
    with pytest.raises(errors.InvalidRequest, match="nothing to read"):
        bed.read()
    with pytest.raises(errors.NotFound, match="no link 7"):
        bed.read(link=model.LinkId(7))


@pytest.mark.parametrize(
    ("function", "values", "words"),
    [
        ("task", {"map": "7"}, "takes no map"),
        ("bpf_map", {"pid": 1}, "goes through all there are"),
        ("bpf_map_elem", {}, "needs a map"),
        ("cgroup", {"pid": 1}, "takes cgroup, order"),
    ],
)
def test_what_a_kind_does_not_take(bed, function, values, words) -> None:
    program = bed.as_iterator(function)
    with pytest.raises(errors.InvalidRequest, match=words):
        bed.read(program=program, attachment=iterator.IteratorAttachment(**values))
    assert bed.kernel.read_by == []
