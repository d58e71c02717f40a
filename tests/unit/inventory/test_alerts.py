"""What is wrong between skep and others: a table of what is seen, and the alerts that follow from it."""

from __future__ import annotations

import dataclasses
import time

import pytest

from skep import model
from skep.inventory import alerts
from skep.inventory.alerts import Drifted, Sight, Wanted
from tests.unit.kube.inventory.inventories import NOBODY, OURS, inventory, program

KEY = "BpfApplication/web/firewall"
NOW = 1000.0
FLOWLOG = model.Foreign(pids=(7,))
PROCESS = model.Process(
    pid=7, comm="flowlog", exe="/usr/bin/flowlog", group=model.Group(path="/s/f.service", unit="f.service")
)
ALL = (model.Sanctioned(),)
SYSTEMD = model.Foreign(groups=(model.Group(path="/system.slice/a.service", unit="a.service"),))
AT = model.Group(path="/a")
WANT = Wanted(application=f"{KEY}@node-1", name="count", hook="xdp", place="xdp eth0")
CONNECT = 18


def of_type(one: model.OwnedProgram, type: int) -> model.OwnedProgram:
    return dataclasses.replace(one, kernel=dataclasses.replace(one.kernel, type=type))


def sight(*programs: model.OwnedProgram, **more: object) -> Sight:
    seen = inventory(programs, processes=(PROCESS,))
    return Sight(inventory=seen, now=NOW, own_pins="/sys/fs/bpf/skep/", **more)  # type: ignore[arg-type]


def found(seen: Sight, sanctioned: tuple[model.Sanctioned, ...] = ALL) -> tuple[model.Alert, ...]:
    return alerts.judged(seen, sanctioned).alerts


def unlinked(id: int, place: str, *, alone: bool = True, path: str = "") -> model.Unlinked:
    group = model.Group(path=path) if path else None
    return model.Unlinked(program=model.ProgramId(id), place=place, group=group, alone=alone)


def filter_at(priority: int, program: int = 9) -> model.Filter:
    return model.Filter(
        interface="eth0", ifindex=model.IfIndex(2), direction="ingress", priority=priority, handle=1, kind="bpf",
        name="theirs", program_id=model.ProgramId(program),
    )  # fmt: skip


