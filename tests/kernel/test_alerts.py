"""What is wrong between skep and others, found in the real kernel with strangers of one's own: and what ends it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, model
from skep.hooks import cgroup
from skep.inventory import owners
from skep.kernel import cgroups, sys
from tests import bpf_build
from tests.kernel import manager_rig
from tests.kernel import stranger as strangers
from tests.kernel.manager_rig import ROOT, Rig
from tests.kernel.stranger import stranger

pytestmark = pytest.mark.native  # nothing here is of one kernel only, and emulation makes minutes of it
KEY = "BpfApplication/web/counter"
APPLIED = {owners.APPLIED: KEY}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with manager_rig.rig(tmp_path) as made:
        yield made


@pytest.fixture
def group() -> Iterator[str]:
    """A control group of our own with one below it."""
    own = f"{cgroups.mount()}/skepalert{os.getpid()}"
    os.mkdir(own)
    os.mkdir(f"{own}/below")
    try:
        yield own
    finally:
        os.rmdir(f"{own}/below")
        os.rmdir(own)


def alerts(rig: Rig) -> list[model.Alert]:
    """Those about this test: others may have theirs on this machine."""
    found = rig.manager.inventory()
    assert found is not None
    return [one for one in found.alerts if rig.network.name in one.place or KEY in one.applications]


def tell(one: model.Alert) -> tuple[str, str, str, int, tuple[str, ...]]:
    return (one.kind.value, one.hook, one.place, one.program, one.applications)


def test_xdp_where_an_application_wants_to_be_until_one_of_them_is_gone(rig: Rig) -> None:
    (program,) = rig.load("on_xdp", metadata=APPLIED)
    place = f"xdp near in {rig.network.name}"
    quiet = rig.manager.inventory()
    assert quiet is not None
    with stranger("link", "near", enter=rig.network.enter) as told:
        with pytest.raises(errors.Conflict, match=r"held by python.*\[") as refused:
            rig.attach(program, rig.attachment("on_xdp"))
        assert f"program {told['program']} (stranger" in refused.value.why
        (one,) = alerts(rig)
        assert tell(one) == ("clash", "xdp", place, told["program"], (KEY,))
        assert f"on_xdp of {KEY} cannot be attached" in one.message
        assert f"[{told['pid']}]" in one.message
        findings = [each for each in rig.manager.doctor() if each.kind == "clash"]
        assert [each.subject for each in findings] == [f"program {told['program']} (stranger) at {place}"]
        changed = rig.manager.inventory(quiet.fingerprint)
        assert changed is not None
        with pytest.raises(errors.Conflict):
            rig.attach(program, rig.attachment("on_xdp"))
        again = rig.manager.inventory(changed.fingerprint)
        assert again is None or [tell(each) for each in alerts(rig)] == [tell(one)]
    assert alerts(rig) == []
    rig.attach(program, rig.attachment("on_xdp"))
    assert alerts(rig) == []


def test_what_an_unloaded_program_wanted_is_forgotten(rig: Rig) -> None:
    (program,) = rig.load("on_xdp", metadata=APPLIED)
    with stranger("link", "near", enter=rig.network.enter):
        with pytest.raises(errors.Conflict):
            rig.attach(program, rig.attachment("on_xdp"))
        assert len(alerts(rig)) == 1
        rig.unload(program)
        assert alerts(rig) == []


def test_a_chain_that_somebody_detached_and_what_came_in_its_stead(rig: Rig) -> None:
    (program,) = rig.load("on_xdp", metadata=APPLIED)
    rig.attach(program, rig.attachment("on_xdp"))
    (chain,) = rig.store.snapshot().chains.values()
    with sys.held(sys.obj_get(chain.link_pin)) as fd:
        sys.link_detach(fd)
    place = f"xdp near in {rig.network.name}"
    (one,) = alerts(rig)
    assert tell(one) == ("drift", "xdp", place, 0, (KEY,))
    assert "it was detached from outside" in one.message
    with stranger("link", "near", enter=rig.network.enter) as told:
        assert [tell(each) for each in alerts(rig)] == [("drift", "xdp", place, told["program"], (KEY,))]
    subprocess.run(["ip", "-n", rig.network.name, "link", "del", "near"], check=True)
    assert alerts(rig) == [], "its interface is gone: nobody detached it"


def test_a_link_that_runs_another_program_now(rig: Rig) -> None:
    (program,) = rig.load("on_tcx", metadata=APPLIED)
    link = rig.attach(program, rig.attachment("on_tcx"))
    (pin,) = rig.store.snapshot().links[link].pins
    assert alerts(rig) == []
    with sys.held(strangers.load(strangers.SCHED_CLS, "usurper")) as theirs:
        with sys.held(sys.obj_get(pin)) as fd:
            sys.link_update(fd, theirs, None)
        drift = [one for one in alerts(rig) if one.kind is model.AlertKind.DRIFT]
    assert [one.name for one in drift] == ["usurper"]
    assert "its link runs program" in drift[0].message


def test_tcx_is_shared_and_a_filter_before_ours_clashes(rig: Rig) -> None:
    (on_tcx, on_tc) = rig.load("on_tcx", "on_tc", metadata=APPLIED)
    rig.attach(on_tcx, rig.attachment("on_tcx"))
    rig.attach(on_tc, rig.attachment("on_tc"))
    where = f"ingress near in {rig.network.name}"
    with stranger("tcx", "near", enter=rig.network.enter) as told:
        assert [tell(one) for one in alerts(rig)] == [("shares", "tcx", f"tcx {where}", told["program"], (KEY,))]
    assert alerts(rig) == []
    classic = ("bpf", "da", "bytecode", "1,6 0 0 0")
    tc = ["tc", "-n", rig.network.name, "filter"]
    at = ["dev", "near", "ingress", "prio"]
    subprocess.run([*tc, "add", *at, "60", "protocol", "all", *classic], check=True)
    assert [one for one in alerts(rig) if one.kind is model.AlertKind.CLASH] == []
    subprocess.run([*tc, "add", *at, "10", "protocol", "all", *classic], check=True)
    (clash,) = [one for one in alerts(rig) if one.kind is model.AlertKind.CLASH]
    assert (clash.hook, clash.place, clash.applications) == ("tc", f"tc {where}", (KEY,))
    assert "at priority 10 is asked before skep's chain" in clash.message
    subprocess.run([*tc, "del", *at, "10"], check=True)
    assert [one for one in alerts(rig) if one.kind is model.AlertKind.CLASH] == []


def test_a_program_that_is_alone_on_a_cgroup_above_ours(rig: Rig, group: str) -> None:
    load = model.Load(
        object=bpf_build.build("types").read_bytes(),
        source=model.FileSource(path="types.bpf.o"),
        programs=(model.ProgramSpec(name="on_device"),),
        metadata=APPLIED,
    )
    (program,) = rig.manager.run(ROOT, load).programs
    with stranger("cgroup", group) as told:
        with pytest.raises(errors.SkepError):
            rig.attach(program, cgroup.CgroupAttachment(path=f"{group}/below"))
        (one,) = alerts(rig)
        assert (one.kind, one.program, one.applications) == (model.AlertKind.CLASH, told["program"], (KEY,))
        assert "without BPF_F_ALLOW_MULTI" in one.message


def test_who_is_not_in_the_list_is_told_and_who_is_is_not(rig: Rig) -> None:
    with stranger("tcx", "near", enter=rig.network.enter) as told:
        place = f"tcx ingress near in {rig.network.name}"
        assert alerts(rig) == [], "without a list everybody is welcome"
        rig.restart(sanctioned=(model.Sanctioned(name="sd_*"),))
        assert [tell(one) for one in alerts(rig)] == [("unsanctioned", "tcx", place, told["program"], ())]
        assert "unsanctioned program" in {one.kind for one in rig.manager.doctor()}
        rig.restart(sanctioned=(model.Sanctioned(name="sd_*"), model.Sanctioned(name="strang*", type="schedcls")))
        assert alerts(rig) == []
        rig.restart(sanctioned=())
        rig.load("on_xdp")
        assert [tell(one)[3] for one in alerts(rig)] == [told["program"]], "skep's own are no strangers"
    assert alerts(rig) == []
