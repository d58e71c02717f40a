"""One link of several kernel links on a real kernel: a perf event on every processor."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, model
from skep.hooks import perf_event
from skep.kernel import cpus
from tests.kernel import types_rig
from tests.kernel.types_rig import Rig

EVERYWHERE = perf_event.PerfEventAttachment(event="cpu-clock", frequency=500)
MINE = sorted(os.sched_getaffinity(0))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with types_rig.rig(tmp_path) as made:
        yield made


@pytest.fixture(autouse=True)
def _back_on_all_processors() -> Iterator[None]:
    yield
    os.sched_setaffinity(0, MINE)


def runs_on(rig: Rig, cpu: int) -> bool:
    """Whether the program, which counts only for this process, runs while it works on a processor."""
    os.sched_setaffinity(0, {cpu})
    before = rig.hits()
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    return rig.hits() > before


def kernel_links() -> set[int]:
    kernel = types_rig.linux.Linux("/sys/fs/bpf/skep-nothing")
    return {one.id for one in kernel.links()}


def test_a_clock_of_every_processor_ticks_on_each_and_ends_on_each(rig: Rig) -> None:
    program = rig.load("on_perf_event", only_tgid=os.getpid())
    link = rig.attach(program, EVERYWHERE)
    (shown,) = rig.links()
    assert shown.record.places == tuple(f"cpu {cpu}" for cpu in cpus.online())
    assert shown.status.state is model.LinkState.ATTACHED
    assert len(shown.status.kernel) == len(cpus.online())
    assert [runs_on(rig, cpu) for cpu in MINE] == [True] * len(MINE)
    rig.detach(link)
    assert not any(runs_on(rig, cpu) for cpu in MINE)
    assert not set(shown.record.kernel_ids) & kernel_links()
    assert not os.path.exists(rig.pins.link_directory(link))


def test_a_processor_whose_kernel_link_is_taken_away_is_named(rig: Rig) -> None:
    """By removing its pin, as anybody with the right to may; replacing the program makes the link whole again."""
    program = rig.load("on_perf_event", only_tgid=os.getpid())
    rig.attach(program, EVERYWHERE)
    (shown,) = rig.links()
    os.unlink(shown.record.pins[0])
    types_rig.until(lambda: rig.links()[0].status.state is not model.LinkState.ATTACHED)
    told = rig.links()[0].status
    expected = model.LinkState.PARTIAL if len(shown.record.places) > 1 else model.LinkState.DEFUNCT
    assert (told.state, told.missing) == (expected, shown.record.places[:1])
    assert "detached from outside" in told.reason
    assert [runs_on(rig, cpu) for cpu in MINE] == [f"cpu {cpu}" not in told.missing for cpu in MINE]
    if expected is model.LinkState.DEFUNCT:
        return  # nothing is left to move
    rig.replace(program)
    assert rig.links()[0].status.state is model.LinkState.ATTACHED
    assert [runs_on(rig, cpu) for cpu in MINE] == [True] * len(MINE)


def test_a_counter_that_is_not_there_leaves_nothing_anywhere(rig: Rig) -> None:
    program = rig.load("on_perf_event")
    before = kernel_links()
    wanted = perf_event.PerfEventAttachment(event="cpu-cycles", period=100_000)
    if os.path.exists("/sys/bus/event_source/devices/cpu"):
        rig.detach(rig.attach(program, wanted))
    else:
        with pytest.raises(errors.Unsupported, match="cannot count cpu-cycles on cpu 0"):
            rig.attach(program, wanted)
    assert rig.links() == ()
    assert kernel_links() == before
    assert os.listdir(rig.pins.directory("links")) == []