STRANGER = program(9, FLOWLOG, "xdp eth0", name="theirs")
CASES = {
    "nothing": (sight(program(1, OURS, "xdp eth0"), STRANGER.__class__(
        kernel=STRANGER.kernel, name="theirs", places=("xdp eth1",), owner=FLOWLOG)), []),
    "xdp-that-is-wanted": (
        sight(STRANGER, wanted=(dataclasses.replace(WANT, holders=(model.ProgramId(9),)),)),
        [("clash", "xdp", "xdp eth0", 9, (f"{KEY}@node-1",))],
    ),
    "xdp-that-is-gone-since": (sight(wanted=(dataclasses.replace(WANT, holders=(model.ProgramId(9),)),)), []),
    "a-filter-before-ours": (
        sight(
            program(1, OURS, "tc ingress eth0"), of_type(program(9, NOBODY, "tc ingress eth0", name="theirs"), 3),
            filters={"tc ingress eth0": (50, (filter_at(49),))},
        ),
        [("clash", "tc", "tc ingress eth0", 9, (KEY,))],
    ),
    "a-filter-after-ours": (
        sight(
            program(1, OURS, "tc ingress eth0"), of_type(program(9, NOBODY, "tc ingress eth0", name="theirs"), 3),
            filters={"tc ingress eth0": (50, (filter_at(51),))},
        ),
        [("shares", "tc", "tc ingress eth0", 9, (KEY,))],
    ),
    "tcx-beside-ours": (
        sight(program(1, OURS, "tcx ingress eth0"), program(9, FLOWLOG, "tcx ingress eth0", name="theirs")),
        [("shares", "tcx", "tcx ingress eth0", 9, (KEY,))],
    ),
    "tcx-elsewhere": (sight(program(1, OURS, "tcx ingress eth0"), program(9, FLOWLOG, "tcx egress eth0")), []),
    "netkit-beside-ours": (
        sight(program(1, OURS, "netkit primary nk"), program(9, FLOWLOG, "netkit primary nk", name="theirs")),
        [("shares", "netkit", "netkit primary nk", 9, (KEY,))],
    ),
    "tracing-beside-ours": (sight(program(1, OURS, "fentry vfs_read"), program(9, FLOWLOG, "fentry vfs_read")), []),
    "alone-on-a-cgroup-above-ours": (
        sight(
            program(1, OURS, "cgroup connect4 /a/b"), program(9, NOBODY, "cgroup connect4 /a", name="theirs"),
            unlinked=(unlinked(9, "cgroup connect4 /a", path="/a"),),
        ),
        [("clash", "cgroup", "cgroup connect4 /a/b", 9, (KEY,))],
    ),
    "with-others-on-a-cgroup-above-ours": (
        sight(
            program(1, OURS, "cgroup connect4 /a/b"), program(9, NOBODY, "cgroup connect4 /a"),
            unlinked=(unlinked(9, "cgroup connect4 /a", path="/a", alone=False),),
        ),
        [],
    ),
    "alone-on-a-cgroup-beside-ours": (
        sight(
            program(1, OURS, "cgroup connect4 /ab"), program(9, NOBODY, "cgroup connect4 /a"),
            unlinked=(unlinked(9, "cgroup connect4 /a", path="/a"),),
        ),
        [],
    ),
    "alone-on-another-hook-of-a-cgroup-above": (
        sight(
            program(1, OURS, "cgroup connect4 /a/b"), program(9, NOBODY, "cgroup connect6 /a"),
            unlinked=(unlinked(9, "cgroup connect6 /a", path="/a"),),
        ),
        [],
    ),
    "alone-on-a-cgroup-where-ours-is-wanted": (
        sight(
            of_type(program(9, NOBODY, "cgroup connect4 /a", name="theirs"), CONNECT),
            unlinked=(unlinked(9, "cgroup connect4 /a", path="/a"),),
            wanted=(dataclasses.replace(
                WANT, hook="cgroup_sock_addr", place="cgroup_sock_addr /a/b", path="/a/b", prog_type=CONNECT),),
        ),
        [("clash", "other", "cgroup_sock_addr /a/b", 9, (f"{KEY}@node-1",))],
    ),
    "flow-dissector-that-is-wanted": (
        sight(
            program(9, FLOWLOG, "flow_dissector other", name="theirs"),
            wanted=(dataclasses.replace(WANT, hook="flow_dissector", place="flow_dissector mine"),),
        ),
        [("clash", "flow_dissector", "flow_dissector mine", 9, (f"{KEY}@node-1",))],
    ),
    "struct-ops-of-the-same-name": (
        sight(
            program(9, FLOWLOG, "struct_ops bbr", name="theirs"),
            wanted=(dataclasses.replace(WANT, hook="struct_ops", place="struct_ops bbr", table="bbr"),),
        ),
        [("clash", "struct_ops", "struct_ops bbr", 9, (f"{KEY}@node-1",))],
    ),
    "detached-by-somebody": (
        sight(drifted=(Drifted(
            link=model.LinkId(3), application=KEY, name="count", hook="xdp", place="xdp eth0", reason="why"),)),
        [("drift", "xdp", "xdp eth0", 0, (KEY,))],
    ),
    "replaced-by-somebody": (
        sight(STRANGER, drifted=(Drifted(
            link=model.LinkId(3), application="", name="count", hook="xdp", place="xdp eth0", reason="why",
            now=model.ProgramId(9)),)),
        [("drift", "xdp", "xdp eth0", 9, ())],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("seen", "expected"), CASES.values(), ids=CASES)
def test_what_is_wrong(seen: Sight, expected: list[tuple[object, ...]]) -> None:
    told = found(seen)
    assert [(one.kind, one.hook, one.place, one.program, one.applications) for one in told] == expected
    assert all(one.message and one.remedy and one.hook in alerts.HOOKS for one in told)


@pytest.mark.parametrize(
    ("one", "listed", "sanctioned"),
    [
        (STRANGER, (), False),
        (STRANGER, ALL, True),
        (STRANGER, (model.Sanctioned(name="the*"),), True),
        (STRANGER, (model.Sanctioned(name="the*", type="schedcls"),), False),
        (STRANGER, (model.Sanctioned(type="xdp", tag="0011"),), True),
        (STRANGER, (model.Sanctioned(process="flow*"),), True),
        (STRANGER, (model.Sanctioned(process="/usr/bin/*"),), True),
        (STRANGER, (model.Sanctioned(process="f.service"),), True),
        (STRANGER, (model.Sanctioned(process="systemd"), model.Sanctioned(name="their?")), True),
        (STRANGER, (model.Sanctioned(process="systemd"), model.Sanctioned(name="sd_*")), False),
        (program(9, SYSTEMD, "cgroup device /a"), (model.Sanctioned(process="a.service"),), True),
        (program(9, model.Foreign(pins=("/sys/fs/bpf/x",))), (model.Sanctioned(process="*"),), True),
        (program(9, model.Foreign(pins=("/sys/fs/bpf/x",))), (model.Sanctioned(process="flow*"),), False),
        (program(9, model.Foreign(pins=("/sys/fs/bpf/skep/progs/1-1",))), (), True),
        (dataclasses.replace(program(9, NOBODY), since=NOW - 1), (), True),
        (dataclasses.replace(program(9, NOBODY), since=NOW - 10), (), False),
        (dataclasses.replace(program(9, NOBODY, "xdp eth0"), since=NOW - 1), (), False),
        (program(9, OURS), (), True),
    ],
    ids=[
        "not-listed", "all", "name", "name-and-not-type", "type-and-tag", "command", "executable", "unit", "one-of-two",
        "none-of-two", "unit-of-a-cgroup", "a-pin-and-anybody", "a-pin-and-somebody", "on-its-way-into-skep",
        "just-loaded", "loaded-and-left", "just-attached", "ours",
    ],
)  # fmt: skip
def test_who_is_sanctioned(one: model.OwnedProgram, listed: tuple[model.Sanctioned, ...], sanctioned: bool) -> None:
    judged = alerts.judged(sight(one), listed)
    assert judged.programs[0].sanctioned is sanctioned
    kinds = [] if sanctioned else [model.AlertKind.UNSANCTIONED]
    assert [each.kind for each in judged.alerts] == kinds


def test_it_says_who_did_it_and_for_whom_it_matters() -> None:
    (one,) = found(sight(STRANGER, wanted=(dataclasses.replace(WANT, holders=(model.ProgramId(9),)),)))
    assert one.message == (
        "count of BpfApplication/web/firewall cannot be attached to xdp eth0: program 9 (theirs, held by flowlog[7] in "
        "f.service) holds its XDP hook, where there is one program"
    )
    assert "ip link set dev eth0 xdp off" in one.remedy


def test_the_same_program_loaded_anew_is_the_same_alert() -> None:
    first, again = (found(sight(program(id, FLOWLOG, "xdp eth0", name="theirs")), ())[0] for id in (9, 10))
    assert first != again
    assert first.identity == again.identity


def test_the_same_program_many_times_is_one_alert_and_the_worst_come_first() -> None:
    many = [program(id, FLOWLOG, "tcx ingress eth0", name="theirs") for id in range(2, 50)]
    told = found(sight(program(1, OURS, "tcx ingress eth0"), *many), ())
    assert [one.kind for one in told] == [model.AlertKind.UNSANCTIONED, model.AlertKind.SHARES]


def test_numbers_have_few_labels_and_count_everything() -> None:
    strangers = [program(id, FLOWLOG, f"tcx ingress eth{id}", name=f"p{id}") for id in range(2, 1002)]
    ours = [program(10_000 + id, OURS, f"tcx ingress eth{id}") for id in range(2, 12)]
    began = time.monotonic()
    judged = alerts.judged(sight(*strangers, *ours), (model.Sanctioned(name="p2"),))
    assert time.monotonic() - began < 2
    assert alerts.foreign(judged) == {("xdp", False): 999, ("xdp", True): 1}
    assert alerts.counted(judged) == {("shares", "tcx"): 10}
