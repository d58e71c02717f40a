"""The store itself: ids, plans that end or do not, records, totals, history; several threads, several processes."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading

import pytest

from skep import errors, model, steps, store
from skep.store import rows
from tests.unit.store import records

FINISHES = (
    steps.DetachLink(pin=model.LinkPin("/p/links/1")),
    steps.Unpin(pin=model.ProgramPin("/p/progs/1-1")),
    steps.RemoveDirectory(path=model.PinDir("/p/sets/1")),
    steps.RenamePin(old=model.LinkPin("/p/links/1_next"), new=model.LinkPin("/p/links/1")),
    steps.Unregister(map=model.MapId(9)),
    steps.PointTable(link=model.LinkPin("/p/links/1"), map=model.MapPin("/p/sets/1/slow")),
    steps.PointLink(link=model.LinkPin("/p/links/1"), program=model.ProgramPin("/p/progs/1-1")),
    steps.Alias(path="/p/prog_7", target="progs/1-1"),
    steps.RemoveAlias(path="/p/prog_7"),
    steps.Absorb(counts=model.MapPin("/p/chains/x/2/counts"), links=(model.LinkId(1), model.LinkId(2))),
)
CHANGE = steps.StoreChange(
    objects={records.DIGEST: records.OBJECT},
    programs=(records.program(1), records.program(2, owner=None, updated_at=None, attach_func=None)),
    members={model.ProgramKey(1): records.member()},
    links=(records.link(1), records.link(2, chain=None, mode=None, priority=None)),
    chains=(records.chain(1),),
    add_counts={model.LinkId(1): model.Counts(runs=10, proceeded=7, stopped={1: 2, 2: 1})},
)


@pytest.fixture
def opened(tmp_path):
    one = store.Store(tmp_path / "skep.db")
    yield one
    one.close()


def write(opened: store.Store, change: steps.StoreChange) -> None:
    operation = opened.take_ids().operation
    opened.begin(operation, "load", ())
    opened.commit(operation, change, ())
    opened.done(operation)


def reread(opened: store.Store) -> store.Snapshot:
    """The records as another process reads them: not out of this one's memory."""
    other = store.Store(opened.path)
    try:
        return other.snapshot()
    finally:
        other.close()


# ---------------------------------------------------------------- ids


def test_ids_start_at_one_and_are_never_given_twice(opened):
    first = opened.take_ids(programs=2, links=1, sets=1)
    assert (first.programs, first.links, first.sets, first.operation) == ((1, 2), (1,), (1,), 1)
    opened.close()
    again = store.Store(opened.path)
    second = again.take_ids(programs=1, links=2)
    assert (second.programs, second.links, second.sets, second.operation) == ((3,), (2, 3), (), 2)
    again.close()


def test_a_preview_uses_no_ids_up(opened):
    assert opened.next_ids(programs=1, links=1) == opened.next_ids(programs=1, links=1)
    assert opened.take_ids(programs=1).programs == (1,)


def test_ids_on_pins_of_a_lost_store_are_skipped(opened):
    opened.skip_ids(program=7, link=0, map_set=3)
    given = opened.take_ids(programs=1, links=1, sets=1)
    assert (given.programs, given.links, given.sets) == ((8,), (1,), (4,))
    opened.skip_ids(program=2)
    assert opened.take_ids(programs=1).programs == (9,)


def test_threads_that_take_ids_at_once_get_different_ones(opened):
    taken: list[int] = []

    def take() -> None:
        for _ in range(25):
            taken.extend(opened.take_ids(links=2).links)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(taken) == list(range(1, 201))


# ---------------------------------------------------------------- records


def test_everything_that_is_committed_is_read_back(opened):
    write(opened, CHANGE)
    found = opened.snapshot()
    assert tuple(found.programs.values()) == CHANGE.programs
    assert tuple(found.links.values()) == CHANGE.links
    assert tuple(found.chains.values()) == CHANGE.chains
    assert found.counts == CHANGE.add_counts
    assert opened.member(model.ProgramKey(1)) == records.member()
    assert opened.member(model.ProgramKey(2)) is None
    assert opened.object(records.DIGEST) == records.OBJECT
    assert reread(opened) == found


