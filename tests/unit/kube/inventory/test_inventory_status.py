"""What a node's inventory comes to as an object's status: shape, order, size, and what does not move."""

from __future__ import annotations

import dataclasses
import json

import pytest

from skep import model
from skep.kube import shape
from skep.kube.inventory import kind, status
from tests.unit.kube.inventory.inventories import NOBODY, OURS, POD, inventory, link, map_, program

TODAY = "2026-11-21T23:00:00Z"
CLEAN = {"type": "Clean", "status": "True", "reason": "Clean", "message": "nothing is wrong between skep and others"}


def told(found: model.Inventory, *pods: status.Pod) -> status.Json:
    """As it is written for the first time."""
    made = status.steady({}, status.status(found, "node-1", pods), TODAY)
    assert shape.read(kind.STATUS, json.loads(json.dumps(made)), "status") == made
    return made


def test_an_empty_kernel_has_a_status() -> None:
    assert told(inventory()) == {
        "node": "node-1", "kernel": "6.12.1", "memory": "0",
        "counts": {"programs": 0, "managed": 0, "foreign": 0, "links": 0, "maps": 0},
        "conditions": [{**CLEAN, "lastTransitionTime": TODAY}],
    }  # fmt: skip


def test_managed_objects_name_their_application_and_come_first() -> None:
    found = inventory(
        (program(1, NOBODY), program(2, OURS, "xdp eth0"), program(3, model.Foreign(pins=("/b/x",)))),
        (link(5, OURS),),
        (map_(9, OURS, 2),),
    )
    made = told(found)
    assert made["counts"] == {"programs": 3, "managed": 1, "foreign": 2, "links": 1, "maps": 1}
    assert [one["id"] for one in made["programs"]] == [2, 3, 1]
    assert made["programs"][0] == {
        "id": 2, "name": "p2", "type": "xdp", "tag": "0011", "places": ["xdp eth0"], "memory": "4Ki",
        "owner": {"managed": True, "application": "firewall", "applied": "BpfApplication/web/firewall"},
    }  # fmt: skip
    assert made["programs"][2]["owner"] == {"managed": False}
    assert made["links"][0]["programId"] == 1
    assert made["maps"][0]["programIds"] == [2]
    assert made["memory"] == "13Ki"


def test_processes_are_told_with_the_pod_by_name_where_it_is_known() -> None:
    pod = status.Pod(uid="u1", namespace="web", name="a-1", containers={"c1": "main"})
    found = inventory(
        (program(1, model.Foreign(pids=(7, 8, 9), groups=(POD,), through="link 5")),),
        processes=(
            model.Process(pid=7, comm="agent", exe="/bin/agent", uid=5, group=POD),
            model.Process(pid=8, comm="d", group=model.Group(path="/s/a.service", unit="a.service")),
        ),
    )
    known = {"uid": "u1", "namespace": "web", "name": "a-1", "container": "main"}
    assert told(found, pod)["programs"][0]["owner"] == {
        "managed": False,
        "processes": [
            {"pid": 7, "command": "agent", "executable": "/bin/agent", "pod": known},
            {"pid": 8, "command": "d", "unit": "a.service"},
            {"pid": 9},
        ],
        "cgroups": [{"path": "/kubepods/podu1/c1", "pod": known}],
        "through": "link 5",
    }
    static = dataclasses.replace(pod, uid="mirror")
    (first, *_) = told(found, static)["programs"][0]["owner"]["processes"]
    assert first["pod"] == known, "a static pod's cgroup has another UID than its object"
    (first, *_) = told(found)["programs"][0]["owner"]["processes"]
    assert first["pod"] == {"uid": "u1", "container": "c1"}


def test_nothing_in_it_moves_by_itself() -> None:
    """Run counts, run times and ages would make every look a write."""
    earlier, later = program(1, OURS), program(1, OURS)
    later = model.OwnedProgram(
        kernel=model.KernelProgram(
            id=model.ProgramId(1), type=6, name="x", tag="0011", loaded_at_ns=1, memlock_bytes=4096,
            run_count=10**9, run_time_ns=10**12, recursion_misses=5,
        ),
        name="p1", since=earlier.since + 0.3, owner=OURS,
    )  # fmt: skip
    assert told(inventory((earlier,))) == told(inventory((later,)))


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (0, "0"), (320, "320"), (1023, "1023"), (1024, "1Ki"), (1025, "1.1Ki"), (4096, "4Ki"), (10 * 1024 + 1, "11Ki"),
        (277 * 1024 + 500, "278Ki"), (1 << 20, "1Mi"), ((1 << 20) + 1, "1.1Mi"), (5 << 30, "5Gi"), (5 << 50, "5120Ti"),
    ],
)  # fmt: skip
def test_amounts(octets: int, text: str) -> None:
    assert status.amount(octets) == text
    assert status.octets(text) == pytest.approx(octets, rel=0.1, abs=1)


@pytest.mark.parametrize("text", ["", "much", "4 Ki", "-1"])
def test_what_is_no_amount(text: str) -> None:
    assert status.octets(text) == 0


def test_a_map_that_fills_a_little_is_no_news_and_one_that_doubles_is() -> None:
    def of(memory: int) -> status.Json:
        return told(inventory((program(1, OURS),), (), (map_(9, OURS, 1, memory=memory),)))

    old = of(100_000)
    assert status.steady(old, of(120_000), TODAY) == old
    assert status.steady(old, of(80_000), TODAY) == old
    grown = status.steady(old, of(200_000), TODAY)
    assert grown["maps"][0]["memory"] == "196Ki"
    assert status.steady({}, of(100_000), TODAY) == old


def test_another_object_of_the_same_number_keeps_what_is_its_own() -> None:
    old = told(inventory((program(1, OURS, name="old"),)))
    new = told(inventory((program(1, NOBODY, name="new"),)))
    assert status.steady(old, new, TODAY) == new


@pytest.mark.slow
def test_an_object_never_outgrows_what_an_api_server_takes() -> None:
    """Whatever a kernel holds, and however long its names are; what is skep's is never left out for others'."""
    long = "ü" * 5000
    strangers = model.Foreign(pids=tuple(range(1, 40)), pins=tuple(f"/{n}{long}" for n in range(40)), through=long)
    processes = tuple(model.Process(pid=pid, comm=long, exe=long) for pid in range(1, 40))
    found = inventory(
        (
            *(program(n, strangers, *[long] * 20) for n in range(1, 3000)),
            *(program(n, OURS) for n in range(3000, 3500)),
        ),
        tuple(link(n, strangers) for n in range(1, 3000)),
        tuple(map_(n, strangers, *range(1, 2000)) for n in range(1, 3000)),
        processes,
    )
    made = told(found)
    assert len(json.dumps(made, ensure_ascii=False).encode()) < 1_000_000
    assert made["counts"]["programs"] == 3499
    listed = {name: len(made.get(name, ())) for name in ("programs", "links", "maps")}
    assert {name: listed[name] + made["leftOut"][name] for name in listed} == {
        "programs": 3499, "links": 2999, "maps": 2999
    }  # fmt: skip
    assert sum(one["owner"]["managed"] for one in made["programs"]) == 500


@pytest.mark.slow
def test_twenty_thousand_small_objects_are_cut_to_what_the_schema_takes() -> None:
    made = told(inventory(maps=tuple(map_(n, NOBODY) for n in range(1, 20_001))))
    assert len(made["maps"]) + made["leftOut"]["maps"] == 20_000
    assert len(made["maps"]) <= kind.MOST_OBJECTS
