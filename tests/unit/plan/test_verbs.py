"""What each verb decides and refuses, seen through the Manager on a host in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from skep import errors, model
from skep.hooks import tcx
from tests.unit import host as hosts
from tests.unit import scenarios
from tests.unit.host import Host, on_tcx, on_xdp


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "skep.db")


def refused(host: Host, operation: model.Operation, kind: type[errors.SkepError], *words: str) -> None:
    """The operation fails with this class and words, and nothing has changed."""
    before = host.state()
    with pytest.raises(kind) as told:
        host.run(operation)
    for word in words:
        assert word in str(told.value)
    assert host.state() == before


# ---------------------------------------------------------------- load


@pytest.mark.parametrize(
    ("operation", "kind", "words"),
    [
        (lambda: hosts.load("frist"), errors.NotFound, ("first",)),
        (hosts.load, errors.InvalidRequest, ("no program is named",)),
        (lambda: hosts.load("first", "first"), errors.InvalidRequest, ("twice",)),
        (lambda: hosts.load("unknown_kind"), errors.Unsupported, ("lwt_in",)),
        (lambda: hosts.load("first", limt=b"1234"), errors.InvalidRequest, ("limit (4 bytes)", "did you mean limit")),
        (lambda: hosts.load("first", limit=b"1"), errors.InvalidRequest, ("4 bytes",)),
        (lambda: hosts.load("first", owner=model.ProgramId(7)), errors.NotFound, ("map owner 7",)),
        (lambda: hosts.load("first", object=b"#!/bin/sh"), errors.BadObject, ()),
        (lambda: hosts.load("first", object=b"\x7fELF" + bytes(2**24)), errors.Exhausted, ("16777216",)),
    ],
    ids=["name", "none", "twice", "type", "variable", "size", "owner", "script", "large"],
)
def test_loads_that_cannot_be(
    host: Host, operation: Callable[[], model.Load], kind: type[errors.SkepError], words: tuple[str, ...]
) -> None:
    refused(host, operation(), kind, *words)


@pytest.mark.parametrize(
    ("program", "declared", "hook"),
    [("first", "xdp", "xdp"), ("packet", "tc", "tc"), ("packet", "tcx", "tcx"), ("returned", "uprobe", "uretprobe"),
     ("entered", "uretprobe", "uprobe")],
)  # fmt: skip
def test_the_section_decides_within_a_family_unless_the_caller_has_a_choice(
    host: Host, program: str, declared: str, hook: str
) -> None:
    done = host.run(_declared(program, declared))
    assert done.programs[0].record.hook == hook


@pytest.mark.parametrize(("program", "declared"), [("first", "tcx"), ("point", "xdp"), ("unknown_kind", "xdp")])
def test_a_type_that_the_section_contradicts_is_refused(host: Host, program: str, declared: str) -> None:
    refused(host, _declared(program, declared), errors.Conflict, "program type mismatch")


def _declared(program: str, hook: str) -> model.Load:
    return model.Load(
        object=hosts.kinds(),
        source=model.FileSource(path="kinds.bpf.o"),
        programs=(model.ProgramSpec(name=program, hook=model.HookName(hook)),),
    )


def test_only_xdp_frags_sections_are_loaded_with_frags(host: Host) -> None:
    host.load("first", "third")
    flags = {one.name: host.store.member(key) for key, one in host.store.snapshot().programs.items()}
    assert {name: one.prog_flags for name, one in flags.items() if one} == {"first": 0, "third": 32}
    assert {one.expected_attach_type for one in flags.values() if one} == {37}


def test_programs_of_one_load_share_their_maps(host: Host) -> None:
    first, second = host.load("first", "second")
    assert host.record(first).maps == host.record(second).maps
    found = host.manager.program(first)
    assert isinstance(found, model.Program)
    assert found.used_by == (first, second)


def test_a_borrower_uses_the_owners_maps_and_its_own_data(host: Host) -> None:
    (owner,) = host.load("first")
    (borrower,) = host.load("packet", object=hosts.kinds("EXTRA"), owner=owner)
    lent = {ref.name: ref.pin for ref in host.record(owner).maps}
    mine = {ref.name: ref.pin for ref in host.record(borrower).maps}
    assert mine["hits"] == lent["hits"]
    assert mine["extra"].startswith(hosts.PINS.set(host.record(borrower).set))
    assert mine[".rodata"] != lent[".rodata"]
    refused(host, hosts.load("first", owner=borrower), errors.InvalidRequest, str(owner))


def test_a_borrowed_map_that_differs_is_refused_with_the_difference(host: Host) -> None:
    (owner,) = host.load("first")
    refused(host, hosts.load("first", object=hosts.kinds("VALUE=__u32"), owner=owner), errors.Conflict, "value size")


def test_a_set_lives_as_long_as_its_last_user(host: Host) -> None:
    (owner,) = host.load("first")
    hits = host.record(owner).maps[0].pin
    (borrower,) = host.load("packet", owner=owner)
    host.unload(owner)
    assert host.kernel.map(hits) is not None
    (late,) = host.load("packet", owner=owner)
    host.unload(borrower)
    assert host.kernel.map(hits) is not None
    host.unload(late)
    assert host.kernel.map(hits) is None


def test_a_map_pinned_by_name_is_one_for_the_host_until_nobody_uses_it(host: Host) -> None:
    named = hosts.kinds("NAMED")
    (first,) = host.load("first", object=named)
    (second,) = host.load("first", object=named)
    shared = host.kernel.map(hosts.PINS.shared("everybody"))
    assert shared is not None
    for program in (first, second):
        (pin,) = (ref.pin for ref in host.record(program).maps if ref.shared)
        assert host.kernel.map(pin) == shared
    host.unload(first)
    assert host.kernel.map(hosts.PINS.shared("everybody")) == shared
    host.unload(second)
    assert host.kernel.map(hosts.PINS.shared("everybody")) is None


# ---------------------------------------------------------------- attach


def test_equals_run_newest_first_and_by_name_after_the_next_change(host: Host) -> None:
    """As in bpfman, which sorts by (priority, already attached, name) at every change."""

    def order() -> list[str]:
        return [member.name for member in host.chain().members]

    first, second, third = host.load("first", "second", "third")
    host.attach(first, on_xdp(50))
    host.attach(second, on_xdp(50))
    assert order() == ["second", "first"]
    link = host.attach(third, on_xdp(10))
    assert order() == ["third", "first", "second"]
    host.detach(link)
    assert order() == ["first", "second"]


def foreign(one: Host) -> model.Attach:
    one.kernel.foreign_xdp("eth0")
    return host_attach(one)


def host_attach(one: Host) -> model.Attach:
    (program,) = one.load("first")
    return model.Attach(program=program, attachment=on_xdp(10))


def again(one: Host, attachment: object) -> model.Attach:
    operation = host_attach(one)
    one.run(operation)
    return model.Attach(program=operation.program, attachment=attachment)


def wrong_type(one: Host) -> model.Attach:
    (program,) = one.load("first")
    return model.Attach(program=program, attachment=on_tcx(10))


def other_mode(one: Host) -> model.Attach:
    scenarios.chain_of(one, "first")
    (program,) = one.load("second")
    return model.Attach(program=program, attachment=on_xdp(10, mode=model.XdpMode.SKB))


def no_interface(one: Host) -> model.Attach:
    (program,) = one.load("first")
    return model.Attach(program=program, attachment=on_xdp(10, interface=model.InterfaceRef(name="eth9")))


def lost_pin(one: Host) -> model.Attach:
    (program,) = one.load("first")
    one.kernel.unpin(one.record(program).pin)
    return model.Attach(program=program, attachment=on_xdp(10))


def twice_on_tcx(one: Host) -> model.Attach:
    (program,) = one.load("packet")
    one.attach(program, on_tcx(10))
    return model.Attach(program=program, attachment=on_tcx(20))


@pytest.mark.parametrize(
    ("situation", "kind", "words"),
    [
        (foreign, errors.Conflict, ("foreign", "ip link set")),
        (lambda one: again(one, on_xdp(10)), errors.AlreadyExists, ("link 1",)),
        (lambda one: again(one, on_xdp(10, mode=model.XdpMode.SKB)), errors.AlreadyExists, ()),
        (wrong_type, errors.Conflict, ("it is a xdp program",)),
        (other_mode, errors.Conflict, ("mode drv",)),
        (no_interface, errors.NotFound, ("eth0",)),
        (lambda one: model.Attach(program=model.ProgramId(9), attachment=on_xdp(1)), errors.NotFound, ("9",)),
        (lost_pin, errors.Conflict, ("nothing is pinned",)),
        (twice_on_tcx, errors.AlreadyExists, ("link 1",)),
    ],
    ids=["foreign", "twice", "twice-mode", "type", "mode", "interface", "program", "pin", "tcx-twice"],
)
def test_attachments_that_cannot_be(
    host: Host,
    situation: Callable[[Host], model.Operation],
    kind: type[errors.SkepError],
    words: tuple[str, ...],
) -> None:
    refused(host, situation(host), kind, *words)


def test_a_fallback_to_generic_xdp_is_told(host: Host) -> None:
    host.kernel.native = False
    (program,) = host.load("first")
    done = host.run(model.Attach(program=program, attachment=on_xdp(10)))
    assert any("mode skb" in warning for warning in done.warnings)
    link = host.manager.link(done.links[0]).record
    assert link.mode is model.XdpMode.SKB
    assert link.fallback.startswith("drv:")
    refused(
        host,
        model.Attach(program=program, attachment=on_xdp(10, interface=hosts.ETH1, mode=model.XdpMode.DRV)),
        errors.Unsupported,
    )


def test_a_last_member_that_hands_a_drop_on_is_warned_about(host: Host) -> None:
    (program,) = host.load("first")
    done = host.run(model.Attach(program=program, attachment=on_xdp(10, proceed_on=(1,))))
    assert any("turns a drop into a pass" in warning for warning in done.warnings)


def test_forms_that_the_verifier_refuses_are_followed_by_others(host: Host) -> None:
    host.kernel.refuse_linked = lambda one: "too complex" if {form.value for form in one.forms} == {"inline"} else ""
    scenarios.chain_of(host, "first", "second")
    assert {member.form for member in host.chain().members} == {model.MemberForm.CALL}


def test_a_verifier_out_of_budget_names_the_heaviest_and_is_asked_once(host: Host) -> None:
    scenarios.chain_of(host, "first")
    (program,) = host.load("second")
    host.kernel.fail("load_linked", errors.Rejected("refused", why="BPF program is too large", errno=7, log="the log"))
    host.kernel.calls.clear()
    before = host.state()
    with pytest.raises(errors.Exhausted) as told:
        host.run(model.Attach(program=program, attachment=on_xdp(20)))
    assert "heaviest: first" in str(told.value)
    assert told.value.log == "the log"
    assert host.kernel.calls.count("load_linked") == 1
    assert host.state() == before


def test_a_refusal_of_jumbo_frames_names_who_lacks_them(host: Host) -> None:
    (frags, plain) = host.load("third", "first")
    host.attach(frags, on_xdp(10))
    host.kernel.fail("swap", errors.Unsupported("cannot swap", feature="XDP", errno=34))
    refused(host, model.Attach(program=plain, attachment=on_xdp(20)), errors.Unsupported, "first", "xdp.frags")
    assert [member.name for member in host.chain().members] == ["third"]


def test_tcx_keeps_foreign_programs_where_they_are(host: Host) -> None:
    foreign = host.kernel.foreign_tcx("eth0", 46, at=0)
    programs = [host.load("packet")[0] for _ in range(3)]
    for program, priority in zip(programs, (20, 10, 20), strict=True):
        host.attach(program, on_tcx(priority))
    # Without a link of ours there is no anchor, so the first goes to the head; the others go beside ours.
    assert host.tcx_order() == (programs[1], programs[0], programs[2], foreign)


def test_the_directions_of_tcx_are_two_hooks(host: Host) -> None:
    (program,) = host.load("packet")
    host.attach(program, on_tcx(10))
    host.attach(program, on_tcx(10, tcx.Direction.EGRESS))
    assert host.tcx_order() == (program,)


# ---------------------------------------------------------------- detach and unload


def test_the_first_attach_and_the_last_detach_do_not_wait_for_the_kernel_to_settle(host: Host) -> None:
    (program,) = host.load("first")
    host.kernel.calls.clear()
    host.detach(host.attach(program, on_xdp(10)))
    assert "settle" not in host.kernel.calls


def test_what_is_defunct_can_be_detached_and_its_interface_used_again(host: Host) -> None:
    first, second = scenarios.chain_of(host, "first", "second")
    host.kernel.delete_interface("eth0")
    host.kernel.calls.clear()
    host.detach(first)
    assert not {"load_linked", "swap"} & set(host.kernel.calls)
    host.detach(second)
    host.kernel.add_interface("eth0", ifindex=2)
    scenarios.chain_of(host, "first")
    assert len(host.chain().members) == 1


def test_unloading_rebuilds_each_chain_once(host: Host) -> None:
    operation = scenarios.unload_attached(host)
    host.kernel.calls.clear()
    host.run(operation)
    assert host.kernel.calls.count("swap") == 1
    assert [member.name for member in host.chain().members] == ["first", "third"]


# ---------------------------------------------------------------- update


def test_an_update_is_one_swap_and_keeps_counts(host: Host) -> None:
    links = scenarios.chain_of(host, "first", "second", "third")
    host.kernel.packets("eth0", 9, member=1, code=1)
    host.kernel.calls.clear()
    host.run(model.UpdateLink(link=links[0], priority=25, proceed_on=(1,)))
    assert host.kernel.calls.count("swap") == 1
    seen = host.manager.chain("xdp", hosts.ETH0)
    assert [(one.name, one.proceed_on) for one in seen.record.members] == [
        ("second", 0x80000004), ("first", 0b10), ("third", 0x80000004),
    ]  # fmt: skip
    assert [one.runs for one in seen.counts] == [9, 9, 0]


@pytest.mark.parametrize("change", [{}, {"priority": 10}, {"priority": 10, "proceed_on": ()}])
def test_an_update_that_changes_nothing_asks_the_kernel_nothing(host: Host, change: dict[str, object]) -> None:
    links = scenarios.chain_of(host, "first", "second")
    before = host.state()
    host.run(model.UpdateLink(link=links[0], **change))  # type: ignore[arg-type]  # from a table
    assert host.state() == before


def test_an_update_of_the_proceed_on_set_keeps_equals_where_they_are(host: Host) -> None:
    second, first = host.load("second", "first")
    host.attach(first, on_xdp(10))
    link = host.attach(second, on_xdp(10))
    order = [member.name for member in host.chain().members]
    host.run(model.UpdateLink(link=link, proceed_on=(1, 2)))
    assert [member.name for member in host.chain().members] == order == ["second", "first"]


def test_tcx_moves_only_when_the_order_changes(host: Host) -> None:
    programs = [host.load("packet")[0] for _ in range(3)]
    links = [host.attach(program, on_tcx(priority)) for program, priority in zip(programs, (10, 20, 30), strict=True)]
    host.kernel.calls.clear()
    assert host.run(model.UpdateLink(link=links[0], priority=15)).warnings == ()
    assert "attach" not in host.kernel.calls
    assert host.run(model.UpdateLink(link=links[0], priority=30)).warnings
    assert host.tcx_order() == (programs[1], programs[2], programs[0])
    assert host.manager.link(links[0]).record.priority == 30


def test_updates_that_cannot_be(host: Host) -> None:
    (point,) = host.load("point")
    link = host.attach(point, hosts.POINT)
    refused(host, model.UpdateLink(link=link, priority=1), errors.InvalidRequest, "tracepoint")
    refused(host, model.UpdateLink(link=model.LinkId(99), priority=1), errors.NotFound, "99")
    (member,) = scenarios.chain_of(host, "first")
    refused(host, model.UpdateLink(link=member, priority=-1), errors.InvalidRequest, "2147483647")
    refused(host, model.UpdateLink(link=member, proceed_on=(9,)), errors.InvalidRequest, "9 is not an XDP verdict")
    (packet,) = host.load("packet")
    anchored = host.attach(packet, on_tcx(10))
    refused(host, model.UpdateLink(link=anchored, proceed_on=(1,)), errors.InvalidRequest, "TCX_NEXT")
    host.kernel.delete_interface("eth0")
    refused(host, model.UpdateLink(link=member, priority=5), errors.Conflict, "no longer runs")


# ---------------------------------------------------------------- replace


def test_a_replacement_keeps_maps_links_and_identity(host: Host) -> None:
    operation = scenarios.replace_chain(host)
    assert isinstance(operation, model.ReplaceProgram)
    before = host.record(operation.program)
    hits = host.kernel.map(before.maps[0].pin)
    host.kernel.calls.clear()
    (program,) = (one.record for one in host.run(operation).programs)
    assert host.kernel.calls.count("swap") == 2, "one for each interface"
    assert (program.key, program.generation, program.set) == (before.key, 2, before.set)
    assert program.id != before.id
    assert host.kernel.map(program.maps[0].pin) == hits
    assert {ref.name: ref.pin for ref in program.maps if ref.name in (".bss", ".data")} == {
        ref.name: ref.pin for ref in before.maps if ref.name in (".bss", ".data")
    }
    assert host.kernel.program(before.pin) is None
    assert [one.runs for one in host.manager.chain("xdp", hosts.ETH0).counts] == [3, 3]
    assert host.kernel.aliases(model.PinDir(hosts.PINS.root))[hosts.PINS.alias_program(program.id)] == program.pin
    assert hosts.PINS.alias_program(before.id) not in host.kernel.aliases(model.PinDir(hosts.PINS.root))


def test_a_replacement_may_add_maps_and_drop_them_again(host: Host) -> None:
    (program,) = host.load("first")
    extra = hosts.PINS.map(host.record(program).set, "extra")
    done = host.run(scenarios.replace(program, hosts.kinds("EXTRA")))
    assert host.kernel.map(extra) is not None
    assert any(".bss" in warning for warning in done.warnings), "it has another variable now"
    host.run(scenarios.replace(done.programs[0].record.id, hosts.kinds()))
    assert host.kernel.map(extra) is None


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "set-anew"])
def test_a_replacement_keeps_global_data_unless_it_is_set_anew(host: Host, kept: bool) -> None:
    (program,) = host.load("first", limit=b"\x03\0\0\0")
    data = {ref.name: ref.pin for ref in host.record(program).maps}
    done = host.run(
        model.ReplaceProgram(
            program=program,
            object=hosts.kinds("RETURN=XDP_DROP"),
            source=model.FileSource(path="new.bpf.o"),
            global_data=None if kept else {"start": b"\x01\0\0\0"},
        )
    )
    record = done.programs[0].record
    now = {ref.name: ref.pin for ref in record.maps}
    assert record.global_data == ({"limit": b"\x03\0\0\0"} if kept else {"start": b"\x01\0\0\0"})
    assert (now[".data"] == data[".data"]) is kept
    assert now[".bss"] == data[".bss"]
    assert now[".rodata"] != data[".rodata"]


def test_replacements_that_cannot_be(host: Host) -> None:
    (program,) = host.load("first")
    host.attach(program, on_xdp(10))
    operation = scenarios.replace(program, hosts.kinds("VALUE=__u32"))
    refused(host, operation, errors.Conflict, "value size")
    packet = model.ReplaceProgram(
        program=program, object=hosts.kinds(), source=model.FileSource(path="x"), name="packet"
    )
    refused(host, packet, errors.Conflict, "type tc, not xdp")
    host.kernel.refuse_linked = lambda one: "R1 invalid mem access"
    refused(host, scenarios.replace(program, hosts.kinds("RETURN=XDP_DROP")), errors.Rejected, "R1 invalid")


# ---------------------------------------------------------------- reboot and lost store


def test_after_a_reboot_nothing_old_is_taken_for_new(host: Host) -> None:
    first, second = host.load("first", "second")
    old = [host.attach(first, on_xdp(10)), host.attach(second, on_xdp(20))]
    host.reboot()
    refused(host, model.Attach(program=first, attachment=on_xdp(10)), errors.Conflict, "before the last reboot")
    # The new program gets the very id that an old one had.
    host.kernel.reuse_ids(first - 4)
    (fresh,) = host.load("third")
    assert fresh == first
    host.attach(fresh, on_xdp(10))
    assert len(host.chain().members) == 1
    for link in old:
        host.detach(link)
    assert len(host.chain().members) == 1, "the old links were not members of the new chain"
    stale = [one for one in host.store.snapshot().programs.values() if one.boot_id != "boot-2"]
    assert [one.name for one in stale] == ["first", "second"]
    host.unload(fresh)
    for one in stale:
        host.unload(one.id)
    assert host.kernel.pins(model.PinDir(hosts.PINS.root)) == ()


def test_a_stale_program_can_be_unloaded_without_touching_the_new_one_of_the_same_id(host: Host) -> None:
    (first, second) = host.load("first", "second")
    host.reboot()
    host.kernel.reuse_ids(second - 4)
    (fresh,) = host.load("third")
    assert fresh == second
    host.unload(first)
    aliases = host.kernel.aliases(model.PinDir(hosts.PINS.root))
    assert hosts.PINS.alias_program(fresh) in aliases


def test_a_lost_store_is_rebuilt_by_adoption(host: Host, tmp_path: Path) -> None:
    first, second, _third = host.load("first", "second", "third")
    host.attach(first, on_xdp(10))
    link = host.attach(second, on_xdp(20))
    (packet,) = host.load("packet")
    anchored = host.attach(packet, on_tcx(5))
    before, kernel = host.store.snapshot(), host.kernel.snapshot()
    host.path = tmp_path / "new.db"
    host.restart()
    assert host.kernel.snapshot() == kernel, "no pin is removed"

    host.run(model.Adopt(pin=hosts.PINS.link(anchored)))
    assert host.manager.link(anchored).program_id == packet
    refused(host, model.Adopt(pin=hosts.PINS.link(anchored)), errors.AlreadyExists)
    refused(host, model.Adopt(pin=f"{hosts.PINS.root}/progs/99-1"), errors.NotFound, "no note")
    host.run(model.Adopt(pin=hosts.PINS.root))
    after = host.store.snapshot()
    assert (dict(after.links), dict(after.chains)) == (dict(before.links), dict(before.chains))
    assert host.manager.doctor() == ()
    host.detach(link)
    assert [member.name for member in host.chain().members] == ["first"]


def test_a_pin_that_is_not_what_its_note_tells_is_not_adopted(host: Host, tmp_path: Path) -> None:
    first, second = host.load("first", "second")
    pins = host.record(first).pin, host.record(second).pin
    host.path = tmp_path / "new.db"
    host.restart()
    host.kernel.rename(pins[1], pins[0])
    refused(host, model.Adopt(pin=pins[0]), errors.Conflict, "the note tells")
    refused(host, model.Adopt(pin=pins[1]), errors.NotFound, "nothing is pinned")


def test_new_ids_do_not_meet_those_of_a_lost_store(host: Host, tmp_path: Path) -> None:
    (first,) = host.load("first")
    link = host.attach(first, on_xdp(10))
    host.path = tmp_path / "new.db"
    host.restart()
    (other,) = host.load("packet")
    assert host.attach(other, on_tcx(10)) > link
    host.run(model.Adopt(pin=hosts.PINS.root))
    assert len(host.store.snapshot().programs) == 2
