"""tc chains as plans: which way a program goes, whose filters are beside it, and chains that others ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, model
from skep.hooks import tcx
from tests.unit import host as hosts
from tests.unit import scenarios
from tests.unit.host import ETH0, Host, on_tc, on_tcx, on_xdp

SHOT = 2
EGRESS = tcx.Direction.EGRESS


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path / "skep.db")
    yield made
    made.store.close()


def hook_of(host: Host, link: model.LinkId) -> str:
    return host.manager.link(link).record.hook


# ---------------------------------------------------------------- which way


@pytest.mark.parametrize("declared", ["tc", "tcx", None])
def test_a_program_of_the_family_goes_either_way(host: Host, declared: str | None) -> None:
    spec = model.ProgramSpec(name="packet", hook=None if declared is None else model.HookName(declared))
    operation = model.Load(object=hosts.kinds(), source=model.FileSource(path="x"), programs=(spec,))
    (program,) = host.run(operation).programs
    assert program.record.hook == (declared or "tc")
    links = [host.attach(program.record.id, on_tc(1)), host.attach(program.record.id, on_tcx(1))]
    assert [hook_of(host, link) for link in links] == ["tc", "tcx"]
    host.run(scenarios.replace(program.record.id, hosts.kinds("EXTRA")))
    assert [one.status.state for one in host.manager.links(model.LinkFilter())] == [model.LinkState.ATTACHED] * 2
    host.restart()
    assert [hook_of(host, link) for link in links] == ["tc", "tcx"]


def test_other_programs_do_not_go_this_way(host: Host) -> None:
    first, packet = host.load("first", "packet")
    for program, attachment, do in ((first, on_tc(1), "attach xdp"), (packet, on_xdp(1), "attach tc")):
        before = host.state()
        with pytest.raises(errors.Conflict) as told:
            host.attach(program, attachment)
        assert do in told.value.do
        assert host.state() == before


def test_a_link_is_updated_in_the_verdicts_of_its_type(host: Host) -> None:
    (program,) = host.load("packet")
    link = host.attach(program, on_tc(1))
    host.run(model.UpdateLink(link=link, proceed_on=(-1, 30)))
    (member,) = host.chain(type="tc-ingress").members
    assert member.proceed_on == 1 << 0 | 1 << 31
    before = host.state()
    with pytest.raises(errors.InvalidRequest):
        host.run(model.UpdateLink(link=link, proceed_on=(31,)))
    assert host.state() == before


# ---------------------------------------------------------------- other people's filters


def test_foreign_filters_are_told_and_make_ours_step_aside(host: Host) -> None:
    host.kernel.foreign_qdisc("eth0", "clsact")
    for direction, priority in (("ingress", 50), ("ingress", 51), ("egress", 7)):
        host.kernel.foreign_filter("eth0", direction, priority)
    (program,) = host.load("packet")
    operation = model.Attach(program=program, attachment=on_tc(1))
    preview = host.manager.preview(hosts.CALLER, operation)
    assert "filter with priority 52" in preview.steps[3]
    assert "noted at" in preview.steps[3]
    done = host.run(operation)
    assert done.warnings == preview.warnings
    assert len(done.warnings) == 2
    assert host.chain(type="tc-ingress").filter_priority == 52
    assert host.manager.chain("tc-ingress", ETH0).warnings == done.warnings
    (second,) = host.load("packet")
    assert host.run(model.Attach(program=second, attachment=on_tc(2))).warnings == ()


def test_who_asks_for_one_chain_is_told_of_the_others_of_the_interface(host: Host) -> None:
    (program,) = host.load("packet")
    host.attach(program, on_tc(1))
    host.attach(program, on_tc(1, direction=EGRESS))

    with pytest.raises(errors.NotFound, match="no XDP chain on eth0") as told:
        host.manager.chain("xdp", ETH0)

    assert told.value.do == "it has tc-egress and tc-ingress: add --type tc-egress"


def test_where_no_chain_is_others_are_told(host: Host) -> None:
    with pytest.raises(errors.NotFound, match="no program is attached"):
        host.manager.chain("tc-egress", ETH0)
    host.kernel.foreign_qdisc("eth0", "clsact")
    host.kernel.foreign_filter("eth0", "egress", 7)
    with pytest.raises(errors.NotFound, match="at priority 7 is there"):
        host.manager.chain("tc-egress", ETH0)


# ---------------------------------------------------------------- ended by others


@pytest.mark.parametrize("how", ["filter", "qdisc", "interface"])
def test_a_chain_that_others_ended_makes_room(host: Host, how: str) -> None:
    links = scenarios.tc_chain(host, 2)
    match how:
        case "filter":
            host.kernel.remove_filter("eth0", "ingress", 50)
        case "qdisc":
            host.kernel.delete_qdisc("eth0")
        case _:
            # The next namespace gets the number of a deleted one, and interface numbers start anew.
            host.kernel.delete_interface("eth0")
            host.kernel.add_interface("eth0", ifindex=2)
    assert {one.kind for one in host.manager.doctor()} == {"defunct link"}
    (program,) = host.load("packet")
    done = host.run(model.Attach(program=program, attachment=on_tc(1)))
    assert "has made room" in done.warnings[0]
    assert [one.link for one in host.chain(type="tc-ingress").members] == list(done.links)
    for link in (*links, *done.links):
        host.detach(link)
    assert host.manager.doctor() == ()
    # Whoever removed the filter may want the qdisc.
    assert host.kernel.qdisc("eth0") == ("clsact" if how == "filter" else "")


def test_counts_stay_with_the_links_of_both_directions(host: Host) -> None:
    (program,) = host.load("packet")
    inward, outward = host.attach(program, on_tc(1)), host.attach(program, on_tc(1, direction=EGRESS))
    host.kernel.packets("eth0", 3, member=0, code=SHOT, direction="ingress")
    host.kernel.packets("eth0", 5, member=None, code=0, direction="egress")
    host.run(scenarios.replace(program, hosts.kinds("EXTRA")))
    host.kernel.packets("eth0", 1, member=0, code=9, direction="ingress")
    counts = [host.manager.link(link).status.counts for link in (inward, outward)]
    assert counts == [model.Counts(runs=4, stopped={SHOT: 3, 9: 1}), model.Counts(runs=5, proceeded=5)]


def test_a_filter_without_its_note_is_found_by_its_name(host: Host) -> None:
    (link,) = scenarios.tc_chain(host, 1)
    chain = host.chain(type="tc-ingress")
    orphan = host.kernel.filters_on(ETH0)[0]
    host.detach(link)
    host.kernel.foreign_qdisc("eth0", "clsact")
    host.kernel.foreign_filter("eth0", "ingress", 50, called=orphan.name)
    (found,) = host.manager.doctor()
    assert found.kind == "unknown filter"
    assert str(hosts.PINS.chain(chain.key)) in found.subject
    assert "'tc filter del dev eth0 ingress prio 50 handle 0x1 bpf'" in found.remedy
