"""What every kernel door does, asked of the fake and of Linux: without this the tests on the fake prove nothing."""

from __future__ import annotations

import dataclasses

import pytest

from skep import errors, model, steps
from skep.bytecode import relocated
from skep.chain import codes, linked, parts, verdict
from skep.hooks import request
from tests.contract.conftest import Place

BEFORE, AFTER = request.Place.BEFORE, request.Place.AFTER


# ---------------------------------------------------------------- pins, directories, aliases


def test_a_directory_is_made_once_and_removed_with_its_pins(place: Place) -> None:
    directory = place.pins.chain(model.ChainKey(type="xdp", netns=model.NetnsInode(1), ifindex=model.IfIndex(1)))
    place.kernel.make_directory(directory)
    place.kernel.make_directory(directory)
    place.kernel.remove_directory(directory)
    place.kernel.remove_directory(directory)
    assert place.kernel.pins(directory) == ()


def test_aliases_are_replaced_listed_and_removed(place: Place) -> None:
    path = place.pins.note("programs", 1)
    place.kernel.alias(path, '{"not": "a path"}')
    place.kernel.alias(path, "x" * 4_000)
    assert place.kernel.aliases(place.pins.directory("notes")) == {path: "x" * 4_000}
    assert place.everything() == (path,)
    place.kernel.remove_alias(path)
    place.kernel.remove_alias(path)
    assert place.kernel.aliases(place.pins.directory("notes")) == {}
    assert place.kernel.aliases(place.pins.directory("nothing")) == {}


def test_missing_pins_are_none_and_releasing_them_is_fine(place: Place) -> None:
    program, map_pin, link = place.pins.program(model.ProgramKey(9), 9), place.pins.shared("none"), place.link(9)
    assert place.kernel.program(program) is None
    assert place.kernel.map(map_pin) is None
    assert place.kernel.link(link) is None
    place.kernel.detach(link)
    place.kernel.unpin(program)
    place.kernel.point(link, program)
    with pytest.raises(errors.NotFound):
        place.kernel.read_counts(map_pin)


# ---------------------------------------------------------------- objects


def test_a_load_pins_programs_and_maps_and_keeps_the_code(place: Place) -> None:
    wanted = place.wanted(1, "first", "packet")
    place.kernel.make_directory(place.pins.set(model.SetKey(1)))
    place.kernel.make_directory(place.pins.private(model.SetKey(1)))
    made = place.kernel.load_object(wanted)
    assert set(made) == {one.pin for one in wanted.programs}
    for one in wanted.programs:
        seen = place.kernel.program(one.pin)
        assert seen is not None
        assert (seen.id, seen.tag, seen.loaded_at_ns) == (
            made[one.pin].kernel.id, made[one.pin].kernel.tag, made[one.pin].kernel.loaded_at_ns,
        )  # fmt: skip
        assert made[one.pin].member.prog_type == one.prog_type
    hits = place.kernel.map(place.pins.map(model.SetKey(1), "hits"))
    assert hits is not None
    assert (hits.type, hits.key_size, hits.value_size, hits.max_entries) == (2, 4, 8, 4)
    assert hits.id in {one.id for one in place.kernel.maps()}
    assert place.kernel.map_by_id(hits.id) == hits
    assert place.kernel.map_by_id(model.MapId(2**31 - 7)) is None


def test_a_reused_map_is_the_same_and_gets_no_second_pin(place: Place) -> None:
    place.load(1, "first")
    hits = place.pins.map(model.SetKey(1), "hits")
    first = place.kernel.map(hits)
    (second,) = place.load(3, "first", hits=hits)
    assert place.kernel.map(hits) == first
    assert place.kernel.map(place.pins.map(model.SetKey(3), "hits")) is None
    program = place.kernel.program(second)
    assert program is not None
    assert first is not None
    found = place.kernel.program_by_id(program.id)
    assert found is not None
    assert first.id in found.map_ids


def test_a_map_that_differs_is_refused_and_nothing_is_left(place: Place) -> None:
    place.load(1, "first")
    hits = place.pins.map(model.SetKey(1), "hits")
    place.kernel.make_directory(place.pins.set(model.SetKey(3)))
    place.kernel.make_directory(place.pins.private(model.SetKey(3)))
    before = place.everything()
    with pytest.raises(errors.Conflict) as told:
        place.kernel.load_object(place.wanted(3, "first", defines=("VALUE=__u32",), hits=hits))
    assert "value size" in str(told.value)
    assert place.everything() == before


# ---------------------------------------------------------------- links