@pytest.mark.parametrize(
    "record", [records.program(), records.link(), records.chain(1)], ids=["program", "link", "chain"]
)
def test_no_field_of_a_record_is_left_at_its_default_here(record):
    """A field that is added to a record and forgotten in rows.py would otherwise pass unseen."""
    for field in dataclasses.fields(record):
        if field.default is not dataclasses.MISSING:
            assert getattr(record, field.name) != field.default, field.name


def test_what_memory_says_after_changes_is_what_the_file_says(opened):
    write(opened, CHANGE)
    assert opened.snapshot() == reread(opened)
    later = dataclasses.replace(records.program(1), generation=3, pin=model.ProgramPin("/p/progs/1-3"))
    write(
        opened,
        steps.StoreChange(
            programs=(later, records.program(3, owner=None)),
            chains=(records.chain(1, 2, revision=5),),
            add_counts={model.LinkId(1): model.Counts(runs=1, stopped={3: 1}), model.LinkId(9): model.Counts(runs=9)},
            drop_links=(model.LinkId(2),),
        ),
    )
    found = opened.snapshot()
    assert found == reread(opened)
    assert list(found.programs) == [1, 2, 3]
    assert found.counts == {1: model.Counts(runs=11, proceeded=7, stopped={1: 2, 2: 1, 3: 1})}
    write(
        opened,
        steps.StoreChange(
            drop_links=(model.LinkId(1),), drop_programs=(model.ProgramKey(1),), drop_chains=(records.CHAIN,)
        ),
    )
    found = opened.snapshot()
    assert found == reread(opened)
    assert (list(found.programs), dict(found.links), dict(found.chains), dict(found.counts)) == ([2, 3], {}, {}, {})


def test_an_unchanged_store_is_not_read_again(opened):
    write(opened, CHANGE)
    first = opened.snapshot()
    opened.begin(opened.take_ids().operation, "load", ())
    assert opened.snapshot() is first


def test_a_change_by_another_process_is_seen(opened):
    write(opened, CHANGE)
    opened.snapshot()
    other = store.Store(opened.path)
    write(other, steps.StoreChange(drop_links=(model.LinkId(2),)))
    other.close()
    assert list(opened.snapshot().links) == [1]


def test_objects_that_nobody_refers_to_are_dropped_with_the_last_program(opened):
    write(opened, CHANGE)
    write(
        opened, steps.StoreChange(drop_links=(model.LinkId(1), model.LinkId(2)), drop_programs=(model.ProgramKey(1),))
    )
    assert opened.object(records.DIGEST) == records.OBJECT
    write(opened, steps.StoreChange(drop_programs=(model.ProgramKey(2),)))
    assert opened.object(records.DIGEST) is None


def test_an_adopted_program_needs_no_object(opened):
    write(opened, steps.StoreChange(programs=(records.program(object=model.Digest("")),)))
    assert reread(opened).programs[model.ProgramKey(1)].object == ""


def test_a_commit_that_fails_writes_nothing(opened):
    write(opened, CHANGE)
    before = opened.snapshot()
    operation = opened.take_ids().operation
    opened.begin(operation, "unload", FINISHES)
    with pytest.raises(errors.Broken, match="FOREIGN KEY"):
        opened.commit(
            operation, steps.StoreChange(programs=(records.program(5),), drop_programs=(model.ProgramKey(1),))
        )
    assert reread(opened) == before == opened.snapshot()
    assert [one.finish for one in opened.pending()] == [None]


# ---------------------------------------------------------------- plans


def test_every_repeatable_step_is_read_back(opened):
    assert {type(one) for one in FINISHES} == set(steps.Finish.__args__)
    opened.begin(model.OperationId(4), "attach", FINISHES)
    assert opened.pending() == (
        steps.Pending(operation=model.OperationId(4), verb="attach", undo=FINISHES, finish=None),
    )


def test_a_step_of_a_newer_skep_is_refused():
    with pytest.raises(errors.Broken, match="Teleport"):
        rows.finish('[["Teleport", {"pin": "/p"}]]')


