"""struct_ops: a TCP congestion control of BPF is there while it is registered, with a link and without."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, manager, model, store
from skep.hooks import struct_ops
from tests import bpf_build
from tests.kernel import types_rig
from tests.kernel.types_rig import ROOT, Rig

PROGRAMS = ("begin", "threshold", "undo", "avoid")
BEGIN, AVOID = 0, 3  # counters of tests/bpf/struct_ops.bpf.c
LINKED, LINKLESS = ("LINK",), ()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with types_rig.rig(tmp_path) as made:
        try:
            yield made
        finally:
            for one in made.manager.links(model.LinkFilter()):
                with contextlib.suppress(errors.SkepError):
                    made.detach(one.record.id)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for a congestion control of this test's own: there is one list of them in a kernel."""
    return f"skep{os.getpid() % 100000}_{abs(hash(request.node.name)) % 10000}"


def load(rig: Rig, name: str, *defines: str, programs: tuple[str, ...] = PROGRAMS) -> tuple[model.Program, ...]:
    wanted = model.Load(
        object=bpf_build.build("struct_ops", f'NAME="{name}"', *defines).read_bytes(),
        source=model.FileSource(path="struct_ops.bpf.o"),
        programs=tuple(model.ProgramSpec(name=one) for one in programs),
        global_data={},
    )
    made = rig.manager.run(ROOT, wanted).programs
    rig.program = made[0]
    return made


def register(rig: Rig, program: model.Program, map: str = "") -> model.LinkId:
    return rig.attach(program, struct_ops.StructOpsAttachment(map=map))


def chosen(name: str) -> int:
    """0 when a connection can be given this congestion control, else the errno."""
    with socket.socket() as one:
        try:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        except OSError as refused:
            return refused.errno or -1
    return 0


