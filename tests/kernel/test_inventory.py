"""Who owns what runs here, asked of the real kernel with strangers of one's own."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, model
from skep.inventory import owners
from skep.kernel import cgroups
from tests import instance
from tests.kernel import manager_rig
from tests.kernel.manager_rig import Rig
from tests.kernel.stranger import stranger

pytestmark = pytest.mark.native  # what it is about is the same in the guest, and slow there
UID = "6a1d0c1e-2b5f-4c4e-9f3a-0123456789ab"
CONTAINER = "9f86d081884c7d65" * 4


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with manager_rig.rig(tmp_path) as made:
        yield made


@pytest.fixture
def group() -> Iterator[str]:
    """A container's cgroup as a kubelet names it, below one of our own."""
    own = f"{cgroups.mount()}/skeptest{os.getpid()}"
    made = [own, f"{own}/kubepods", f"{own}/kubepods/pod{UID}", f"{own}/kubepods/pod{UID}/{CONTAINER}"]
    for path in made:
        os.mkdir(path)
    try:
        yield made[-1]
    finally:
        for path in reversed(made):
            os.rmdir(path)


def look(rig: Rig) -> model.Inventory:
    found = rig.manager.inventory()
    assert found is not None
    return found


def program(found: model.Inventory, id: int) -> model.OwnedProgram:
    (one,) = [one for one in found.programs if one.kernel.id == id]
    return one


def test_a_process_that_holds_a_program_and_a_map_owns_them(rig: Rig) -> None:
    before = rig.manager.inventory()
    assert before is not None
    with stranger("program") as told:
        found = rig.manager.inventory(before.fingerprint)
        assert found is not None
        one = program(found, told["program"])
        (map_,) = [one for one in found.maps if one.kernel.id == told["map"]]
        assert one.owner == map_.owner == model.Foreign(pids=(told["pid"],))
        assert (one.name, map_.kernel.name) == ("stranger", "strange_map")
        assert one.kernel.memlock_bytes >= 4096
        assert map_.kernel.memlock_bytes >= 16 * 8
        holder = found.process(told["pid"])
        assert holder is not None
        assert (holder.uid, holder.exe) == (0, os.path.realpath(f"/proc/{told['pid']}/exe"))
        assert holder.comm.startswith("python")
    after = look(rig)
    assert told["program"] not in {one.kernel.id for one in after.programs}
    assert told["map"] not in {one.kernel.id for one in after.maps}


def test_a_process_in_a_pods_cgroup_is_told_with_pod_and_container(rig: Rig, group: str) -> None:
    enter = ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    with stranger("program", enter=enter) as told:
        found = look(rig)
        holder = found.process(told["pid"])
        assert holder is not None
        assert (holder.group.pod, holder.group.container) == (UID, CONTAINER)


def test_a_pin_owns_what_nobody_holds(rig: Rig) -> None:
    path = f"{rig.pins.root}-stranger"
    os.mkdir(path)
    try:
        # A link to the root of everything must not be followed.
        os.symlink("/", f"{path}/away")
        os.mkdir(f"{path}/below")
        with stranger("pin", f"{path}/below/mine") as told:
            found = look(rig)
        one = program(found, told["program"])
        assert one.owner == model.Foreign(pins=(f"{path}/below/mine",))
    finally:
        instance.remove_pins(path)


def test_who_holds_a_link_owns_its_program(rig: Rig) -> None:
    near = rig.network.near
    with stranger("link", near, enter=rig.network.enter) as told:
        found = look(rig)
        one = program(found, told["program"])
        (link,) = [one for one in found.links if one.kernel.id == told["link"]]
        place = f"xdp {near} in {rig.network.name}"
        assert link.owner == model.Foreign(pids=(told["pid"],))
        assert one.owner == model.Foreign(pids=(told["pid"],), through=f"link {told['link']}")
        assert (link.place, one.places) == (place, (place,))


def test_a_program_that_ip_attached_is_nobodys_and_has_a_place(rig: Rig) -> None:
    with stranger("pin", f"{rig.pins.root}/strange") as told:
        pass
    # The tc hook takes it from the pin, and needs the pin no more.
    network = rig.network
    tc = [*network.enter, "tc"]
    for words in (
        ["qdisc", "add", "dev", network.near, "clsact"],
        ["filter", "add", "dev", network.near, "egress", "bpf", "da", "object-pinned", f"{rig.pins.root}/strange"],
    ):
        subprocess.run([*tc, *words], check=True)
    os.unlink(f"{rig.pins.root}/strange")
    one = program(look(rig), told["program"])
    assert one.owner == model.Foreign()
    assert one.places == (f"tc egress {network.near} in {network.name}",)


def test_a_program_on_a_cgroup_without_a_link_is_the_pods(rig: Rig, group: str) -> None:
    with stranger("cgroup", group) as told:
        pass  # only the cgroup keeps it now, as with runc's device filters
    one = program(look(rig), told["program"])
    below = group.removeprefix(cgroups.mount())
    assert one.places == (f"cgroup device {below}",)
    assert one.owner == model.Foreign(groups=(model.Group(path=below, pod=UID, container=CONTAINER),))


def test_who_holds_an_array_owns_the_programs_that_are_called_through_it(rig: Rig) -> None:
    with stranger("tail") as told:
        one = program(look(rig), told["program"])
        assert one.owner == model.Foreign(pids=(told["pid"],), through=f"map {told['map']}")


def test_who_holds_a_map_of_maps_owns_those_in_it(rig: Rig) -> None:
    with stranger("inner") as told:
        (one,) = [one for one in look(rig).maps if one.kernel.id == told["inner"]]
        assert one.owner == model.Foreign(pids=(told["pid"],), through=f"map {told['map']}")


def test_a_program_on_a_perf_event_is_of_the_events_process(rig: Rig) -> None:
    with stranger("event") as told:
        one = program(look(rig), told["program"])
        assert one.owner == model.Foreign(pids=(told["pid"],))
        assert one.places == ("tracepoint sched_switch",)


def test_what_skep_made_is_managed_and_held_by_nobody_else(rig: Rig) -> None:
    wanted = dataclasses.replace(
        manager_rig.load("on_xdp"),
        metadata={owners.APPLICATION: "firewall", owners.APPLIED: "BpfApplication/x/firewall"},
    )
    (made,) = rig.manager.run(manager_rig.ROOT, wanted).programs
    rig.attach(made, rig.attachment("on_xdp"))
    found = look(rig)
    ours = model.Managed(application="firewall", key="BpfApplication/x/firewall")
    chain = dataclasses.replace(ours, part=f"xdp {rig.network.near}")
    place = f"xdp {rig.network.near} in {rig.network.name}"
    assert program(found, made.record.id).owner == ours
    assert program(found, made.record.id).places == (place,)
    (linked,) = [one for one in found.programs if one.owner == chain]
    assert linked.places == (place,)
    assert [(one.place, one.owner) for one in found.links if one.kernel.program_id == linked.kernel.id] == [
        (place, chain)
    ]
    assert {one.owner for one in found.maps if set(one.programs) & {made.record.id, linked.kernel.id}} == {ours, chain}


def test_a_chain_that_meets_a_stranger_is_told_whose_it_is(rig: Rig) -> None:
    (made,) = rig.load("on_xdp")
    with stranger("link", rig.network.near, enter=rig.network.enter) as told:
        with pytest.raises(errors.Conflict) as refused:
            rig.attach(made, rig.attachment("on_xdp"))
        assert f"program {told['program']} (stranger, held by python" in str(refused.value)
        assert f"[{told['pid']}])" in str(refused.value)
