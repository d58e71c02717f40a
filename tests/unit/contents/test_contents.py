"""What maps hold, through the Manager on a fake kernel: who may, what is refused, what is told and written down."""

from __future__ import annotations

import json
import struct

import pytest

from skep import errors, model, policy
from skep.bytecode import btf
from skep.kernel import door
from tests import fake_elements as fake
from tests.unit import host
from tests.unit.values import shapes

ROOT = host.CALLER
READER = model.Caller(uid=1000, gid=1000, pid=7)
ONE = struct.pack("=I", 1)


def given(value) -> model.Datum:
    return model.Datum(json=json.dumps(value))


def blob() -> tuple[bytes, int, int]:
    """BTF with a number (its id) and a struct of two (its id)."""
    build = shapes.Builder()
    number = build.integer("unsigned int", 4)
    pair = build.struct("pair", [("left", number), ("right", number)])
    return btf.build(build.types), number, pair


class Bed:
    def __init__(self, path, access=policy.ANYBODY):
        self.host = host.Host(path)
        self.kernel = self.host.kernel
        self.host.manager = self.manager = host.Manager(self.kernel, self.host.store, host.PINS, access=access)
        data, self.number, self.pair = blob()
        self.kernel.btfs[9] = data

    def typed(self, type, value, **more):
        """A map whose keys are numbers and whose values are pairs or numbers."""
        types = {"btf_id": 9, "key_type_id": self.number, "value_type_id": value}
        return str(self.kernel.foreign_map(type, 4, 8 if value == self.pair else 4, **types, **more))

    def write(self, ref, key, value, caller=ROOT, **more):
        wanted = model.MapWrite(
            map=str(ref), verb=model.MapVerb.UPDATE, key=None if key is None else given(key), value=given(value),
            **{"unsafe_foreign": True, **more},
        )  # fmt: skip
        return self.manager.map_write(caller, wanted)

    def delete(self, ref, key=None, **more):
        wanted = model.MapWrite(
            map=str(ref), verb=model.MapVerb.DELETE, key=None if key is None else given(key),
            **{"unsafe_foreign": True, **more},
        )  # fmt: skip
        return self.manager.map_write(ROOT, wanted)

    def dump(self, ref, **more):
        return [
            (one.key_json, *one.values_json)
            for page in self.manager.map_pages(ROOT, model.MapDump(map=str(ref), **more))
            for one in page.entries
        ]


@pytest.fixture
def bed(tmp_path):
    made = Bed(tmp_path / "skep.db")
    yield made
    made.host.store.close()


def test_an_element_is_written_read_and_removed(bed):
    ref = bed.typed(fake.HASH, bed.pair)
    written = bed.write(ref, 1, {"left": 2, "right": 3})
    assert written.entry == model.MapEntry(
        key=ONE, values=(struct.pack("=II", 2, 3),), key_json="1", values_json=('{"left":2,"right":3}',)
    )
    assert bed.manager.map_lookup(ROOT, ref, given(1)) == written.entry
    assert bed.dump(ref) == [("1", '{"left":2,"right":3}')]
    assert bed.delete(ref, 1).entry is None
    assert bed.dump(ref) == []
    with pytest.raises(errors.NotFound, match="no such key"):
        bed.manager.map_lookup(ROOT, ref, given(1))
    with pytest.raises(errors.NotFound, match="no such key"):
        bed.delete(ref, 1)


def test_members_may_be_kept(bed):
    ref = bed.typed(fake.HASH, bed.pair)
    with pytest.raises(errors.NotFound, match="nothing to merge with"):
        bed.write(ref, 1, {"left": 2}, merge=True)
    with pytest.raises(errors.InvalidRequest, match="right is missing"):
        bed.write(ref, 1, {"left": 2})
    bed.write(ref, 1, {"left": 2, "right": 3})
    assert bed.write(ref, 1, {"left": 9}, merge=True).entry.values_json == ('{"left":9,"right":3}',)


