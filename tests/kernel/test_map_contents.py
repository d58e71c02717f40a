"""What maps hold on the real kernel: every kind that user space can reach, and the same values that bpftool tells."""

from __future__ import annotations

import itertools
import json
import os
import struct
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from skep import errors, model
from skep.hooks import tracepoint
from skep.kernel import sys
from tests import bpf_build
from tests.kernel import manager_rig
from tests.kernel.manager_rig import ROOT

ME = tracepoint.TracepointAttachment(group="syscalls", name="sys_enter_getpgid")
FLOW = {"source": "10.0.0.1", "port": 80, "protocol": 6, "pad": 0}
MIXED = {
    "packets": 1 << 63, "balance": -5, "level": "LOW", "label": "abc", "mac": "aa:bb:cc:dd:ee:ff", "seen": True,
    "low": 5, "middle": -3, "high": 1_000_000, "word": 5, "pair": [{"left": 1, "right": 2}, {"left": 3, "right": 4}],
    "either": {"whole": 77}, "where": "0xffff888000000000",
}  # fmt: skip


class Bed:
    """``contents.bpf.c`` loaded, and short ways to its maps."""

    def __init__(self, rig: manager_rig.Rig) -> None:
        self.rig = rig
        self.manager = rig.manager
        load = model.Load(
            object=bpf_build.build("contents").read_bytes(),
            source=model.FileSource(path="contents.bpf.o"),
            programs=(model.ProgramSpec(name="on_xdp"), model.ProgramSpec(name="on_tracepoint")),
            global_data={"limit": struct.pack("=I", os.getpid())},
        )
        self.programs = rig.manager.run(ROOT, load).programs

    def id(self, name: str) -> model.MapId:
        return self.shape(name).view.kernel.id

    def shape(self, name: str) -> model.MapShape:
        return self.manager.map_shape(ROOT, name)

    def write(self, name: str, key: object, value: object, **more: Any) -> model.MapEntry | None:  # Any: MapWrite's
        wanted = model.MapWrite(
            map=name, verb=model.MapVerb.UPDATE, key=None if key is None else given(key), value=given(value), **more
        )
        return self.manager.map_write(ROOT, wanted).entry

    def delete(self, name: str, key: object = None) -> model.MapEntry | None:
        wanted = model.MapWrite(map=name, verb=model.MapVerb.DELETE, key=None if key is None else given(key))
        return self.manager.map_write(ROOT, wanted).entry

    def lookup(self, name: str, key: object = None) -> model.MapEntry:
        return self.manager.map_lookup(ROOT, name, None if key is None else given(key))

    def entries(self, name: str, **more: Any) -> list[model.MapEntry]:
        pages = self.manager.map_pages(ROOT, model.MapDump(map=name, **more))
        return [entry for page in pages for entry in page.entries]

    def told(self, name: str) -> list[tuple[object, ...]]:
        return [(json.loads(one.key_json or "null"), *map(json.loads, one.values_json)) for one in self.entries(name)]


def given(value: object) -> model.Datum:
    return model.Datum(json=json.dumps(value))


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with manager_rig.rig(tmp_path_factory.mktemp("contents")) as rig:
        yield Bed(rig)


