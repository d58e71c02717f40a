"""Members of every kind through the Manager: loaded in the worker, kept, linked, attached, and run by real frames."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, model
from tests import bpf_build
from tests.kernel import bpf_raw, manager_rig
from tests.kernel.manager_rig import ROOT

PACKETS = 5
_OBJ_GET = 7


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[manager_rig.Rig]:
    with manager_rig.rig(tmp_path) as made:
        yield made


def _load(rig: manager_rig.Rig, source: str, *programs: str, **data: int) -> tuple[model.Program, ...]:
    path = bpf_build.build(source)
    load = model.Load(
        object=path.read_bytes(),
        source=model.FileSource(path=path.name),
        programs=tuple(model.ProgramSpec(name=one) for one in programs),
        global_data={name: struct.pack("=I", value) for name, value in data.items()},
    )
    return rig.manager.run(ROOT, load).programs


def _open(program: model.Program, map_name: str) -> int:
    pin = next(one.pin for one in program.record.maps if one.name == map_name)
    path = bytearray(os.fsencode(pin) + b"\0")
    return bpf_raw.bpf(_OBJ_GET, bytearray(struct.pack("=QII", bpf_raw.address(path), 0, 0)))


def _value(program: model.Program, map_name: str, key: int = 0) -> int:
    fd = _open(program, map_name)
    try:
        return int(struct.unpack("=Q", bpf_raw.map_lookup(fd, struct.pack("=I", key), 8))[0])
    finally:
        os.close(fd)


def _runs(rig: manager_rig.Rig, link: model.LinkId) -> int:
    counts = rig.manager.link(link).status.counts
    assert counts is not None
    return counts.runs


def test_members_of_every_kind_run_in_one_chain(rig: manager_rig.Rig) -> None:
    (static,) = _load(rig, "subprogram", "with_static")
    (both,) = _load(rig, "subprogram", "with_both")
    (looping,) = _load(rig, "callback", "looping")
    jumper, target = _load(rig, "tail", "jumper", "target")
    (relocated,) = _load(rig, "relocations", "relocated")
    (last,) = _load(rig, "count", "count")
    array = _open(jumper, "targets")
    path = bytearray(os.fsencode(target.record.pin) + b"\0")
    program = bpf_raw.bpf(_OBJ_GET, bytearray(struct.pack("=QII", bpf_raw.address(path), 0, 0)))
    bpf_raw.map_update(array, bytes(4), struct.pack("=I", program))
    members = (static, both, looping, jumper, relocated, last)
    links = [
        rig.attach(member, rig.attachment("on_xdp", priority=10 * number)) for number, member in enumerate(members)
    ]

    rig.send(PACKETS)

    ran = [_runs(rig, link) for link in links]
    assert ran[0] >= PACKETS
    assert ran == [ran[0]] * len(links)
    assert _value(static, "packets") == ran[0]
    assert _value(both, "packets") == 2 * ran[0]
    assert _value(looping, "rounds") == 10 * ran[0]
    assert [_value(jumper, "packets", key) for key in (0, 1)] == [ran[0], ran[0]]
    assert _value(relocated, "seen", 1) > 1000
    assert _value(last, "packets") == ran[0]
    (chain,) = rig.manager.chains()
    assert [one.form.value for one in chain.record.members] == [
        "inline",
        "inline",
        "inline",
        "call",
        "inline",
        "inline",
    ]
    os.close(array)
    os.close(program)


def test_a_member_whose_dead_function_the_verifier_dropped_can_be_linked(rig: manager_rig.Rig) -> None:
    members = [_load(rig, "dead_function", "configured", enabled=0)[0] for _ in range(2)]
    links = [rig.attach(member, rig.attachment("on_xdp")) for member in members]
    rig.send(PACKETS)
    assert min(_runs(rig, link) for link in links) >= PACKETS


@pytest.mark.slow
def test_one_heavy_member_too_many_is_refused_by_name_and_the_chain_stays(rig: manager_rig.Rig) -> None:
    first, second = (_load(rig, "heavy", "heavy")[0] for _ in range(2))
    rig.attach(first, rig.attachment("on_xdp", priority=1))
    before = rig.state()
    with pytest.raises(errors.Exhausted) as refused:
        rig.attach(second, rig.attachment("on_xdp", priority=2))
    assert "1000000" in refused.value.why
    assert "heaviest: heavy (" in refused.value.why
    assert rig.state() == before


def test_a_map_too_many_is_refused_by_name_and_the_chain_stays(rig: manager_rig.Rig) -> None:
    members = [_load(rig, "many_maps", "eight_maps")[0] for _ in range(8)]
    for number, member in enumerate(members[:7]):
        rig.attach(member, rig.attachment("on_xdp", priority=number))
    before = rig.state()
    with pytest.raises(errors.Exhausted, match="65 of at most 64"):
        rig.attach(members[7], rig.attachment("on_xdp", priority=7))
    assert rig.state() == before
