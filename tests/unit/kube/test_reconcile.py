"""Wanted against seen: what is done, and that nothing is done twice."""

from __future__ import annotations

import dataclasses
from typing import Any

from skep import hooks, model
from skep.hooks import aimed, tcx, tracepoint, xdp
from skep.kube import reconcile
from tests.unit.cli import fake

OLD, NEW = "a" * 64, "b" * 64
COUNT = model.ProgramSpec(name="count", hook=model.HookName("xdp"))
TRACE = model.ProgramSpec(name="trace", hook=model.HookName("tracepoint"))
SWITCH = tracepoint.TracepointAttachment(group="sched", name="sched_switch")


def at(name: str, priority: int = 50, *proceed_on: int) -> xdp.XdpAttachment:
    return xdp.XdpAttachment(
        interface=model.InterfaceRef(name=name), priority=priority, proceed_on=proceed_on or (2, 31)
    )


def program(spec: model.ProgramSpec, *attachments: object) -> reconcile.WantedProgram:
    hook = hooks.by_name(spec.hook or "")
    return reconcile.WantedProgram(spec=spec, links={reconcile.place(hook, each): each for each in attachments})


def wanted(*programs: reconcile.WantedProgram, **more: Any) -> reconcile.Wanted:
    return reconcile.Wanted(
        **{
            "metadata": {reconcile.OWNER: "x"},
            "source": model.FileSource(path="/a.o"),
            "object": b"ELF",
            "digest": OLD,
            "programs": programs,
            **more,
        }
    )


def seen(id: int, spec: model.ProgramSpec, **more: Any) -> model.Program:
    values = {"object": OLD, "global_data": {}, "attach_func": spec.attach_func, **more}
    return fake.program(id, name=spec.name, hook=spec.hook or "", **values)


def linked(id: int, of: model.Program, attachment: object, **more: Any) -> model.Link:
    where = reconcile.place(hooks.by_name(of.record.hook), attachment)
    return fake.link(id, of, attachment, metadata={reconcile.PLACE: where}, **more)


def told(actions: tuple[reconcile.Action, ...]) -> list[str]:
    return [
        " ".join(filter(None, (action.verb, action.noun, action.program, action.place, action.detail)))
        for action in actions
    ]


def test_everything_is_new() -> None:
    found = reconcile.actions(wanted(program(COUNT, at("eth0")), program(TRACE, SWITCH)), (), ())
    assert told(found) == [
        "created program count",
        "created program trace",
        "created link count eth0 priority 50",
        "created link trace sched/sched_switch",
    ]
    load, second, *attach = found
    assert isinstance(load.operation, model.Load)
    assert (load.operation.programs, load.names, second.operation) == ((COUNT, TRACE), ("count", "trace"), None)
    assert all(isinstance(each.operation, model.Attach) for each in attach)


def test_nothing_is_done_twice() -> None:
    count = seen(1, COUNT)
    found = reconcile.actions(wanted(program(COUNT, at("eth0"))), (count,), (linked(7, count, at("eth0")),))
    assert told(found) == ["unchanged program count", "unchanged link count eth0 priority 50"]
    assert [each.operation for each in found] == [None, None]
    assert [each.id for each in found] == [1, 7]


def test_anew_is_beside_the_old_which_goes_when_the_new_is_there() -> None:
    count = seen(1, COUNT)
    links = (linked(7, count, at("eth0")),)
    whole = dataclasses.replace(wanted(program(COUNT, at("eth0"))), anew=True)
    found = reconcile.actions(whole, (count,), links)
    assert told(found) == [
        "created program count",
        "removed program count its maps are made anew",
        "created link count eth0 priority 50",
    ]
    load = found[0].operation
    assert isinstance(load, model.Load) and load.map_owner is None


def test_order_and_verdicts_change_under_the_link() -> None:
    count = seen(1, COUNT)
    links = (linked(7, count, at("eth0")), linked(8, count, at("eth1")))
    found = reconcile.actions(wanted(program(COUNT, at("eth0", 10), at("eth1", 50, 1))), (count,), links)
    assert told(found)[1:] == [
        "changed link count eth0 priority 10 priority 50 -> 10",
        "changed link count eth1 priority 50 other verdicts",
    ]
    assert [each.operation for each in found[1:]] == [
        model.UpdateLink(link=model.LinkId(7), priority=10),
        model.UpdateLink(link=model.LinkId(8), proceed_on=(1,)),
    ]


def test_another_place_is_another_link() -> None:
    count = seen(1, COUNT)
    moded = dataclasses.replace(at("eth0"), mode=model.XdpMode.SKB)
    found = reconcile.actions(wanted(program(COUNT, moded)), (count,), (linked(7, count, at("eth0")),))
    assert told(found) == [
        "unchanged program count", "removed link count eth0 priority 50", "created link count eth0 priority 50",
    ]  # fmt: skip
    assert found[1].operation == model.Detach(link=model.LinkId(7))