def test_native_first_and_one_program_for_each_interface(place: Place) -> None:
    first, second = place.load(1, "first", "second")
    made = place.kernel.attach(first, place.on_xdp("hw", "drv", "skb"), place.link(1))
    assert (made.taken, len(made.refused)) == (1, 1)
    assert made.interface is not None
    program = place.kernel.program(first)
    assert program is not None
    assert place.kernel.xdp_on(place.interface) == (program.id,)
    seen = place.kernel.link(place.link(1))
    assert seen is not None
    assert (seen.id, seen.program_id, seen.ifindex) == (made.kernel.id, program.id, made.interface.ifindex)
    with pytest.raises(errors.Conflict):
        place.kernel.attach(second, place.on_xdp("drv"), place.link(2))
    assert place.kernel.link(place.link(2)) is None


def test_a_swap_expects_the_old_program(place: Place) -> None:
    first, second = place.load(1, "first", "second")
    place.kernel.attach(first, place.on_xdp("drv"), place.link(1))
    with pytest.raises(errors.Conflict):
        place.kernel.swap(place.link(1), second, first)
    place.kernel.swap(place.link(1), first, second)
    assert place.kernel.xdp_on(place.interface) == (_id(place, second),)
    place.kernel.point(place.link(1), first)
    place.kernel.point(place.link(1), first)
    assert place.kernel.xdp_on(place.interface) == (_id(place, first),)


def test_after_a_detach_the_hook_is_free(place: Place) -> None:
    (first,) = place.load(1, "first")
    for _ in range(3):
        made = place.kernel.attach(first, place.on_xdp("drv"), place.link(1))
        place.kernel.detach(place.link(1))
        assert place.kernel.xdp_on(place.interface) == ()
        assert made.kernel.id not in {one.id for one in place.kernel.links()}


def test_tcx_keeps_the_order_that_anchors_tell(place: Place) -> None:
    pins = []
    for number, anchor in enumerate(((BEFORE, None), (AFTER, 0), (BEFORE, 1), (BEFORE, None), (AFTER, 3)), 1):
        (program,) = place.load(number, "packet")
        beside = None if anchor[1] is None else place.link(anchor[1] + 1)
        place.kernel.attach(program, place.on_tcx(anchor[0], beside), place.link(number))
        pins.append(program)
    order = [entry.program_id for entry in place.kernel.tcx_on(place.interface, 46)]
    assert order == [_id(place, pins[number]) for number in (3, 4, 0, 2, 1)]
    links = {entry.link_id for entry in place.kernel.tcx_on(place.interface, 46)}
    assert links == {one.id for one in (place.kernel.link(place.link(number)) for number in range(1, 6)) if one}
    assert place.kernel.tcx_on(place.interface, 47) == ()


def test_tcx_takes_a_program_only_once(place: Place) -> None:
    (program,) = place.load(1, "packet")
    place.kernel.attach(program, place.on_tcx(BEFORE), place.link(1))
    with pytest.raises(errors.SkepError):
        place.kernel.attach(program, place.on_tcx(BEFORE), place.link(2))


def test_a_tracepoint_link_is_replaced_by_renaming_a_second_over_it(place: Place) -> None:
    target = request.TracepointTarget(group="sched", name="sched_switch")
    candidates = (request.LinkRequest(target=target, attach_type=41, label="tracepoint"),)
    (old,) = place.load(1, "point")
    (new,) = place.load(2, "point")
    first = place.kernel.attach(old, candidates, place.link(1))
    waiting = place.pins.link_copy(model.LinkId(1))
    with pytest.raises(errors.AlreadyExists):
        place.kernel.attach(old, candidates, waiting)
    second = place.kernel.attach(new, candidates, waiting)
    place.kernel.rename(waiting, place.link(1))
    place.kernel.rename(waiting, place.link(1))
    seen = place.kernel.link(place.link(1))
    assert seen is not None
    assert seen.id == second.kernel.id
    place.kernel.detach(place.link(1))
    assert not {first.kernel.id, second.kernel.id} & {one.id for one in place.kernel.links()}


def test_a_target_of_every_processor_stands_for_one_on_each(place: Place) -> None:
    everywhere = request.PerfEventTarget(
        name="cpu-clock", type=1, config=0, period=None, frequency=9, pid=None, cpu=None
    )
    found = place.kernel.places(everywhere)
    assert found == tuple(dataclasses.replace(everywhere, cpu=one.cpu) for one in found)  # type: ignore[union-attr]
    assert found
    assert len(set(found)) == len(found)
    here = dataclasses.replace(everywhere, cpu=0)
    assert place.kernel.places(here) == (here,)
    point = request.TracepointTarget(group="sched", name="sched_switch")
    assert place.kernel.places(point) == (point,)


