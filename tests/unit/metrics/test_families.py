"""Numbers of a snapshot, and the page as Prometheus' own parser reads it."""

from __future__ import annotations

import dataclasses

from prometheus_client import parser

from skep import model
from skep.hooks import xdp
from skep.metrics import families
from tests.unit.rpc.filled import filled


def snapshot(**more: object) -> families.Snapshot:
    empty = families.Snapshot(version="1.2.3", programs=(), links=(), maps=(), operations={})
    return dataclasses.replace(empty, **more)  # type: ignore[arg-type]


def samples(seen: families.Snapshot) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """(name, labels) -> number, out of the page."""
    page = families.text(families.families(seen))
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(page)
        for sample in family.samples
    }


def program(**more: object) -> model.Program:
    """With every number set."""
    made: model.Program = filled(model.Program)
    record = dataclasses.replace(
        made.record, id=model.ProgramId(7), name="count", hook=model.HookName("xdp"),
        metadata={"bpfman.io/application": "shop"},
    )  # fmt: skip
    return dataclasses.replace(made, record=record, **more)  # type: ignore[arg-type]


def link(
    counts: model.Counts | None, *, chain: str = "xdp", state: model.LinkState = model.LinkState.ATTACHED
) -> model.Link:
    made: model.Link = filled(model.Link)
    place = model.InterfaceRef(name="eth0", netns="/run/netns/blue")
    record = dataclasses.replace(
        made.record, id=model.LinkId(3), hook=model.HookName(chain.partition("-")[0]),
        attachment=xdp.XdpAttachment(interface=place, priority=1),
        chain=model.ChainKey(type=chain, netns=model.NetnsInode(5), ifindex=model.IfIndex(2)),
    )  # fmt: skip
    status = dataclasses.replace(made.status, state=state, counts=counts)
    return dataclasses.replace(made, record=record, status=status, program_name="count")


def test_programs_of_others_and_what_is_wrong() -> None:
    owned = filled(model.OwnedProgram)
    kernel = dataclasses.replace(owned.kernel, type=6)
    programs = tuple(
        dataclasses.replace(owned, kernel=kernel, owner=owner, sanctioned=sanctioned)
        for owner, sanctioned in (
            (model.Foreign(), True), (model.Foreign(), False), (model.Foreign(), False), (model.Managed(), True),
        )
    )  # fmt: skip
    clash = model.Alert(kind=model.AlertKind.CLASH, hook="xdp", message="m", remedy="r")
    found = samples(snapshot(inventory=model.Inventory(fingerprint="", release="", programs=programs, alerts=(clash,))))
    assert found["skep_foreign_programs", (("sanctioned", "false"), ("type", "xdp"))] == 2
    assert found["skep_foreign_programs", (("sanctioned", "true"), ("type", "xdp"))] == 1
    assert found["skep_clashes", (("hook", "xdp"), ("kind", "clash"))] == 1


def test_a_program() -> None:
    made = program()
    assert made.status.kernel is not None
    found = samples(snapshot(programs=(made,)))
    labels = (("application", "shop"), ("name", "count"), ("program", "7"), ("type", "xdp"))
    assert found["skep_program_runs_total", labels] == made.status.kernel.run_count
    assert found["skep_program_run_seconds_total", labels] == made.status.kernel.run_time_ns / 1e9
    assert found["skep_program_memory_bytes", labels] == made.status.kernel.memlock_bytes
    assert found["skep_programs_stale", ()] == 0


def test_a_program_that_is_gone_has_no_numbers() -> None:
    gone = program(status=model.ProgramStatus(kernel=None, pin_present=False, stale="reboot"))
    found = samples(snapshot(programs=(gone,)))
    assert found["skep_programs_stale", ()] == 1
    assert not [name for name, _ in found if name.startswith("skep_program_")]


def test_members_of_chains_by_verdict() -> None:
    counts = model.Counts(runs=10, proceeded=6, stopped={1: 3, 99: 1})
    found = samples(snapshot(links=(link(counts), link(None, state=model.LinkState.DEFUNCT))))
    labels = (("chain", "xdp"), ("interface", "eth0"), ("link", "3"), ("name", "count"), ("netns", "5"))
    assert found["skep_chain_member_runs_total", labels] == 10
    assert found["skep_chain_member_proceeded_total", labels] == 6
    assert found["skep_chain_member_stopped_total", (*labels, ("verdict", "drop"))] == 3
    assert found["skep_chain_member_stopped_total", (*labels, ("verdict", "other"))] == 1
    assert found["skep_links", (("state", "attached"), ("type", "xdp"))] == 1
    assert found["skep_links", (("state", "defunct"), ("type", "xdp"))] == 1


def test_verdicts_of_traffic_control_have_their_own_names() -> None:
    found = samples(snapshot(links=(link(model.Counts(runs=1, stopped={2: 1}), chain="tc-ingress"),)))
    assert [dict(labels)["verdict"] for name, labels in found if name == "skep_chain_member_stopped_total"] == ["shot"]


def test_maps_of_managed_programs_only() -> None:
    mine: model.MapView = filled(model.MapView)
    found = samples(snapshot(maps=(mine, dataclasses.replace(mine, programs=()))))
    labels = (("map", str(mine.kernel.id)), ("name", mine.kernel.name))
    assert {key: value for key, value in found.items() if key[0] == "skep_map_memory_bytes"} == {
        ("skep_map_memory_bytes", labels): mine.kernel.memlock_bytes
    }


def test_operations_by_outcome() -> None:
    found = samples(snapshot(operations={("load", "ok"): 4, ("load", "Rejected"): 2}))
    assert found["skep_operations_total", (("outcome", "Rejected"), ("verb", "load"))] == 2
    assert found["skep_operations_total", (("outcome", "ok"), ("verb", "load"))] == 4


def test_names_that_hold_anything() -> None:
    odd = 'a"b\\c\nd'
    found = samples(snapshot(operations={(odd, "ok"): 1}))
    assert found["skep_operations_total", (("outcome", "ok"), ("verb", odd))] == 1
