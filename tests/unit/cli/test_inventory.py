"""``skep inventory`` in every form."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest

from skep import model
from skep.cli.render import inventory as render
from tests.unit.cli import fake
from tests.unit.cli.conftest import Result

Run = Callable[..., Result]
POD = model.Group(path="/kubepods/podx/c", pod="6a1d", container="c0")
UNIT = model.Group(path="/system.slice/a.service", unit="a.service")
OURS = model.Managed(application="firewall", key="ClusterBpfApplication/firewall")
THEIRS = model.Foreign(pids=(812, 900), pins=("/sys/fs/bpf/x",), through="link 5")


def program(id: int, owner: model.Owner, *places: str) -> model.OwnedProgram:
    return model.OwnedProgram(
        kernel=dataclasses.replace(fake.kernel_program(id), memlock_bytes=8192),
        name=f"name{id}", places=places, since=1_700_000_000.0, owner=owner,
    )  # fmt: skip


FOUND = model.Inventory(
    fingerprint="f",
    release="6.1",
    programs=(program(1, THEIRS, "xdp eth0"), program(2, OURS, "xdp eth1", "xdp eth2"), program(3, model.Foreign())),
    links=(
        model.OwnedLink(
            kernel=model.KernelLink(id=model.KernelLinkId(5), type=6, program_id=model.ProgramId(1)),
            place="xdp eth0", owner=dataclasses.replace(THEIRS, through=""),
        ),
    ),
    maps=(
        model.OwnedMap(
            kernel=model.KernelMap(
                id=model.MapId(9), type=2, name="counts", key_size=4, value_size=8, max_entries=1, flags=0,
                memlock_bytes=4096,
            ),
            programs=(model.ProgramId(2),), owner=OURS,
        ),
    ),
    processes=(
        model.Process(pid=812, comm="agent", exe="/usr/bin/agent", uid=7, group=POD),
        model.Process(pid=900, comm="other", group=UNIT),
    ),
)  # fmt: skip


@pytest.fixture(autouse=True)
def found(skep: fake.FakeSkep) -> None:
    skep.found = FOUND


def test_a_person_sees_what_is_skeps_and_whose_the_rest_is(run: Run) -> None:
    lines = run("inventory").out.splitlines()
    assert lines[0] == "3 programs, 1 of them managed; 1 links, 1 maps; 28.0KiB"
    owners = ["skep: firewall"] * 2 + ["agent[812] and 1 more in pod 6a1d"] * 2 + ["nobody"]
    assert [line.split("  ")[0] for line in lines[2:]] == owners
    assert "xdp eth1, xdp eth2" in lines[2]
    assert "program 2" in lines[3]


def test_wide_says_how_it_is_held(run: Run) -> None:
    out = run("inventory", "-o", "wide").out
    assert "agent[812] /usr/bin/agent, other[900], /sys/fs/bpf/x (through link 5)" in out
    assert "ClusterBpfApplication/firewall" in out


def test_structured_output_has_one_shape_for_every_owner(run: Run) -> None:
    told = run("inventory", "-o", "json").json
    assert told["memory"] == 3 * 8192 + 4096
    theirs, ours, nobodys = (one["owner"] for one in told["programs"])
    assert set(theirs) == set(ours) == set(nobodys)
    assert (ours["managed"], ours["application"], ours["applied"]) == (True, "firewall", OURS.key)
    assert theirs["processes"][0] == {
        "pid": 812, "comm": "agent", "exe": "/usr/bin/agent", "uid": 7, "cgroup": "/kubepods/podx/c", "unit": "",
        "pod_uid": "6a1d", "container_id": "c0",
    }  # fmt: skip
    assert (nobodys["managed"], nobodys["processes"], nobodys["pins"]) == (False, [], [])
    lines = [json.loads(line) for line in run("inventory", "-o", "jsonl").out.splitlines()]
    assert [line["kind"] for line in lines] == ["program"] * 3 + ["link", "map"]


def test_names_tell_the_kernels_links_from_skeps(run: Run) -> None:
    assert run("inventory", "-o", "name").out.split() == [
        "program/1", "program/2", "program/3", "kernel-link/5", "map/9",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("flag", "names"),
    [("--managed", ["program/2", "map/9"]), ("--foreign", ["program/1", "program/3", "kernel-link/5"])],
)
def test_only_one_side(run: Run, flag: str, names: list[str]) -> None:
    assert run("inventory", flag, "-o", "name").out.split() == names


def test_what_was_not_seen_is_told(run: Run, skep: fake.FakeSkep) -> None:
    skep.found = dataclasses.replace(FOUND, unread=3, cut=("pins",))
    told = run("inventory").err
    assert "3 processes could not be looked into" in told
    assert "too many pins" in told


@pytest.mark.parametrize(
    ("owner", "label"),
    [
        (model.Managed(), "skep"),
        (OURS, "skep: firewall"),
        (model.Foreign(pids=(900,)), "other[900] in a.service"),
        (model.Foreign(pids=(4,)), "process[4]"),
        (model.Foreign(pins=("/b/a", "/b/b")), "pin /b/a"),
        (model.Foreign(pins=("/sys/fs/bpf/cilium/tc/globals/x",)), "pins in /sys/fs/bpf/cilium"),
        (model.Foreign(pins=("/sys/fs/bpf/x",)), "pin /sys/fs/bpf/x"),
        (model.Foreign(groups=(POD,)), "cgroup in pod 6a1d"),
        (model.Foreign(groups=(model.Group(path="/own"),)), "cgroup /own"),
        (model.Foreign(), "nobody"),
    ],
)
def test_labels(owner: model.Owner, label: str) -> None:
    assert render.label(owner, FOUND) == label


def test_what_is_wrong_is_shown_by_itself_and_in_every_form(skep: fake.FakeSkep, run: Run) -> None:
    clash = model.Alert(
        kind=model.AlertKind.CLASH, hook="xdp", place="xdp eth0", program=model.ProgramId(1), name="name1",
        applications=("ClusterBpfApplication/firewall",), message="it is in the way", remedy="detach it",
    )  # fmt: skip
    skep.found = dataclasses.replace(FOUND, alerts=(clash,))
    text = run("inventory", "--alerts").out
    assert text.splitlines()[-1].split() == ["clash", "xdp", "eth0", "1", "name1", "it", "is", "in", "the", "way"]
    assert "detach it" in run("inventory", "--alerts", "-o", "wide").out
    (one,) = run("inventory", "--alerts", "-o", "json").json["alerts"]
    assert (one["kind"], one["program_id"], one["applications"]) == ("clash", 1, ["ClusterBpfApplication/firewall"])
    assert run("inventory", "--alerts", "-o", "name").out == "program/1\n"
    assert len(run("inventory", "-o", "json").json["alerts"]) == 1


def test_nothing_wrong_is_told_as_that(run: Run) -> None:
    assert run("inventory", "--alerts").out == "nothing is wrong between skep and others\n"
    assert run("inventory", "--alerts", "--foreign").code == 2