@pytest.mark.parametrize("ended", ["begun", "committed", "done"])
def test_a_killed_process_leaves_its_plan_to_the_next(tmp_path, ended):
    script = (
        "import os, sys; from skep import steps, store; one = store.Store(sys.argv[1]); op = one.take_ids().operation; "
        "one.begin(op, 'load', (steps.Unpin(pin='/p/1'),)); "
        "sys.argv[2] == 'begun' and os._exit(9); "
        "one.commit(op, steps.StoreChange(), (steps.RemoveAlias(path='/p/2'),)); "
        "sys.argv[2] == 'committed' and os._exit(9); "
        "one.done(op); os._exit(9)"
    )
    path = tmp_path / "skep.db"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ended_with = subprocess.run(
        [sys.executable, "-c", script, str(path), ended], env=environment, check=False
    ).returncode
    assert ended_with == 9
    opened = store.Store(path)
    undo = (steps.Unpin(pin=model.ProgramPin("/p/1")),)
    left = {
        "begun": (steps.Pending(operation=model.OperationId(1), verb="load", undo=undo, finish=None),),
        "committed": (
            steps.Pending(
                operation=model.OperationId(1), verb="load", undo=undo, finish=(steps.RemoveAlias(path="/p/2"),)
            ),
        ),
        "done": (),
    }
    assert opened.pending() == left[ended]
    opened.close()


def test_counts_of_an_aborted_revision_are_taken_in_once(opened):
    write(opened, CHANGE)
    operation, pin = model.OperationId(50), model.MapPin("/p/chains/x/5/counts")
    opened.begin(operation, "attach", ())
    more = {model.LinkId(1): model.Counts(runs=5, stopped={1: 5}), model.LinkId(99): model.Counts(runs=5)}
    assert opened.absorb(operation, pin, more)
    assert not opened.absorb(operation, pin, more)
    assert opened.snapshot().counts == {1: model.Counts(runs=15, proceeded=7, stopped={1: 7, 2: 1})}
    opened.done(operation)
    assert not opened.absorb(operation, pin, more)
    assert reread(opened) == opened.snapshot()


# ---------------------------------------------------------------- history


def test_history_is_read_from_where_one_left_off(opened):
    event = model.Event(
        id=0, at=1700000000.5, operation=model.OperationId(3), verb="load", subject="program 42", caller=records.CALLER,
        outcome="Rejected", detail="why", duration_ms=12.5,
    )  # fmt: skip
    kept = [opened.add_event(dataclasses.replace(event, subject=f"program {number}")) for number in range(5)]
    assert [one.id for one in kept] == [1, 2, 3, 4, 5]
    assert opened.events() == tuple(kept)
    assert opened.events(after=2, limit=2) == tuple(kept[2:4])
    assert dataclasses.replace(kept[0], id=0, subject="program 42") == event


def test_old_history_is_dropped(tmp_path):
    opened = store.Store(tmp_path / "short.db", kept_events=3)
    event = model.Event(
        id=0, at=0.0, operation=model.OperationId(1), verb="v", subject="s", caller=records.CALLER, outcome="ok"
    )
    for _ in range(5):
        opened.add_event(event)
    assert [one.id for one in opened.events()] == [3, 4, 5]
    opened.close()


# ---------------------------------------------------------------- threads


def test_readers_see_whole_changes_while_a_writer_writes(opened):
    """Program and link of one change come and go together."""
    write(opened, steps.StoreChange(objects=CHANGE.objects, programs=(records.program(1),)))
    torn: list[object] = []
    reads = [0]
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            found = opened.snapshot()
            reads[0] += 1
            if set(found.links) != {key - 1 for key in found.programs if key > 1}:
                torn.append(found)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for one in readers:
        one.start()
    try:
        for number in range(1, 41):
            both = steps.StoreChange(
                objects=CHANGE.objects,
                programs=(records.program(number + 1),),
                links=(records.link(number, number + 1),),
            )
            write(opened, both)
    finally:
        stop.set()
        for one in readers:
            one.join()
    assert torn == []
    assert reads[0] > 0
    assert len(opened.snapshot().links) == 40


def test_a_closed_store_says_so(opened):
    opened.close()
    with pytest.raises(errors.Unavailable, match="closed"):
        opened.snapshot()
    with pytest.raises(errors.Unavailable, match="closed"):
        opened.take_ids()