def talk(name: str) -> None:
    """A connection on loopback that uses it and moves some bytes."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.socket() as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
            client.connect(server.getsockname())
            peer, _ = server.accept()
            with peer:
                for _ in range(20):
                    client.sendall(b"x" * 5000)
                    left = 5000
                    while left:
                        left -= len(peer.recv(left))


@pytest.mark.parametrize("defines", [LINKED, LINKLESS], ids=["with a link", "without a link"])
def test_a_congestion_control_is_there_while_it_is_registered(rig: Rig, name: str, defines: tuple[str, ...]) -> None:
    programs = load(rig, name, *defines)
    assert chosen(name) == errno.ENOENT
    link = register(rig, programs[2])
    (shown,) = rig.links()
    assert shown.status.state is model.LinkState.ATTACHED
    assert shown.record.attachment == struct_ops.StructOpsAttachment(map="slow")
    talk(name)
    assert rig.hits(BEGIN) == 1
    assert rig.hits(AVOID) > 0
    assert rig.manager.doctor() == ()
    rig.detach(link)
    assert chosen(name) == errno.ENOENT
    assert rig.links() == ()
    assert rig.manager.doctor() == ()


@pytest.mark.parametrize("defines", [LINKED, LINKLESS], ids=["with a link", "without a link"])
def test_a_registration_outlives_who_made_it(rig: Rig, name: str, defines: tuple[str, ...]) -> None:
    link = register(rig, load(rig, name, *defines)[0])
    rig.kernel.close()
    again = manager.Manager(rig.kernel, rig.store, rig.pins)
    again.sweep()
    assert chosen(name) == 0
    assert again.link(link).status.state is model.LinkState.ATTACHED


@pytest.mark.parametrize("defines", [LINKED, LINKLESS], ids=["with a link", "without a link"])
def test_unloading_the_program_takes_it_back(rig: Rig, name: str, defines: tuple[str, ...]) -> None:
    programs = load(rig, name, *defines)
    register(rig, programs[0])
    rig.manager.run(ROOT, model.Unload(program=programs[3].record.id))
    assert chosen(name) == 0
    rig.manager.run(ROOT, model.Unload(program=programs[0].record.id))
    assert chosen(name) == errno.ENOENT
    assert rig.links() == ()


@pytest.mark.parametrize("defines", [LINKED, LINKLESS], ids=["with a link", "without a link"])
def test_a_name_is_taken_once(rig: Rig, name: str, defines: tuple[str, ...]) -> None:
    register(rig, load(rig, name, *defines)[0])
    other = load(rig, name, *defines, "WINDOW=7")[0]
    with pytest.raises(errors.AlreadyExists) as told:
        register(rig, other)
    assert told.value.errno == errno.EEXIST
    assert len(rig.links()) == 1
    assert chosen(name) == 0


def test_with_a_link_it_can_be_registered_again(rig: Rig, name: str) -> None:
    program = load(rig, name, *LINKED)[0]
    for _ in range(3):
        link = register(rig, program)
        assert chosen(name) == 0
        rig.detach(link)
        assert chosen(name) == errno.ENOENT


def test_without_a_link_it_is_registered_once_in_its_life(rig: Rig, name: str) -> None:
    program = load(rig, name)[0]
    link = register(rig, program)
    with pytest.raises(errors.AlreadyExists, match="is registered already"):
        register(rig, program)
    assert chosen(name) == 0
    rig.detach(link)
    with pytest.raises(errors.Conflict, match="once in its life") as told:
        register(rig, program)
    assert "load the object again" in told.value.do
    assert rig.links() == ()
    assert rig.kernel.pins(rig.pins.directory("links")) == ()


def test_a_link_moves_to_the_table_of_another_load(rig: Rig, name: str) -> None:
    old = load(rig, name, *LINKED)[0]
    link = register(rig, old)
    new = load(rig, name, *LINKED, "WINDOW=7")[0]
    rig.manager.run(ROOT, model.UpdateLink(link=link, program=new.record.id))
    assert rig.manager.link(link).program_id == new.record.id
    talk(name)
    assert (rig.hits(BEGIN, old), rig.hits(BEGIN, new)) == (0, 1)
    rig.manager.run(ROOT, model.Unload(program=old.record.id))
    assert chosen(name) == 0
    rig.detach(link)
    assert chosen(name) == errno.ENOENT


def test_a_link_does_not_move_to_another_name(rig: Rig, name: str) -> None:
    link = register(rig, load(rig, name, *LINKED)[0])
    other = load(rig, f"{name}b", *LINKED)[0]
    with pytest.raises(errors.Rejected, match="under the same name"):
        rig.manager.run(ROOT, model.UpdateLink(link=link, program=other.record.id))
    assert (chosen(name), chosen(f"{name}b")) == (0, errno.ENOENT)
    assert rig.manager.link(link).status.state is model.LinkState.ATTACHED


def test_a_registration_without_a_link_does_not_move(rig: Rig, name: str) -> None:
    link = register(rig, load(rig, name)[0])
    other = load(rig, name, *LINKED)[0]
    with pytest.raises(errors.Conflict, match="no link"):
        rig.manager.run(ROOT, model.UpdateLink(link=link, program=other.record.id))
    linked = register(rig, load(rig, f"{name}b", *LINKED)[0])
    with pytest.raises(errors.Conflict, match="only a link's table"):
        rig.manager.run(ROOT, model.UpdateLink(link=linked, program=load(rig, f"{name}b")[0].record.id))
    with pytest.raises(errors.InvalidRequest, match="no priority"):
        rig.manager.run(ROOT, model.UpdateLink(link=linked, priority=3))


def test_a_table_is_loaded_whole(rig: Rig, name: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="lacks undo, avoid") as told:
        load(rig, name, programs=("begin", "threshold"))
    assert "struct_ops:begin,struct_ops:threshold" in told.value.do
    assert rig.kernel.pins(rig.pins.directory("progs")) == ()


def test_an_unloaded_program_and_a_wrong_table_are_told(rig: Rig, name: str) -> None:
    programs = load(rig, name, *LINKED)
    with pytest.raises(errors.NotFound, match="did you mean slow"):
        register(rig, programs[0], "slaw")
    rig.manager.run(ROOT, model.Unload(program=programs[1].record.id))
    with pytest.raises(errors.Conflict, match="threshold were unloaded"):
        register(rig, programs[0])
    assert rig.links() == ()


def test_what_the_kernel_does_not_accept_leaves_nothing(rig: Rig) -> None:
    """A congestion control must have a name."""
    for defines in (LINKED, LINKLESS):
        program = load(rig, "", *defines)[0]
        with pytest.raises(errors.Rejected, match="EINVAL"):
            register(rig, program)
    assert rig.links() == ()
    assert rig.kernel.pins(rig.pins.directory("links")) == ()
    assert rig.kernel.registrations() == ()


def test_one_program_is_not_replaced_alone(rig: Rig, name: str) -> None:
    program = load(rig, name, *LINKED)[0]
    with pytest.raises(errors.Conflict, match="loaded together") as told:
        rig.manager.run(
            ROOT,
            model.ReplaceProgram(
                program=program.record.id,
                object=bpf_build.build("struct_ops", f'NAME="{name}"', *LINKED).read_bytes(),
                source=model.FileSource(path="struct_ops.bpf.o"),
            ),
        )
    assert "--to-program" in told.value.do


@pytest.mark.parametrize("defines", [LINKED, LINKLESS], ids=["with a link", "without a link"])
def test_a_lost_store_adopts_it(rig: Rig, name: str, tmp_path: Path, defines: tuple[str, ...]) -> None:
    program = load(rig, name, *defines)[0]
    register(rig, program)
    with contextlib.closing(store.Store(tmp_path / "new.db")) as fresh:
        other = manager.Manager(rig.kernel, fresh, rig.pins)
        other.sweep()
        assert any(one.kind == "unknown pin" and "/links/" in one.subject for one in other.doctor())
        other.run(ROOT, model.Adopt(pin=rig.pins.root))
        assert other.doctor() == ()
        (link,) = other.links(model.LinkFilter())
        assert link.status.state is model.LinkState.ATTACHED
        other.run(ROOT, model.Detach(link=link.record.id))
        assert chosen(name) == errno.ENOENT
        with pytest.raises(errors.Conflict, match="object file was lost"):
            other.run(ROOT, model.Attach(program=link.program_id, attachment=struct_ops.StructOpsAttachment()))


def test_a_registration_whose_pin_was_removed_is_found_and_taken_back(rig: Rig, name: str) -> None:
    link = register(rig, load(rig, name)[0])
    os.unlink(rig.pins.link(link))
    assert chosen(name) == 0
    assert rig.manager.link(link).status.state is model.LinkState.DEFUNCT
    found = next(one for one in rig.manager.doctor() if one.kind == "registration without pin")
    assert f"skep link detach {link}" in found.remedy
    rig.detach(link)
    assert chosen(name) == errno.ENOENT
    assert rig.manager.doctor() == ()


@pytest.mark.parametrize("defines", [LINKED, LINKLESS], ids=["with a link", "without a link"])
def test_values_are_told_by_the_kernels_types(rig: Rig, name: str, defines: tuple[str, ...]) -> None:
    programs = load(rig, name, *defines)
    register(rig, programs[0])
    seen = rig.kernel.map(model.MapPin(rig.pin("slow")))
    assert seen is not None
    shape = rig.manager.map_shape(ROOT, str(seen.id))
    assert shape.origin == "the kernel"
    assert shape.value is not None
    assert shape.value.name == "struct bpf_struct_ops_tcp_congestion_ops"
    (page,) = rig.manager.map_pages(ROOT, model.MapDump(map=str(seen.id)))
    (text,) = page.entries[0].values_json
    value = json.loads(text)
    assert value["data"]["name"] == name
    assert value["data"]["init"] == programs[0].record.id
    view = rig.manager.map(seen.id)
    assert view.programs == tuple(one.record.id for one in programs)
    assert view.pins == (rig.pin("slow"),)
    assert value["common"]["state"].startswith("BPF_STRUCT_OPS_STATE_")


@pytest.mark.native  # the crash is Python's
@pytest.mark.parametrize("defines", [LINKED, LINKLESS], ids=["with a link", "without a link"])
@pytest.mark.parametrize("point", range(6))
def test_a_crash_while_registering_is_taken_back(rig: Rig, name: str, defines: tuple[str, ...], point: int) -> None:
    """Whatever point the process ends at: after the next start it is registered and known, or neither."""
    program = load(rig, name, *defines)[0]
    calls = iter(range(100))

    def crash(where: str) -> None:
        if next(calls) == point:
            raise _Crash(where)

    broken = manager.Manager(rig.kernel, rig.store, rig.pins, fault=crash)
    with contextlib.suppress(_Crash):
        broken.run(ROOT, model.Attach(program=program.record.id, attachment=struct_ops.StructOpsAttachment()))
    again = manager.Manager(rig.kernel, rig.store, rig.pins)
    again.sweep()
    known = len(again.links(model.LinkFilter()))
    assert (chosen(name) == 0) == bool(known)
    assert again.doctor() == ()


class _Crash(BaseException):
    """The process ends here."""