@pytest.mark.parametrize(
    "target",
    [
        request.TracepointTarget(group="sched", name="sched_swich"),
        request.UprobeTarget(path="/nowhere/at/all", symbol="main", offset=0, retprobe=False),
        request.InterfaceTarget(interface=model.InterfaceRef(name="nothere0")),
        request.InterfaceTarget(interface=model.InterfaceRef(name="lo", netns="/run/netns/not-there")),
    ],
    ids=["tracepoint", "file", "interface", "namespace"],
)
def test_a_target_that_is_not_there_is_told_beforehand(place: Place, target: request.Target) -> None:
    with pytest.raises(errors.NotFound):
        place.kernel.check_target(target)
    (program,) = place.load(1, "point")
    with pytest.raises(errors.NotFound):
        place.kernel.attach(program, (request.LinkRequest(target=target, attach_type=41),), place.link(1))
    assert place.kernel.link(place.link(1)) is None


# ---------------------------------------------------------------- sockets


def on_socket(found: model.Socket) -> tuple[request.LinkRequest, ...]:
    target = request.SocketTarget(name="1:2", socket=found.ref, option=request.SocketOption.FILTER)
    return (request.LinkRequest(target=target, attach_type=0, label="filter"),)


def test_a_note_stands_for_a_program_on_a_socket(place: Place) -> None:
    first, second = (place.load(number, "kept", defines=("SOCKETS",))[0] for number in (1, 3))
    pin = place.pins.socket(model.LinkId(1))
    with place.socket() as named:
        found = place.kernel.socket(named, None, several=False)
        assert (found.ref.pid, found.ref.fd, found.protocol) == (named.pid, named.fd, "udp")
        assert found.ref.inode
        assert found.ref.cookie
        assert place.kernel.socket(named, None, several=False) == found
        assert place.kernel.link(pin) is None
        made = place.kernel.attach(first, on_socket(found), pin)
        seen = place.kernel.link(pin)
        assert seen == made.kernel
        assert seen is not None
        assert (seen.id, seen.type, seen.program_id, seen.defunct) == (0, 0, _id(place, first), False)
        assert pin in place.everything()
        assert 0 not in {one.id for one in place.kernel.links()}
        place.kernel.swap(pin, first, second)
        with pytest.raises(errors.Conflict):
            place.kernel.swap(pin, first, second)
        seen = place.kernel.link(pin)
        assert seen is not None
        assert seen.program_id == _id(place, second)
        place.kernel.point(pin, first)
        place.kernel.detach(pin)
        place.kernel.detach(pin)
        assert place.kernel.link(pin) is None
        place.kernel.attach(second, on_socket(found), pin)
    seen = place.kernel.link(pin)
    assert seen is not None
    assert (seen.defunct, seen.detail) == (True, "its socket is closed")
    place.kernel.detach(pin)
    assert pin not in place.everything()


def test_a_socket_that_is_gone_is_told(place: Place) -> None:
    (program,) = place.load(1, "kept", defines=("SOCKETS",))
    pin = place.pins.socket(model.LinkId(1))
    with place.socket() as named:
        found = place.kernel.socket(named, None, several=False)
    with pytest.raises((errors.NotFound, errors.InvalidRequest)):  # its number may be something else's already
        place.kernel.socket(named, None, several=False)
    with pytest.raises(errors.NotFound):
        place.kernel.attach(program, on_socket(found), pin)
    assert place.kernel.link(pin) is None
    assert pin not in place.everything()


# ---------------------------------------------------------------- run on request


def test_a_program_runs_on_request(place: Place) -> None:
    (program,) = place.load(1, "first")
    answer = place.kernel.run(program, bytes(range(64)), b"", 3)
    assert (answer.code, answer.packet, answer.context) == (2, bytes(range(64)), b"")
    assert answer.duration_ns is not None
    with pytest.raises(errors.Rejected):
        place.kernel.run(program, b"short", b"", 1)
    with pytest.raises(errors.NotFound):
        place.kernel.run(place.pins.program(model.ProgramKey(9), 9), bytes(64), b"", 1)


def test_only_what_is_there_is_read(place: Place) -> None:
    by = request.LinkRequest(target=request.IteratorTarget(name="task"), attach_type=28)
    with pytest.raises(errors.NotFound), place.kernel.read_link(place.link(9)):
        pass
    with pytest.raises(errors.NotFound), place.kernel.read_program(place.pins.program(model.ProgramKey(9), 9), by):
        pass


