"""Replacement and adoption on this machine's kernel: what the fake cannot show is that memory itself is kept."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import model
from skep.hooks import tcx
from skep.kernel import sys
from tests.kernel import manager_rig
from tests.unit import host, scenarios

ROOT = manager_rig.ROOT


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[manager_rig.Rig]:
    with manager_rig.rig(tmp_path) as made:
        yield made


def load(rig: manager_rig.Rig, *names: str, object: bytes | None = None) -> list[model.ProgramRecord]:
    return [one.record for one in rig.manager.run(ROOT, host.load(*names, object=object)).programs]


def attach(rig: manager_rig.Rig, program: model.ProgramRecord, attachment: object) -> model.LinkId:
    (link,) = rig.manager.run(ROOT, model.Attach(program=program.id, attachment=attachment)).links
    return link


def pin_of(program: model.ProgramRecord, name: str) -> model.MapPin:
    (pin,) = (ref.pin for ref in program.maps if ref.name == name)
    return pin


def first_u64(pin: model.MapPin) -> int:
    fd = sys.obj_get(pin)
    with sys.held(fd):
        value = ctypes.create_string_buffer(8)
        sys.map_lookup(fd, struct.pack("=I", 0), value)
        return int(struct.unpack("=Q", value.raw)[0])


def replaced(rig: manager_rig.Rig, program: model.ProgramRecord, *defines: str) -> model.ProgramRecord:
    return rig.manager.run(ROOT, scenarios.replace(program.id, host.kinds(*defines))).programs[0].record


@pytest.mark.native  # half a minute of emulation; the next test moves more
def test_a_replaced_program_goes_on_counting_in_the_same_memory(rig: manager_rig.Rig) -> None:
    (old,) = load(rig, "point")
    link = attach(rig, old, host.POINT)
    for _ in range(20):
        # glibc keeps no copy of the pid, so each of these is a system call.
        os.getpid()
    seen = first_u64(pin_of(old, ".bss"))
    assert seen >= 100, "20 calls, each adding `start`, which is 5"
    new = replaced(rig, old, "RETURN=XDP_DROP")
    os.getpid()
    assert pin_of(new, ".bss") == pin_of(old, ".bss")
    assert first_u64(pin_of(new, ".bss")) > seen
    assert pin_of(new, ".rodata") != pin_of(old, ".rodata")
    assert rig.manager.link(link).status.state is model.LinkState.ATTACHED
    assert rig.kernel.program(old.pin) is None
    assert rig.manager.doctor() == ()


def test_a_chain_a_tcx_list_and_shared_maps_move_to_new_versions(rig: manager_rig.Rig) -> None:
    first, second = load(rig, "first", "second", object=host.kinds("NAMED"))
    load(rig, "first", object=host.kinds("NAMED"))
    for number, program in enumerate((first, second)):
        attach(rig, program, host.on_xdp(10 * number, interface=rig.near))
    packets = [load(rig, "packet")[0] for _ in range(3)]
    links = [
        attach(rig, one, tcx.TcxAttachment(interface=rig.near, direction=tcx.Direction.INGRESS, priority=10 * number))
        for number, one in enumerate(packets, 1)
    ]
    rig.manager.run(ROOT, model.UpdateLink(link=links[0], priority=25))
    new = replaced(rig, first, "EXTRA", "NAMED")
    moved = replaced(rig, packets[1], "EXTRA")
    order = [entry.program_id for entry in rig.kernel.tcx_on(rig.near, 46)]
    assert order == [moved.id, packets[0].id, packets[2].id]
    chain = rig.manager.chain("xdp", rig.near).record
    assert [member.program for member in chain.members] == [new.key, second.key]
    assert rig.kernel.xdp_on(rig.near) == (chain.program_id,)
    assert rig.manager.doctor() == ()
    for record in list(rig.store.snapshot().programs.values()):
        rig.manager.run(ROOT, model.Unload(program=record.id))
    assert rig.kernel.pins(model.PinDir(rig.pins.root)) == ()
