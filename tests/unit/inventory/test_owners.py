"""Who owns what: a table of what is seen, and the owner that follows from it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from skep import model, paths, store
from skep.hooks import xdp
from skep.inventory import owners
from skep.inventory.seen import Seen
from skep.kube import host, reconcile
from skep.model import ObjectKind
from tests import fake_kernel
from tests.unit import host as unit_host

NOTHING = model.Survey()
GROUP = model.Group(path="/system.slice/a.service", unit="a.service")


def program(id: int, *maps: int) -> model.KernelProgram:
    return model.KernelProgram(
        id=model.ProgramId(id), type=6, name=f"p{id}", tag="00", loaded_at_ns=id, map_ids=tuple(map(model.MapId, maps)),
        memlock_bytes=4096,
    )  # fmt: skip


def link(id: int, of: int) -> model.KernelLink:
    return model.KernelLink(id=model.KernelLinkId(id), type=6, program_id=model.ProgramId(of))


def seen() -> Seen:
    return Seen(
        records=store.Snapshot(revision=1, programs={}, links={}, chains={}, counts={}),
        boot=model.Boot(boot_id="b", release="6.1"),
        pins=paths.Pins(fake_kernel.ROOT),
        kernel={},
        pinned=frozenset(),
    )


P7, L5, M9 = (ObjectKind.PROGRAM, 7), (ObjectKind.LINK, 5), (ObjectKind.MAP, 9)
WHOLE = model.Survey(programs=(program(7, 9),), links=(link(5, 7),))


@pytest.mark.parametrize(
    ("survey", "owner"),
    [
        ({}, model.Foreign()),
        ({"held": {P7: (30, 40)}}, model.Foreign(pids=(30, 40))),
        ({"pins": {P7: ("/b/p",)}}, model.Foreign(pins=("/b/p",))),
        ({"held": {P7: (30,), L5: (50,)}}, model.Foreign(pids=(30,))),
        ({"held": {L5: (50,)}}, model.Foreign(pids=(50,), through="link 5")),
        ({"pins": {L5: ("/b/l",)}}, model.Foreign(pins=("/b/l",), through="link 5")),
        (
            {"unlinked": (model.Unlinked(program=model.ProgramId(7), place="cgroup device /", group=GROUP),)},
            model.Foreign(groups=(GROUP,)),
        ),
        (
            {"unlinked": (model.Unlinked(program=model.ProgramId(7), place="tracepoint a", pid=60),)},
            model.Foreign(pids=(60,)),
        ),
        ({"unlinked": (model.Unlinked(program=model.ProgramId(7), place="xdp eth0"),)}, model.Foreign()),
    ],
    ids=["nobody", "holders", "pin", "holder-over-link", "link", "link-pin", "cgroup", "event", "netlink"],
)
def test_a_foreign_program_is_of_whoever_keeps_it(survey: dict[str, object], owner: model.Owner) -> None:
    changed = dataclasses.replace(WHOLE, **survey)  # type: ignore[arg-type]
    assert owners.Owners(changed, seen()).program(model.ProgramId(7)) == owner


@pytest.mark.parametrize(
    ("survey", "owner"),
    [
        ({}, model.Foreign()),
        ({"held": {M9: (1,), P7: (2,)}}, model.Foreign(pids=(1,))),
        ({"held": {P7: (2,)}}, model.Foreign(pids=(2,), through="program 7")),
        ({"held": {L5: (50,)}}, model.Foreign(pids=(50,), through="program 7")),
    ],
    ids=["nobody", "holder", "program", "program-by-link"],
)
def test_a_foreign_map_is_of_its_holders_or_its_programs(survey: dict[str, object], owner: model.Owner) -> None:
    changed = dataclasses.replace(WHOLE, **survey)  # type: ignore[arg-type]
    assert owners.Owners(changed, seen()).map(model.MapId(9)) == owner


@pytest.mark.parametrize(
    ("survey", "owner"),
    [
        ({"inside": {P7: (model.MapId(20),)}}, model.Foreign()),
        (
            {"inside": {P7: (model.MapId(20),)}, "held": {(ObjectKind.MAP, 20): (3,)}},
            model.Foreign(pids=(3,), through="map 20"),
        ),
        (
            {"inside": {P7: (model.MapId(20),)}, "pins": {(ObjectKind.MAP, 20): ("/b/calls",)}},
            model.Foreign(pins=("/b/calls",), through="map 20"),
        ),
        (
            {"inside": {P7: (model.MapId(20),)}, "held": {(ObjectKind.PROGRAM, 8): (4,)}},
            model.Foreign(pids=(4,), through="map 20"),
        ),
        # Programs that call each other through an array that nobody holds any more.
        ({"inside": {P7: (model.MapId(20),), (ObjectKind.PROGRAM, 8): (model.MapId(20),)}}, model.Foreign()),
    ],
    ids=["nobodys", "held", "pinned", "used", "circle"],
)
def test_what_only_a_map_keeps_is_of_the_maps_owner(survey: dict[str, object], owner: model.Owner) -> None:
    both = model.Survey(programs=(program(7, 9, 20), program(8, 20)))
    changed = dataclasses.replace(both, **survey)  # type: ignore[arg-type]
    assert owners.Owners(changed, seen()).program(model.ProgramId(7)) == owner


def test_many_links_are_told_as_a_few() -> None:
    held = {(ObjectKind.LINK, number): (number,) for number in range(1, 8)}
    survey = model.Survey(programs=(program(7),), links=tuple(link(number, 7) for number in range(1, 8)), held=held)
    told = owners.Owners(survey, seen()).program(model.ProgramId(7))
    assert told == model.Foreign(pids=tuple(range(1, 8)), through="link 1, link 2, link 3, link 4, …")


def test_places_are_those_of_links_and_those_without() -> None:
    survey = dataclasses.replace(
        WHOLE,
        places={model.KernelLinkId(5): "xdp eth0"},
        unlinked=(model.Unlinked(program=model.ProgramId(7), place="tc ingress eth1"),),
    )
    assert owners.Owners(survey, seen()).places(model.ProgramId(7)) == ("xdp eth0", "tc ingress eth1")


def test_the_words_for_an_application_are_the_same_everywhere() -> None:
    """They are spelt where layers do not meet."""
    assert (owners.APPLICATION, owners.APPLIED) == (host.APPLICATION, reconcile.OWNER)


def test_what_skep_made_is_managed_with_its_chain_and_maps(tmp_path: Path) -> None:
    made = unit_host.Host(tmp_path / "db")
    (ours,) = made.load("first")
    made.attach(ours, xdp.XdpAttachment(interface=unit_host.ETH0, priority=50))
    theirs = made.kernel.foreign_xdp("eth1")
    found = made.manager.inventory()
    assert found is not None
    by_id = {one.kernel.id: one.owner for one in found.programs}
    assert by_id.pop(theirs) == model.Foreign()
    assert by_id.pop(ours) == model.Managed()
    assert list(by_id.values()) == [model.Managed(part="xdp eth0")]
    assert {one.owner for one in found.links} == {model.Managed(part="xdp eth0")}
    assert found.maps
    assert all(isinstance(one.owner, model.Managed) for one in found.maps)
    assert [one.name for one in found.programs if one.kernel.id == ours] == ["first"]


def test_an_application_is_told_of_its_programs_and_of_their_chain(tmp_path: Path) -> None:
    made = unit_host.Host(tmp_path / "db")
    labels = ({owners.APPLICATION: "a", owners.APPLIED: "ClusterBpfApplication/a"}, {owners.APPLICATION: "b"})
    for metadata in labels:
        wanted = dataclasses.replace(unit_host.load("first"), metadata=metadata)
        (one,) = made.run(wanted).programs
        made.attach(one.record.id, xdp.XdpAttachment(interface=unit_host.ETH0, priority=50))
    found = made.manager.inventory()
    assert found is not None
    assert {one.owner for one in found.programs} == {
        model.Managed(application="a", key="ClusterBpfApplication/a"),
        model.Managed(application="b"),
        model.Managed(application="a, b", key="ClusterBpfApplication/a", part="xdp eth0"),
    }


def test_after_a_reboot_nothing_that_is_recorded_is_taken_for_what_is_there(tmp_path: Path) -> None:
    made = unit_host.Host(tmp_path / "db")
    (ours,) = made.load("first")
    made.reboot()
    made.kernel.reuse_ids(ours)
    assert made.kernel.foreign_xdp("eth0") == ours
    found = made.manager.inventory()
    assert found is not None
    assert [one.owner for one in found.programs] == [model.Foreign()]


def test_nothing_is_told_twice_until_something_comes_or_goes(tmp_path: Path) -> None:
    made = unit_host.Host(tmp_path / "db")
    first = made.manager.inventory()
    assert first is not None
    assert made.manager.inventory(first.fingerprint) is None
    made.kernel.foreign_xdp("eth1")
    second = made.manager.inventory(first.fingerprint)
    assert second is not None
    assert made.manager.inventory(second.fingerprint) is None