def test_new_code_takes_the_old_ones_place() -> None:
    count = seen(1, COUNT)
    for more, why in (({"digest": NEW}, "other code"), ({"global_data": {"rate": b"1"}}, "other global data")):
        found = reconcile.actions(wanted(program(COUNT, at("eth0")), **more), (count,), (linked(7, count, at("eth0")),))
        assert told(found) == [f"changed program count {why}", "unchanged link count eth0 priority 50"]
        assert isinstance(found[0].operation, model.ReplaceProgram)


def test_global_data_that_is_no_longer_given_is_taken_back() -> None:
    count = seen(1, COUNT, global_data={"rate": b"1"})
    (found,) = reconcile.actions(wanted(program(COUNT)), (count,), ())
    assert isinstance(found.operation, model.ReplaceProgram)
    assert found.operation.global_data == {}


def test_an_image_is_compared_by_its_digest() -> None:
    def image(digest: str) -> model.ImageSource:
        return model.ImageSource(url="r/i:v1", pull_policy="Always", digest=digest)

    count = seen(1, COUNT, source=image("sha256:1"))
    same = wanted(program(COUNT), source=image("sha256:1"), digest="sha256:1", object=b"")
    other = wanted(program(COUNT), source=image("sha256:2"), digest="sha256:2", object=b"")
    assert told(reconcile.actions(same, (count,), ())) == ["unchanged program count"]
    assert told(reconcile.actions(other, (count,), ())) == ["changed program count other code"]


def test_a_program_joins_the_maps_of_those_that_are_there() -> None:
    count = seen(1, COUNT)
    found = reconcile.actions(wanted(program(COUNT), program(TRACE)), (count,), ())
    assert told(found) == ["unchanged program count", "created program trace"]
    assert isinstance(found[1].operation, model.Load)
    assert found[1].operation.map_owner == 1


def test_what_is_no_longer_wanted_goes_when_the_rest_is_there() -> None:
    count, trace = seen(1, COUNT), seen(2, TRACE)
    found = reconcile.actions(wanted(program(COUNT)), (count, trace), (linked(8, trace, SWITCH),))
    assert told(found) == ["unchanged program count", "removed program trace"]
    assert found[1].operation == model.Unload(program=model.ProgramId(2))


def test_all_goes() -> None:
    count, trace = seen(1, COUNT), seen(2, TRACE)
    assert told(reconcile.actions(None, (count, trace), ())) == ["removed program count", "removed program trace"]
    assert reconcile.actions(None, (), ()) == ()


def test_another_type_or_function_is_another_program() -> None:
    tc, was = (model.ProgramSpec(name="count", hook=model.HookName(name)) for name in ("tc", "tcx"))
    assert told(reconcile.actions(wanted(program(tc)), (seen(1, was),), ())) == [
        "created program count", "removed program count",
    ]  # fmt: skip
    new, old = (
        model.ProgramSpec(name="f", hook=model.HookName("fentry"), attach_func=name)
        for name in ("vfs_read", "vfs_open")
    )
    assert told(reconcile.actions(wanted(program(new)), (seen(1, old),), ())) == [
        "created program f", "removed program f",
    ]  # fmt: skip


def test_what_the_section_said_is_not_a_difference() -> None:
    spec = model.ProgramSpec(name="f", hook=model.HookName("lsm"))
    loaded = seen(1, spec, attach_func="file_open")
    once = aimed.AimedAttachment()
    found = reconcile.actions(wanted(program(spec, once)), (loaded,), (linked(7, loaded, once),))
    assert [each.verb for each in found] == [reconcile.Verb.UNCHANGED] * 2


def test_what_is_no_longer_in_the_kernel_is_loaded_again() -> None:
    count = seen(1, COUNT)
    gone = dataclasses.replace(count, status=model.ProgramStatus(kernel=None, pin_present=False, stale="reboot"))
    found = reconcile.actions(wanted(program(COUNT, at("eth0"))), (gone,), (linked(7, count, at("eth0")),))
    assert told(found) == [
        "removed program count reboot", "created program count", "created link count eth0 priority 50",
    ]  # fmt: skip


def test_a_link_that_no_longer_runs_is_made_again() -> None:
    count = seen(1, COUNT)
    link = linked(7, count, at("eth0"))
    dead = dataclasses.replace(
        link, status=model.LinkStatus(state=model.LinkState.DEFUNCT, reason="the interface is gone")
    )
    found = reconcile.actions(wanted(program(COUNT, at("eth0"))), (count,), (dead,))
    assert told(found) == [
        "unchanged program count",
        "removed link count eth0 priority 50 the interface is gone",
        "created link count eth0 priority 50",
    ]


def test_links_made_by_hand_stay() -> None:
    count = seen(1, COUNT)
    byhand = fake.link(9, count, at("eth5"))
    assert told(reconcile.actions(wanted(program(COUNT)), (count,), (byhand,))) == ["unchanged program count"]


def test_the_place_of_tcx_leaves_out_its_order() -> None:
    one, other = (
        tcx.TcxAttachment(interface=model.InterfaceRef(name="eth0"), direction=tcx.Direction.INGRESS, priority=priority)
        for priority in (1, 2)
    )
    assert reconcile.place(tcx.HOOK, one) == reconcile.place(tcx.HOOK, other)