def test_one_cpu_or_all_of_them(bed):
    ref = bed.typed(fake.PERCPU_HASH, bed.number)
    assert bed.manager.map_shape(ROOT, ref).cpus == fake.CPUS
    assert bed.write(ref, 1, 5).entry.values_json == ("5", "5")
    written = bed.write(ref, 1, 6, cpu=1)
    assert written.entry.values_json == ("5", "6")
    assert "what changed in between is lost" in written.warnings[0]
    assert bed.write(ref, 2, 7, cpu=0).entry.values_json == ("7", "0")
    with pytest.raises(errors.InvalidRequest, match="CPUs are 0 to 1"):
        bed.write(ref, 1, 5, cpu=2)
    with pytest.raises(errors.InvalidRequest, match="no values per CPU"):
        bed.write(bed.typed(fake.HASH, bed.number), 1, 5, cpu=0)


@pytest.mark.parametrize(("type", "order"), [(fake.QUEUE, ["1", "2"]), (fake.STACK, ["2", "1"])])
def test_queues_and_stacks_have_no_keys(bed, type, order):
    ref = str(bed.kernel.foreign_map(type, 0, 4, btf_id=9, value_type_id=bed.number, entries=2))
    for value in (1, 2):
        assert bed.write(ref, None, value).entry is None
    with pytest.raises(errors.Exhausted):
        bed.write(ref, None, 3)
    for value in order:
        assert bed.manager.map_lookup(ROOT, ref, None).values_json == (value,)
        assert bed.delete(ref).entry.values_json == (value,)
    with pytest.raises(errors.NotFound, match="empty"):
        bed.manager.map_lookup(ROOT, ref, None)
    with pytest.raises(errors.InvalidRequest, match="has no keys"):
        bed.write(ref, 1, 1)
    with pytest.raises(errors.InvalidRequest, match="cannot be listed"):
        bed.dump(ref)


def test_a_map_of_maps_shows_the_inner_map_which_can_be_followed(bed):
    inner = bed.typed(fake.ARRAY, bed.number, entries=2)
    outer = bed.kernel.foreign_map(fake.ARRAY_OF_MAPS, 4, 4)
    assert bed.write(outer, 1, int(inner)).entry.inner == int(inner)
    (entry,) = next(bed.manager.map_pages(ROOT, model.MapDump(map=str(outer)))).entries
    assert (entry.key_json, entry.inner) == ("1", int(inner))
    assert bed.dump(entry.inner) == [("0", "0"), ("1", "0")]
    with pytest.raises(errors.NotFound):
        bed.write(outer, 1, 9999)


def test_pages_go_on_where_the_last_one_ended(bed):
    ref = bed.typed(fake.HASH, bed.number, entries=3000)
    held = bed.kernel._maps[model.MapId(int(ref))].held
    held.update({struct.pack("=I", index): (struct.pack("=I", index * 2),) for index in range(2500)})
    pages = list(bed.manager.map_pages(ROOT, model.MapDump(map=ref)))
    assert [len(page.entries) for page in pages] == [1024, 1024, 452]
    assert pages[-1].token == b""
    (first,) = bed.manager.map_pages(ROOT, model.MapDump(map=ref, limit=10))
    assert len(first.entries) == 10
    assert bed.dump(ref, after=first.token)[0] == ("10", "20")
    assert len(bed.dump(ref, after=first.token)) == 2490


# ---------------------------------------------------------------- which map


def test_a_map_is_named_by_id_name_or_pin(bed):
    ref = int(bed.typed(fake.HASH, bed.number, name="numbers"))
    for name in (str(ref), f"map/{ref}", "numbers", f"/sys/fs/bpf/foreign/{ref}"):
        assert bed.manager.map_shape(ROOT, name).view.kernel.id == ref
    with pytest.raises(errors.NotFound, match="did you mean numbers"):
        bed.manager.map_shape(ROOT, "nunbers")
    with pytest.raises(errors.Denied):
        bed.manager.map_shape(READER, f"/sys/fs/bpf/foreign/{ref}")
    second = bed.typed(fake.HASH, bed.number, name="numbers")
    with pytest.raises(errors.InvalidRequest, match=f"2 maps are called 'numbers': ids {ref}, {second}"):
        bed.manager.map_shape(ROOT, "numbers")


