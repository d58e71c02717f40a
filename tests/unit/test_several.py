"""Links that own several kernel links: what is told of them, and what becomes of them when some are lost."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from skep import errors, model, steps
from skep.cli.document import link as document
from skep.plan import notes
from tests.unit import host as hosts
from tests.unit import scenarios
from tests.unit.store import records

PINS = hosts.PINS


@pytest.fixture
def host(tmp_path: Path) -> Iterator[hosts.Host]:
    made = hosts.Host(tmp_path / "skep.db")
    yield made
    made.store.close()


def status(host: hosts.Host, link: model.LinkId) -> tuple[model.LinkState, str, tuple[str, ...]]:
    seen = host.manager.link(link).status
    return seen.state, seen.reason, seen.missing


def test_one_link_has_a_kernel_link_for_each_place_under_one_directory(host: hosts.Host) -> None:
    program, link = scenarios.on_every_cpu(host)
    told = host.manager.link(link)
    assert told.record.places == ("cpu 0", "cpu 1", "cpu 3")
    assert told.record.pins == tuple(PINS.link(link, number) for number in range(3))
    assert [one.id for one in told.status.kernel] == list(told.record.kernel_ids)
    assert {one.program_id for one in told.status.kernel} == {program}
    assert status(host, link) == (model.LinkState.ATTACHED, "", ())
    shown = document.full(told, {})
    assert isinstance(shown["record"], dict)
    assert shown["record"]["pin_path"] == PINS.link_directory(link)
    assert [(one["place"], one["attached"]) for one in document.places(told)] == [
        ("cpu 0", True), ("cpu 1", True), ("cpu 3", True),
    ]  # fmt: skip
    assert host.manager.doctor() == ()


def test_a_preview_tells_every_place(host: hosts.Host) -> None:
    (program,) = host.load("on_perf_event", object=hosts.types())
    told = host.manager.preview(hosts.CALLER, model.Attach(program=program, attachment=hosts.EVERYWHERE))
    pin = host.record(program).pin
    assert [line for line in told.steps if "on cpu" in line] == [
        f"attach {pin} to cpu-clock on cpu {cpu} (perf event), pinned at {PINS.root}/links/1/{place}"
        for place, cpu in enumerate((0, 1, 3))
    ]


@pytest.mark.parametrize(
    ("cpus", "state", "reason", "missing"),
    [
        ((0, 3), model.LinkState.PARTIAL, "cpu 1: gone", ("cpu 1",)),
        ((0, 1, 2, 3), model.LinkState.PARTIAL, "cpu 2: came later", ("cpu 2",)),
        ((2,), model.LinkState.DEFUNCT, "cpu 0, cpu 1, cpu 3: gone; cpu 2: came later",
         ("cpu 0", "cpu 1", "cpu 3", "cpu 2")),
    ],
    ids=["one-gone", "one-came", "all-gone"],
)  # fmt: skip
def test_processors_come_and_go_under_a_link(
    host: hosts.Host, cpus: tuple[int, ...], state: model.LinkState, reason: str, missing: tuple[str, ...]
) -> None:
    program, link = scenarios.on_every_cpu(host)
    host.kernel.cpus = cpus
    assert status(host, link) == (state, reason, missing)
    (finding,) = host.manager.doctor()
    assert (finding.kind, finding.explanation) == (f"{state} link", reason)
    host.run(scenarios.replace(program, hosts.types()))
    assert status(host, link) == (model.LinkState.ATTACHED, "", ())
    assert host.manager.doctor() == ()
    host.detach(link)
    assert host.kernel.pins(PINS.directory("links")) == ()


def test_a_kernel_link_that_somebody_took_away_is_named(host: hosts.Host) -> None:
    _, link = scenarios.on_every_cpu(host)
    host.kernel.detach(PINS.link(link, 1))
    assert status(host, link) == (model.LinkState.PARTIAL, "cpu 1: detached from outside", ("cpu 1",))
    for number in (0, 2):
        host.kernel.detach(PINS.link(link, number))
    assert status(host, link)[0] is model.LinkState.DEFUNCT
    host.detach(link)
    assert host.manager.doctor() == ()


def test_a_place_that_refuses_takes_the_others_back(host: hosts.Host) -> None:
    (program,) = host.load("on_perf_event", object=hosts.types())
    before = host.state()
    host.kernel.fail("attach", errors.NotFound("no processor 3 is online", do="see lscpu"), after=2)
    with pytest.raises(errors.NotFound, match="no processor 3"):
        host.attach(program, hosts.EVERYWHERE)
    assert host.state() == before


@pytest.mark.parametrize("lost", [(), (1,)], ids=["whole", "partial"])
def test_a_lost_store_finds_the_whole_link_again(host: hosts.Host, tmp_path: Path, lost: tuple[int, ...]) -> None:
    _, link = scenarios.on_every_cpu(host)
    for number in lost:
        host.kernel.detach(PINS.link(link, number))
    before = host.manager.link(link)
    host.path = tmp_path / "new.db"
    host.restart()
    pins = [one.subject for one in host.manager.doctor() if "/links/" in one.subject]
    assert pins == [PINS.link_directory(link)], "one finding for one link"
    host.run(model.Adopt(pin=pins[0]))
    assert host.manager.link(link) == before


def test_a_link_on_a_thousand_processors_fits_its_note(host: hosts.Host) -> None:
    """Numbers like those of a busy machine: six digits, not quite in a row."""
    _, link = scenarios.on_every_cpu(host)
    record = host.store.snapshot().links[link]
    many = dataclasses.replace(
        record,
        pins=tuple(PINS.link(link, number) for number in range(1024)),
        places=tuple(f"cpu {number}" for number in range(1024)),
        kernel_ids=tuple(model.KernelLinkId(400_000 + number * 3 + number % 2) for number in range(1024)),
    )
    (action,) = notes.actions(steps.StoreChange(links=(many,)), PINS)
    assert isinstance(action, steps.Alias)
    assert len(action.target) <= notes.LONGEST
    assert notes.read({action.path: action.target}, PINS).links[link] == many


@hypothesis.given(st.lists(st.text(alphabet="ab01 9", max_size=4), min_size=1, max_size=12))
def test_labels_come_out_of_a_note_as_they_went_in(labels: list[str]) -> None:
    record = records.link(
        1,
        pins=tuple(PINS.link(model.LinkId(1), number) for number in range(len(labels))),
        kernel_ids=tuple(map(model.KernelLinkId, range(len(labels)))),
        places=tuple(labels),
    )
    (action,) = notes.actions(steps.StoreChange(links=(record,)), PINS)
    assert isinstance(action, steps.Alias)
    assert notes.read({action.path: action.target}, PINS).links[record.id] == record


def test_labels_that_fit_no_note_are_numbered_there(host: hosts.Host) -> None:
    _, link = scenarios.on_every_cpu(host)
    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(200)]
    many = dataclasses.replace(
        host.store.snapshot().links[link],
        pins=tuple(PINS.link(link, number) for number in range(200)),
        places=tuple(digests),
        kernel_ids=tuple(map(model.KernelLinkId, range(200))),
    )
    (action,) = notes.actions(steps.StoreChange(links=(many,)), PINS)
    assert isinstance(action, steps.Alias)
    assert len(action.target) <= notes.LONGEST
    read = notes.read({action.path: action.target}, PINS).links[link]
    assert read == dataclasses.replace(many, places=tuple(map(str, range(200))))
