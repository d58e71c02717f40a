"""Plans that break: at any step, at the commit, or because the process is killed at any boundary."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from skep import errors, model
from tests.unit import host as hosts
from tests.unit import scenarios
from tests.unit.host import Host

Scenario = Callable[[Host], model.Operation]

every_plan = pytest.mark.parametrize("scenario", scenarios.ALL, ids=lambda one: one.__name__)

ACTING = (
    "make_directory",
    "load_object",
    "load_linked",
    "load_member",
    "attach",
    "swap",
    "move_table",
    "settle",
    "read_counts",
)
"""Everything that steps call; what ``finish`` calls is repeatable and tested by killing."""


class Killed(BaseException):
    """Stands for the process being killed: nothing catches it, nothing is cleaned up."""


class KillAt:
    """Kill at boundary number ``number``, counted from 0 since ``arm``."""

    def __init__(self) -> None:
        self.left = -1
        self.point = ""

    def arm(self, number: int) -> None:
        self.left = number

    def __call__(self, point: str) -> None:
        if self.left == 0:
            self.left = -1
            self.point = point
            raise Killed
        self.left -= self.left > 0


@every_plan
def test_a_plan_succeeds_and_leaves_nothing_pending(scenario: Scenario, tmp_path: Path) -> None:
    host = Host(tmp_path / "skep.db")
    operation = scenario(host)
    before = host.state()
    host.run(operation)
    assert host.state() != before
    assert host.store.pending() == ()
    assert_pins_are_records(host)


@every_plan
def test_a_failing_step_leaves_everything_as_it_was(scenario: Scenario, tmp_path: Path) -> None:
    broken = 0
    for method in ACTING:
        for call in itertools.count():
            host = Host(tmp_path / f"{method}-{call}.db")
            operation = scenario(host)
            before = host.state()
            steps_done = len(host.kernel.calls)
            host.kernel.fail(method, errors.Exhausted("no memory"), after=call)
            try:
                host.run(operation)
            except errors.Exhausted:
                assert host.state() == before, f"{method} call {call}"
                broken += 1
            else:
                assert host.kernel.calls[steps_done:].count(method) <= call
                break
    points = _points(scenario, tmp_path / "points.db")
    assert bool(broken) is any(point.startswith("step") for point in points)


@every_plan
def test_a_failing_commit_leaves_everything_as_it_was(scenario: Scenario, tmp_path: Path) -> None:
    host = Host(tmp_path / "skep.db")
    operation = scenario(host)
    before = host.state()
    # The last write of the commit's transaction fails, so that all the others are rolled back.
    host.store._writer.execute(
        "CREATE TEMP TRIGGER no BEFORE UPDATE OF finish ON main.pending BEGIN SELECT RAISE(ABORT, 'disk'); END"
    )
    with pytest.raises(errors.Broken):
        host.run(operation)
    assert host.state() == before


@every_plan
def test_killed_at_any_boundary_the_restart_ends_before_or_after(scenario: Scenario, tmp_path: Path) -> None:
    clean = Host(tmp_path / "clean.db")
    operation = scenario(clean)
    before = clean.state()
    clean.run(operation)
    after = clean.state()

    ends = []
    for boundary in itertools.count():
        kill = KillAt()
        host = Host(tmp_path / f"{boundary}.db", fault=kill)
        operation = scenario(host)
        assert host.state() == before
        kill.arm(boundary)
        try:
            host.run(operation)
        except Killed:
            host.restart()
            assert host.state() in (before, after), kill.point
            ends.append(host.state() == after)
        else:
            break
    assert ends == sorted(ends), "once committed, always after"
    assert (ends[0], ends[-1]) == (False, True)


@pytest.mark.slow
@every_plan
def test_killed_again_while_sweeping_the_next_restart_ends_the_same(scenario: Scenario, tmp_path: Path) -> None:
    """Pairs of kills: each first one with every fourth second one, and each second one with every fourth first one. All
    pairs took two thirds of the time of all unit tests, and never found more."""
    clean = Host(tmp_path / "clean.db")
    operation = scenario(clean)
    before = clean.state()
    clean.run(operation)
    after = clean.state()
    boundaries = len(_points(scenario, tmp_path / "points.db"))

    for boundary in range(boundaries):
        for second in itertools.count(boundary % 4, 4):
            kill = KillAt()
            host = Host(tmp_path / f"{boundary}-{second}.db", fault=kill)
            operation = scenario(host)
            kill.arm(boundary)
            with pytest.raises(Killed):
                host.run(operation)
            try:
                kill.arm(second)
                host.restart(fault=kill)
            except Killed:
                host.restart()
                assert host.state() in (before, after), (boundary, second, kill.point)
                host.store.close()
            else:
                host.store.close()
                break


@pytest.mark.parametrize("code", [1, 2])
def test_packets_of_a_revision_that_is_taken_back_stay_in_the_totals(code: int, tmp_path: Path) -> None:
    host = Host(tmp_path / "skep.db")
    links = scenarios.chain_of(host, "first", "second")
    (program,) = host.load("third")
    host.kernel.packets("eth0", 10, member=1, code=code)

    def traffic(point: str) -> None:
        if "SwapLink" in point:
            host.kernel.packets("eth0", 5, member=1, code=code)
            raise errors.Unavailable("stop here")

    host.start(fault=traffic)
    with pytest.raises(errors.Unavailable):
        host.run(model.Attach(program=program, attachment=hosts.on_xdp(50)))
    seen = host.manager.chain("xdp", hosts.ETH0)
    by_link = {member.link: one for member, one in zip(seen.record.members, seen.counts, strict=True)}
    assert by_link[links[0]] == model.Counts(runs=15, proceeded=15, stopped={})
    assert by_link[links[1]] == model.Counts(runs=15, proceeded=0, stopped={code: 15})


def test_packets_of_a_killed_revision_are_added_once(tmp_path: Path) -> None:
    for second in range(6):
        kill = KillAt()

        host = Host(tmp_path / f"{second}.db")
        links = scenarios.chain_of(host, "first", "second")
        (program,) = host.load("third")

        def swapped(point: str, host: Host = host) -> None:
            if "SwapLink" in point:
                host.kernel.packets("eth0", 5, member=0, code=1)
                raise Killed

        host.start(fault=swapped)
        with pytest.raises(Killed):
            host.run(model.Attach(program=program, attachment=hosts.on_xdp(50)))
        kill.arm(second)
        try:
            host.restart(fault=kill)
        except Killed:
            host.restart()
        assert host.store.snapshot().counts[links[0]] == model.Counts(runs=5, proceeded=0, stopped={1: 5})


def test_undo_that_fails_is_done_before_the_next_operation(tmp_path: Path) -> None:
    host = Host(tmp_path / "skep.db")
    operation = scenarios.attach_third(host)
    before = host.state()
    host.kernel.fail("read_counts", errors.Exhausted("no memory"))
    host.kernel.fail("point", errors.Unavailable("not now"))
    with pytest.raises(errors.Exhausted) as told:
        host.run(operation)
    assert "taking it back did not succeed" in told.value.__notes__[0]
    assert host.store.pending()
    host.run(operation)
    assert host.store.pending() == ()
    assert host.state() != before


def test_a_pin_that_nobody_knows_is_not_taken(tmp_path: Path) -> None:
    host = Host(tmp_path / "skep.db")
    host.load("first")
    lost = host.kernel.snapshot()
    host.store.close()
    other = tmp_path / "new.db"
    host.path = other
    host.restart()
    host.load("first")
    assert {pin: id for pin, id in lost[0].items() if host.kernel.snapshot()[0].get(pin) != id} == {}  # type: ignore[index]  # the fake's own snapshot


# ---------------------------------------------------------------- what every state must fulfil


def assert_pins_are_records(host: Host) -> None:
    """Below the pins is what the records say, no more and no less."""
    records = host.store.snapshot()
    wanted: set[str] = set()
    for program in records.programs.values():
        wanted.add(program.pin)
        wanted.update(ref.pin for ref in program.maps)
        wanted.update(hosts.PINS.shared(ref.name) for ref in program.maps if ref.shared)
        wanted.add(hosts.PINS.alias_program(program.id))
        wanted.add(hosts.PINS.alias_maps(program.id))
        wanted.add(hosts.PINS.note("programs", program.key))
    for link in records.links.values():
        wanted.update(link.pins)
        wanted.add(hosts.PINS.note("links", link.id))
    for chain in records.chains.values():
        wanted.update((chain.link_pin, chain.program_pin, chain.counts_pin))
        wanted.add(hosts.PINS.note("chains", chain.key))
    there = set(host.kernel.pins(model.PinDir(hosts.PINS.root)))
    # A set that outlives its owner keeps maps that no program left may know.
    extra = {pin for pin in there - wanted if "/sets/" not in pin and "/private/" not in pin}
    assert (extra, wanted - there) == (set(), set())


def _points(scenario: Scenario, path: Path) -> list[str]:
    points: list[str] = []
    host = Host(path, fault=points.append)
    operation = scenario(host)
    points.clear()
    host.run(operation)
    return points