def bpftool(id: int) -> list[dict[str, Any]]:
    done = subprocess.run(["bpftool", "-j", "map", "dump", "id", str(id)], capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def plain(told: Any, bits: set[str]) -> Any:
    """bpftool's values in our spelling: members of anonymous unions in the object around them, bit fields (which it
    prints in hexadecimal and without their sign) as numbers, pointers in hexadecimal."""
    if isinstance(told, list):
        return [plain(one, bits) for one in told]
    if not isinstance(told, dict):
        return told
    found: dict[str, Any] = {}
    for name, value in told.items():
        if name == "":
            found.update(plain(value, bits))
        elif name == "where":
            found[name] = hex(value)
        elif name in bits and isinstance(value, str):
            found[name] = int(value, 16)
        else:
            found[name] = plain(value, bits)
    return found


def without_sign(value: Any) -> Any:
    """``middle`` is signed and 5 bits wide."""
    if isinstance(value, dict) and "middle" in value:
        return {**value, "middle": value["middle"] & 31}
    return value


def test_the_same_bytes_and_values_as_bpftool(bed: Bed) -> None:
    bed.write("flows", FLOW, MIXED)
    bed.write("flows", {**FLOW, "port": 443}, {**MIXED, "level": 99, "label": "1234567", "seen": False})
    ours = {one.key: one for one in bed.entries("flows")}
    theirs = bpftool(bed.id("flows"))
    assert len(ours) == len(theirs) == 2
    for their in theirs:
        our = ours[bytes(int(one, 16) for one in their["key"])]
        assert our.values == (bytes(int(one, 16) for one in their["value"]),)
        assert json.loads(our.key_json) == their["formatted"]["key"]
        value = plain(their["formatted"]["value"], {"low", "middle", "high"})
        assert without_sign(json.loads(our.values_json[0])) == value


@pytest.mark.parametrize("name", ["counts", "recent", "routes", "inner_one", "per_cpu", "per_cpu_hash"])
def test_plain_maps_tell_what_bpftool_tells(bed: Bed, name: str) -> None:
    key: object = 1
    if name == "routes":
        key = {"length": 8, "address": "10.0.0.0"}
    elif name == "per_cpu_hash":
        key = FLOW
    bed.write(name, key, 258)
    theirs = bpftool(bed.id(name))
    told = bed.told(name)
    assert len(told) == len(theirs) > 0
    for their in theirs:
        per_cpu = their["formatted"].get("values")
        values = [one["value"] for one in per_cpu] if per_cpu else [their["formatted"]["value"]]
        assert (their["formatted"]["key"], *values) in told


@pytest.mark.parametrize("name", [".data", ".rodata"])
def test_global_variables_tell_what_bpftool_tells(bed: Bed, name: str) -> None:
    (their,) = bpftool(bed.id(name))
    ((_, ours),) = bed.told(name)
    assert isinstance(ours, dict)
    (variables,) = their["formatted"]["value"].values()
    assert ours == {each: value for one in variables for each, value in one.items()}


def test_a_global_variable_is_changed_alone(bed: Bed) -> None:
    before = json.loads(bed.lookup(".data", 0).values_json[0])
    bed.write(".data", 0, {"setting": before["setting"] + 10}, merge=True)
    assert json.loads(bed.lookup(".data", 0).values_json[0]) == {**before, "setting": before["setting"] + 10}


def test_floating_point_numbers(bed: Bed) -> None:
    bed.write("ratios", 1, {"ratio": 0.1, "part": 1.5})
    assert json.loads(bed.lookup("ratios", 1).values_json[0]) == {"ratio": 0.1, "part": 1.5}


def test_one_cpu_of_a_per_cpu_map(bed: Bed) -> None:
    cpus = bed.shape("per_cpu").cpus
    bed.write("per_cpu", 0, 7)
    bed.write("per_cpu", 0, 8, cpu=0)
    assert bed.told("per_cpu")[0] == (0, 8, *[7] * (cpus - 1))


def test_a_queue_and_a_stack(bed: Bed) -> None:
    for number in (1, 2):
        bed.write("queue", None, {"number": number, "name": "x"})
        bed.write("stack", None, number)
    assert bed.shape("queue").value is not None
    popped = bed.delete("queue")
    assert popped is not None and popped.values_json == ('{"number":1,"name":"x"}',)
    assert bed.lookup("stack").values_json == ("2",)
    for name in ("queue", "stack", "stack"):
        bed.delete(name)
    with pytest.raises(errors.NotFound, match="is empty"):
        bed.delete("queue")


def test_a_bloom_filter(bed: Bed) -> None:
    bed.write("bloom", None, 12)
    assert bed.lookup("bloom", 12).values_json == ("12",)
    with pytest.raises(errors.NotFound):
        bed.lookup("bloom", 13)


def test_maps_in_maps(bed: Bed) -> None:
    inner = bed.id("inner_one")
    entry = bed.write("outer", 3, inner)
    assert entry is not None and entry.inner == inner
    assert {one.inner for one in bed.entries("outer")} == {inner}
    # The inner map is a managed program's through the outer one, even where that program does not name it.
    bed.write(str(inner), 1, 9)
    assert bed.told(str(inner))[1] == (1, 9)
    bed.delete("outer", 3)
    with pytest.raises(errors.NotFound, match="no map 4294967295"):
        bed.write("outer", 3, 0xFFFFFFFF)


def test_programs_are_named_by_id_and_never_by_descriptor(bed: Bed) -> None:
    program = bed.programs[0].record.id
    entry = bed.write("jumps", 2, program)
    assert entry is not None and entry.program == program
    assert [one.program for one in bed.entries("jumps")] == [program]
    bed.delete("jumps", 2)
    with pytest.raises(errors.NotFound, match="no program 3"):
        bed.write("devices", 1, {"ifindex": 1, "bpf_prog": {"id": 3}})
    bed.write("devices", 1, {"ifindex": 1, "bpf_prog": {"id": 0}})
    assert len(bed.entries("devices")) == 1


@pytest.mark.native  # half a minute of emulation for reading in Python
def test_twenty_thousand_elements_come_in_pages(bed: Bed) -> None:
    fd = sys.obj_get(bed.shape("large").view.pins[0])
    with sys.held(fd):
        for index in range(20_000):
            sys.map_update(fd, struct.pack("=I", index), struct.pack("=Q", index * 2))
    pages = list(bed.manager.map_pages(ROOT, model.MapDump(map="large")))
    assert len(pages) > 10
    assert max(len(page.entries) for page in pages) <= 4096
    found = {struct.unpack("=I", one.key)[0]: one.values_json[0] for page in pages for one in page.entries}
    assert found == {index: str(index * 2) for index in range(20_000)}
    # A page's token is all that is needed to go on.
    rest = bed.entries("large", after=pages[4].token)
    assert len(rest) == 20_000 - sum(len(page.entries) for page in pages[:5])
    with pytest.raises(errors.Exhausted, match="holds 20000 elements at most"):
        bed.write("large", 20_001, 1)


@pytest.mark.parametrize(
    ("name", "key", "value", "error", "told"),
    [
        (".rodata", 0, {"limit": 1}, errors.Conflict, "frozen"),
        ("counts", 4, 1, errors.InvalidRequest, "its keys are 0 to 3"),
        ("counts", 1, 1 << 64, errors.InvalidRequest, "does not fit __u64"),
        ("flows", {**FLOW, "prot": 1}, MIXED, errors.InvalidRequest, "did you mean port"),
        ("routes", {"length": 64, "address": "10.0.0.0"}, 1, errors.Rejected, "EINVAL"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    bed: Bed, name: str, key: object, value: object, error: type[errors.SkepError], told: str
) -> None:
    with pytest.raises(error, match=told):
        bed.write(name, key, value)


@pytest.mark.parametrize("name", ["ring", "perf"])
def test_events_are_streamed_and_typed(bed: Bed, name: str) -> None:
    """The type is found: it is the only struct that a global variable of the object points to."""
    link = bed.rig.attach(bed.programs[1], ME)
    before = open_descriptors()
    try:
        stream = bed.manager.map_events(ROOT, model.MapFollow(map=name, limit=20, seconds=20.0))
        threading.Timer(0.2, fire, (20,)).start()
        records = [one for batch in stream for one in batch]
    finally:
        bed.rig.detach(link)
    assert open_descriptors() == before
    numbers = [json.loads(one.json)["number"] for one in records]
    assert numbers == list(range(numbers[0], numbers[0] + 20))
    assert json.loads(records[0].json)["name"] == "hello"
    assert records[0].size >= 16


def test_a_ring_that_wraps_loses_nothing_while_it_is_read(bed: Bed) -> None:
    """4 KiB hold 170 events; a thousand go round several times."""
    link = bed.rig.attach(bed.programs[1], ME)
    try:
        stream = bed.manager.map_events(ROOT, model.MapFollow(map="ring", type="event", limit=1000, seconds=10.0))
        threading.Timer(0.05, fire, (100,)).start()
        numbers: list[int] = []
        for batch in stream:
            numbers += [json.loads(one.json)["number"] for one in batch]
            fire(len(batch))  # as many as were read: there is always room for them
    finally:
        bed.rig.detach(link)
    assert len(numbers) == 1000
    assert all(later == sooner + 1 for sooner, later in itertools.pairwise(numbers))


def fire(times: int) -> None:
    for _ in range(times):
        os.getpgid(0)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_pin_of_somebody_elses(bed: Bed) -> None:
    path = f"/sys/fs/bpf/skep-foreign-{os.getpid()}"
    fd = sys.map_create(1, 4, 4, 4, name="theirs")
    try:
        sys.obj_pin(path, fd)
        os.chmod(path, 0o600)
        id = bed.id(path)
        with pytest.raises(errors.Denied, match="--unsafe-foreign"):
            bed.write(path, "hex:00000000", "hex:00000000")
        assert bed.write(path, "hex:00000000", "hex:01020304", unsafe_foreign=True) is not None
        nobody = model.Caller(uid=65534, gid=65534, pid=1)
        with pytest.raises(errors.Denied, match="cannot open the map"):
            bed.manager.map_shape(nobody, path)
        assert bed.manager.map_shape(nobody, str(id)).view.kernel.name == "theirs"
    finally:
        os.close(fd)
        os.unlink(path)
    with pytest.raises(errors.NotFound):
        bed.id(path)
    with pytest.raises(errors.SkepError):
        bed.id("/etc/passwd")


def test_a_program_is_not_a_map(bed: Bed) -> None:
    with pytest.raises(errors.InvalidRequest, match="is not a map: it is a prog"):
        bed.id(bed.programs[0].record.pin)