# ---------------------------------------------------------------- linked programs


def test_a_linked_program_has_a_counter_map_of_its_own(place: Place) -> None:
    loaded = _linked(place, "first", "second")
    program, counts = _revision(place)
    seen = place.kernel.program(program)
    assert seen is not None
    assert seen.id == loaded.kernel.id
    assert set(place.kernel.read_counts(counts)) == {0}
    copy = place.kernel.load_member(_member(place, "first"), place.pins.program(model.ProgramKey(50), 1))
    assert copy.name == "first"


def test_what_is_linked_runs_in_place_of_its_members(place: Place) -> None:
    loaded = _linked(place, "first", "second")
    program, _counts = _revision(place)
    place.kernel.attach(program, place.on_xdp("drv", "skb"), place.link(1))
    assert place.kernel.xdp_on(place.interface) == (loaded.kernel.id,)
    place.kernel.settle()
    place.kernel.remove_directory(place.pins.revision(KEY, 1))
    assert place.kernel.xdp_on(place.interface) == (loaded.kernel.id,), "the link keeps it"


KEY = model.ChainKey(type="xdp", netns=model.NetnsInode(1), ifindex=model.IfIndex(1))


def _revision(place: Place) -> tuple[model.ProgramPin, model.MapPin]:
    return place.pins.revision_program(KEY, 1), place.pins.revision_counts(KEY, 1)


def _member(place: Place, name: str) -> relocated.Member:
    wanted = place.wanted(60, name)
    place.kernel.make_directory(place.pins.set(model.SetKey(60)))
    place.kernel.make_directory(place.pins.private(model.SetKey(60)))
    (made,) = place.kernel.load_object(wanted).values()
    return made.member


def _linked(place: Place, *names: str) -> steps.LoadedLinked:
    place.kernel.make_directory(place.pins.set(model.SetKey(1)))
    place.kernel.make_directory(place.pins.private(model.SetKey(1)))
    place.kernel.make_directory(place.pins.revision(KEY, 1))
    made = place.kernel.load_object(place.wanted(1, *names))
    program, counts = _revision(place)
    members = [one.member for one in made.values()]
    chosen = linked.candidates(members)[0]
    one = linked.link(
        codes.XDP,
        [
            parts.Part(member=member, proceed=verdict.default(codes.XDP), form=form)
            for member, form in zip(members, chosen, strict=True)
        ],
        counter_map=counts,
        name="skep_xdp",
    )
    return place.kernel.load_linked((one,), program, counts, one.slots)


def _id(place: Place, pin: model.ProgramPin) -> model.ProgramId:
    found = place.kernel.program(pin)
    assert found is not None
    return found.id


def test_a_shared_map_gets_two_pins_and_is_found_again(place: Place) -> None:
    shared = place.pins.shared("everybody")

    def load(key: int, reuse: model.MapPin | None) -> steps.LoadedProgram:
        wanted = place.wanted(key, "first", defines=("NAMED",))
        own = place.pins.map(model.SetKey(key), "everybody")
        loads = tuple(
            steps.MapLoad(name=one.name, pins=(shared, own), reuse=reuse) if one.name == "everybody" else one
            for one in wanted.maps
        )
        place.kernel.make_directory(place.pins.set(model.SetKey(key)))
        place.kernel.make_directory(place.pins.private(model.SetKey(key)))
        (made,) = place.kernel.load_object(dataclasses.replace(wanted, maps=loads)).values()
        assert place.kernel.map(own) == place.kernel.map(shared)
        return made

    first, second = load(1, None), load(2, shared)
    assert shared in first.member.maps
    assert shared in second.member.maps


# ---------------------------------------------------------------- everything at once


def test_a_survey_has_what_is_loaded_with_its_pins_and_the_fingerprint_follows(place: Place) -> None:
    before = place.kernel.fingerprint()
    wanted = place.wanted(1, "first")
    place.kernel.make_directory(place.pins.set(model.SetKey(1)))
    place.kernel.make_directory(place.pins.private(model.SetKey(1)))
    (loaded,) = place.kernel.load_object(wanted).values()
    id = loaded.kernel.id
    assert place.kernel.fingerprint() != before
    survey = place.kernel.survey()
    (seen,) = [one for one in survey.programs if one.id == id]
    assert (seen.name, seen.tag) == (loaded.kernel.name, loaded.kernel.tag)
    assert survey.pins[model.ObjectKind.PROGRAM, id] == (wanted.programs[0].pin,)
    assert (model.ObjectKind.PROGRAM, id) not in survey.held
    assert set(seen.map_ids) <= {one.id for one in survey.maps}