def test_of_several_maps_of_a_name_ours_is_meant(bed):
    bed.typed(fake.HASH, bed.number, name="hits")
    (program,) = bed.host.load("first")
    shape = bed.manager.map_shape(ROOT, "hits")
    assert shape.view.programs == (program,)


# ---------------------------------------------------------------- who may, and what cannot be


def test_other_peoples_maps_are_left_alone_unless_insisted_on(bed):
    ref = bed.typed(fake.HASH, bed.number)
    for refused in (
        lambda: bed.write(ref, 1, 1, unsafe_foreign=False),
        lambda: bed.delete(ref, 1, unsafe_foreign=False),
    ):
        with pytest.raises(errors.Denied, match=r"no managed program uses it .--unsafe-foreign"):
            refused()
    assert bed.dump(ref) == []
    bed.host.load("first")
    assert bed.write("hits", 1, "hex:" + "01" * 8, unsafe_foreign=False).entry.values == (b"\1" * 8,)


def test_who_may_only_look_writes_nothing(tmp_path):
    bed = Bed(tmp_path / "skep.db", policy.Access(rules=(policy.Reading(uids=frozenset({1000})),)))
    ref = bed.typed(fake.HASH, bed.number)
    with pytest.raises(errors.Denied, match="map update is not allowed"):
        bed.write(ref, 1, 1, caller=READER)
    with pytest.raises(errors.Denied, match="map events is not allowed"):
        next(bed.manager.map_events(READER, model.MapFollow(map=ref)))
    assert list(bed.manager.map_pages(READER, model.MapDump(map=ref)))
    assert [(one.verb, one.outcome, one.caller.uid) for one in bed.manager.events()] == [
        ("map update", "Denied", 1000), ("map events", "Denied", 1000),
    ]  # fmt: skip
    bed.host.store.close()


def test_writes_are_history(bed):
    ref = bed.typed(fake.HASH, bed.number)
    written = bed.write(ref, 1, 1)
    bed.delete(ref, 1)
    with pytest.raises(errors.InvalidRequest):
        bed.write(ref, 1, "nonsense")
    events = bed.manager.events()
    assert [(one.verb, one.subject, one.outcome) for one in events] == [
        ("map update", f"map {ref}", "ok"), ("map delete", f"map {ref}", "ok"),
        ("map update", f"map {ref}", "InvalidRequest"),
    ]  # fmt: skip
    assert events[0].operation == written.operation > 0
    assert events[0].caller == ROOT


def test_frozen_maps_are_constant(bed):
    ref = bed.typed(fake.ARRAY, bed.number, frozen=True)
    with pytest.raises(errors.Conflict, match="frozen"):
        bed.write(ref, 1, 1)


@pytest.mark.parametrize(
    ("type", "do", "told"),
    [
        (fake.ARRAY, lambda bed, ref: bed.delete(ref, 1), "elements of type array are always there"),
        (fake.ARRAY, lambda bed, ref: bed.write(ref, 8, 1), "its keys are 0 to 7"),
        (fake.ARRAY, lambda bed, ref: bed.write(ref, "x", 1), "is not a number from 0"),
        (fake.RINGBUF, lambda bed, ref: bed.write(ref, 1, 1), "has no elements to write"),
        (fake.RINGBUF, lambda bed, ref: bed.dump(ref), "see 'skep map events"),
        (8, lambda bed, ref: bed.dump(ref), "the kernel shows no elements of a cgroup_array"),
        (7, lambda bed, ref: bed.write(ref, 1, 1), "it is a stack_trace"),
        (99, lambda bed, ref: bed.dump(ref), "it is a type 99|of a type 99"),
    ],
)
def test_what_a_kind_of_map_cannot_do_is_said(bed, type, do, told):
    ref = bed.kernel.foreign_map(type, 4, 4)
    with pytest.raises(errors.InvalidRequest, match=told):
        do(bed, ref)


