"""USDT probes through the manager: arguments arrive, links last, elements of the map of arguments are not mixed up.

Each test runs with both forms: one link by uprobe.multi, and a perf event's link for each site, as kernels before 6.6
need it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, manager, model
from skep.hooks import request, uprobe, usdt
from skep.kernel import linux, probes
from tests.kernel import types_rig, usdt_rig
from tests.kernel.types_rig import Rig
from tests.kernel.usdt_rig import attachment, process, runs, seen


class WithoutMulti(linux.Linux):
    """This kernel, not admitting that it has uprobe.multi."""

    def features(self) -> tuple[model.Feature, ...]:
        return tuple(one for one in super().features() if one.name != "uprobe_multi")


@pytest.fixture(params=["multi", "single"])
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    with types_rig.rig(tmp_path) as made:
        if request.param == "single":
            made.kernel = WithoutMulti(made.pins.root)
            made.manager = manager.Manager(made.kernel, made.store, made.pins)
        yield made


def load(rig: Rig, name: str = "on_usdt") -> model.Program:
    return rig.load_from(usdt_rig.bpf_object(), name)


def test_every_kind_of_argument_arrives(rig: Rig) -> None:
    program = load(rig)
    link = rig.attach(program, attachment("demo:kinds", cookie=99))
    with process() as probed:
        probed.turn()
        got = seen(rig)
        assert (got.runs, got.cookie, got.count) == (1, 99, 12)
        assert got.values[:11] == (
            -9, -5, -6, 0x8001, 0x8001 - 0x10000, 0x1122334455667788, 0x55667788, -2, 0xFE, -77, 0xFE,
        )  # fmt: skip
        assert got.errors == (0,) * 11 + (errno.EINVAL,), "a float in a vector register is nothing a program can read"
        rig.detach(link)
        probed.turn()
        assert seen(rig).runs == 1
    assert rig.links() == ()


def test_each_site_has_its_own_arguments(rig: Rig) -> None:
    program = load(rig, "on_site")
    link = rig.attach(program, attachment("demo:sites"))
    with process() as probed:
        probed.turn(2)
        assert runs(rig)[:5] == [0, 2, 2, 2, 0]
        assert [seen(rig, slot).values[:2] for slot in (1, 2, 3)] == [(2, 1), (2, 2), (2, 3)]
    (shown,) = rig.links()
    assert shown.status.state is model.LinkState.ATTACHED
    rig.detach(link)
    assert rig.links() == ()


def test_a_process_that_starts_later_is_seen_and_its_semaphore_set(rig: Rig) -> None:
    link = rig.attach(load(rig), attachment("demo:guarded"))
    with process() as probed:
        assert probed.turn(3) == 1
        assert seen(rig).values[0] == 3
        assert seen(rig).runs == 3
        rig.detach(link)
        assert probed.turn() == 0, "the semaphore goes back with the link"
        assert seen(rig).runs == 3


def test_the_semaphore_of_a_running_process_is_set(rig: Rig) -> None:
    program = load(rig)
    with process() as probed:
        assert probed.turn() == 0
        rig.attach(program, attachment("demo:guarded"))
        assert probed.turn() == 1
        assert seen(rig).runs == 1


def test_only_the_process_that_is_named(rig: Rig) -> None:
    program = load(rig)
    with process() as one, process() as other:
        rig.attach(program, attachment("other:plain", pid=one.pid))
        other.turn(5)
        assert seen(rig).runs == 0
        one.turn(2)
        assert (seen(rig).runs, seen(rig).values[0]) == (2, 2)


def test_a_process_that_is_gone(rig: Rig) -> None:
    program = load(rig)
    with process() as probed:
        link = rig.attach(program, attachment("other:plain", pid=probed.pid))
        gone = probed.pid
    with pytest.raises(errors.NotFound, match=f"no process {gone}"):
        rig.attach(program, attachment("other:plain", pid=gone))
    (shown,) = rig.links()
    assert shown.status.state is model.LinkState.DEFUNCT
    assert shown.status.reason == f"process {gone} has ended"
    rig.detach(link)
    assert rig.links() == ()


def test_a_probe_without_arguments_and_one_of_the_same_name(rig: Rig) -> None:
    rig.attach(load(rig), attachment("demo:plain"))
    with process() as probed:
        probed.turn(4)
    assert (seen(rig).runs, seen(rig).count, seen(rig).errors[0]) == (4, 0, errno.ENOENT)


def test_the_section_names_the_probe(rig: Rig) -> None:
    program = rig.load_from(usdt_rig.bpf_object(f'SECTION="usdt/{usdt_rig.program()}:demo:plain"'), "on_section")
    rig.attach(program, usdt.UsdtAttachment())
    (shown,) = rig.links()
    assert shown.record.attachment == attachment("demo:plain")
    with process() as probed:
        probed.turn()
    assert seen(rig).runs == 1


def test_links_of_one_program_have_arguments_of_their_own(rig: Rig) -> None:
    """They share the map of arguments. Each keeps its own while others come and go."""
    program = load(rig, "on_cookie")
    with process() as probed:
        links = [rig.attach(program, attachment("demo:sites", cookie=cookie)) for cookie in range(8)]
        for link in links[::2]:
            rig.detach(link)
        links[::2] = [rig.attach(program, attachment("other:plain", cookie=cookie)) for cookie in range(8, 12)]
        probed.turn()
        assert runs(rig) == [0, 3] * 4 + [1] * 4 + [0] * 4
        assert seen(rig, 8).count == 1
        assert seen(rig, 1).count == 2


def test_programs_that_share_their_maps_share_the_elements(rig: Rig) -> None:
    first = load(rig, "on_cookie")
    second = rig.load_from(usdt_rig.bpf_object(), "on_cookie", owner=first.record.id)
    rig.attach(first, attachment("demo:sites", cookie=1))
    rig.attach(second, attachment("other:plain", cookie=2))
    with process() as probed:
        probed.turn()
    assert (seen(rig, 1).count, seen(rig, 2).count) == (2, 1)


def test_elements_are_used_again_after_a_detach(rig: Rig) -> None:
    """Three sites take three elements of four: one link at a time fits, for ever."""
    program = rig.load_from(usdt_rig.bpf_object("BPF_USDT_MAX_SPEC_CNT=4"), "on_usdt")
    for _ in range(4):
        link = rig.attach(program, attachment("demo:sites"))
        with pytest.raises(errors.Exhausted, match=r"takes 3 argument specifications.* 1 are free") as told:
            rig.attach(program, attachment("demo:sites"))
        assert "BPF_USDT_MAX_SPEC_CNT" in told.value.do
        assert len(rig.links()) == 1
        rig.detach(link)
    rig.attach(program, attachment("other:plain"))
    rig.attach(program, attachment("demo:sites"))


def test_what_a_killed_attach_left_in_the_map_is_used_again(rig: Rig) -> None:
    """A daemon that is killed after it has written the elements, and before the link is pinned."""
    program = rig.load_from(usdt_rig.bpf_object("BPF_USDT_MAX_SPEC_CNT=4"), "on_usdt")

    class Killed(BaseException):
        pass

    def killed(point: str) -> None:
        if point.endswith("CreateLink"):
            raise Killed

    for _ in range(3):
        doomed = manager.Manager(rig.kernel, rig.store, rig.pins, fault=killed)
        with pytest.raises(Killed):
            doomed.run(types_rig.ROOT, model.Attach(program=program.record.id, attachment=attachment("demo:sites")))
        rig.manager.sweep()
        assert rig.links() == ()
    rig.attach(program, attachment("demo:sites"))
    with process() as probed:
        probed.turn()
    assert seen(rig).runs == 3


def test_a_replaced_program_goes_on_with_arguments(rig: Rig) -> None:
    program = rig.load_from(usdt_rig.bpf_object("BPF_USDT_MAX_SPEC_CNT=7"), "on_site")
    rig.attach(program, attachment("demo:sites"))
    if isinstance(rig.kernel, WithoutMulti) and not rig.links()[0].record.places:
        pytest.skip(
            "libbpf 1.4 itself loads programs of section usdt for uprobe.multi: it knows that the kernel has it"
        )
    with process() as probed:
        for _ in range(4):
            wanted = model.ReplaceProgram(
                program=program.record.id,
                object=usdt_rig.bpf_object("BPF_USDT_MAX_SPEC_CNT=7").read_bytes(),
                source=model.FileSource(path="usdt.bpf.o"),
            )
            (program,) = rig.manager.run(types_rig.ROOT, wanted).programs
            rig.program = program
            probed.turn()
        assert runs(rig)[1:4] == [4, 4, 4]
        (shown,) = rig.links()
        assert shown.status.state is model.LinkState.ATTACHED


def test_an_attach_to_a_place_that_another_probe_holds_without_semaphore(rig: Rig) -> None:
    """The kernel keeps one reference counter for each instruction."""
    found = probes.resolve(request.UsdtTarget(path=str(usdt_rig.program()), provider="demo", name="guarded"))
    os.close(found.fd)
    hits = rig.load_from(usdt_rig.bpf_object(), "on_probe")
    rig.attach(hits, uprobe.UprobeAttachment(target=str(usdt_rig.program()), offset=found.sites[0].offset))
    with pytest.raises(errors.Conflict, match="semaphore"), process():
        rig.attach(load(rig), attachment("demo:guarded"))
    assert len(rig.links()) == 1


@pytest.mark.parametrize(
    ("probe", "told"),
    [
        ("demo:site", "did you mean demo:sites"),
        ("dem:kinds", "did you mean demo:kinds"),
        ("elsewhere:kinds", "did you mean demo:kinds"),
        ("x:y", "it has demo:guarded, demo:kinds, demo:plain, demo:sites, other:plain"),
    ],
)
def test_probes_are_suggested_and_listed(rig: Rig, probe: str, told: str) -> None:
    with pytest.raises(errors.NotFound, match=told):
        rig.attach(load(rig), attachment(probe))
    assert rig.links() == ()


def test_files_without_probes(rig: Rig, tmp_path: Path) -> None:
    program = load(rig)
    with pytest.raises(errors.NotFound, match="it has none"):
        rig.attach(program, attachment("demo:sites", "/usr/bin/true"))
    (tmp_path / "text").write_text("no program")
    with pytest.raises(errors.InvalidRequest, match="not an ELF file"):
        rig.attach(program, attachment("demo:sites", tmp_path / "text"))
    with pytest.raises(errors.NotFound, match="cannot open"):
        rig.attach(program, attachment("demo:sites", tmp_path / "missing"))
    with pytest.raises(errors.InvalidRequest, match="usdt/PATH:PROVIDER:NAME"):
        rig.attach(program, usdt.UsdtAttachment())
    assert rig.links() == ()