def test_without_btf_only_bytes_are_taken(bed):
    ref = bed.kernel.foreign_map(fake.HASH, 4, 2)
    with pytest.raises(errors.InvalidRequest, match="nothing says what JSON means"):
        bed.write(ref, 1, 1)
    with pytest.raises(errors.InvalidRequest, match="it takes 4 bytes, not 2"):
        bed.write(ref, "hex:0001", "hex:0001")
    entry = bed.write(ref, "hex:00000001", "hex:0001").entry
    assert (entry.key, entry.values, entry.key_json, entry.values_json) == (b"\0\0\0\1", (b"\0\1",), "", ())
    raw = model.MapWrite(map=str(ref), verb=model.MapVerb.DELETE, key=model.Datum(raw=b"\0\0\0\1"), unsafe_foreign=True)
    bed.manager.map_write(ROOT, raw)
    assert bed.dump(ref) == []


def test_a_mode_says_whether_the_key_may_be_there(bed):
    ref = bed.typed(fake.HASH, bed.number)
    with pytest.raises(errors.NotFound):
        bed.write(ref, 1, 1, mode=model.MapMode.EXISTING)
    bed.write(ref, 1, 1, mode=model.MapMode.NEW)
    with pytest.raises(errors.AlreadyExists):
        bed.write(ref, 1, 1, mode=model.MapMode.NEW)


# ---------------------------------------------------------------- events


def test_events_are_told_by_type_until_the_limit_and_the_reader_is_closed(bed):
    ref = bed.kernel.foreign_map(fake.RINGBUF, 0, 0, btf_id=9)
    waiting = bed.kernel.events.setdefault(ref, [])
    waiting += [door.Raw(struct.pack("=II", number, 0), 8) for number in range(5)]
    stream = bed.manager.map_events(ROOT, model.MapFollow(map=str(ref), type="pair", limit=3, unsafe_foreign=True))
    (batch,) = stream
    assert [one.json for one in batch] == [f'{{"left":{number},"right":0}}' for number in range(3)]
    assert len(waiting) == 2
    assert bed.kernel.readers == 0
    assert bed.manager.events()[-1].verb == "map events"


def test_a_stream_that_is_given_up_closes_its_reader(bed):
    ref = bed.kernel.foreign_map(fake.RINGBUF, 0, 0)
    bed.kernel.events[ref] = [door.Raw(b"\1\2", 2)]
    stream = bed.manager.map_events(ROOT, model.MapFollow(map=str(ref), unsafe_foreign=True))
    assert [(one.data, one.json) for one in next(stream)] == [(b"\1\2", "")]
    assert bed.kernel.readers == 1
    stream.close()
    assert bed.kernel.readers == 0


def test_a_stream_ends_when_it_is_told_to(bed):
    ref = bed.kernel.foreign_map(fake.RINGBUF, 0, 0)
    wanted = model.MapFollow(map=str(ref), unsafe_foreign=True)
    assert list(bed.manager.map_events(ROOT, wanted, lambda: True)) == []


def test_events_of_others_are_not_taken_from_them(bed):
    ref = bed.kernel.foreign_map(fake.RINGBUF, 0, 0)
    with pytest.raises(errors.Denied, match="--unsafe-foreign"):
        next(bed.manager.map_events(ROOT, model.MapFollow(map=str(ref))))
    with pytest.raises(errors.NotFound, match=r"no type 'pear'.*did you mean pair"):
        typed = bed.kernel.foreign_map(fake.RINGBUF, 0, 0, btf_id=9)
        next(bed.manager.map_events(ROOT, model.MapFollow(map=str(typed), type="pear", unsafe_foreign=True)))
