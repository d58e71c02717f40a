"""Reading the kernel: everything in it, quickly, and only with the right to."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skep import errors, model
from skep.kernel import abi, observe, settle, verifier
from skep.kernel import sys as calls
from tests import instance
from tests.kernel import kernel_rig
from tests.kernel.kernel_rig import Rig

RETURN = bytes([0xB7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0])
SOURCE = str(Path(__file__).parents[2] / "src")


def test_boot_is_this_one(rig: Rig) -> None:
    boot = rig.kernel.boot()
    assert boot.release == os.uname().release
    assert len(boot.boot_id) == 36
    assert boot == rig.kernel.boot()


def test_what_was_loaded_is_listed_as_it_is_by_pin(rig: Rig, network: instance.Network) -> None:
    (program,) = rig.load("hooks", "on_tcx")
    made = rig.kernel.attach(program, kernel_rig.tcx(network), rig.link_pin("1"))
    by_pin = rig.kernel.program(program)
    assert by_pin is not None
    listed = {one.id: one for one in rig.kernel.programs()}[by_pin.id]
    assert by_pin.memlock_bytes > 0
    assert (listed.tag, listed.map_ids, listed.name) == (by_pin.tag, by_pin.map_ids, "on_tcx")
    assert rig.kernel.program_by_id(by_pin.id) == by_pin
    mine = rig.kernel.map(rig.map_pin("1_hits"))
    assert mine is not None
    assert {one.id: one for one in rig.kernel.maps()}[mine.id].name == "hits"
    assert mine.id in by_pin.map_ids
    assert made.kernel in rig.kernel.links()
    ids = [one.id for one in rig.kernel.programs()]
    assert ids == sorted(ids)


def test_a_program_that_does_not_exist(rig: Rig) -> None:
    assert rig.kernel.program_by_id(model.ProgramId(2**31 - 7)) is None


def test_only_the_kind_that_was_asked_for(rig: Rig, network: instance.Network) -> None:
    (program,) = rig.load("hooks", "on_tcx")
    rig.kernel.attach(program, kernel_rig.tcx(network), rig.link_pin("1"))
    places = (program, rig.map_pin("1_hits"), rig.link_pin("1"), f"{rig.root}/progs", f"{rig.root}/none/at/all")
    seen = [
        (
            rig.kernel.program(model.ProgramPin(place)) is not None,
            rig.kernel.map(model.MapPin(place)) is not None,
            rig.kernel.link(model.LinkPin(place)) is not None,
        )
        for place in places
    ]
    yes, no = True, False
    assert seen == [(yes, no, no), (no, yes, no), (no, no, yes), (no, no, no), (no, no, no)]


@pytest.mark.slow
def test_a_thousand_programs_are_listed_quickly() -> None:
    """About 15 ms on the machine this was written on; the best of five, since the machine is shared."""
    image = verifier.Image(
        name="one_of_many",
        prog_type=abi.PROG_TYPE_XDP,
        expected_attach_type=abi.XDP,
        prog_flags=0,
        licence="GPL",
        insns=RETURN,
    )
    fds = [verifier.load(image) for _ in range(1000)]
    times: list[float] = []
    found: tuple[model.KernelProgram, ...] = ()
    try:
        for _ in range(5):
            began = time.perf_counter()
            found = observe.programs()
            times.append(time.perf_counter() - began)
    finally:
        for fd in fds:
            os.close(fd)
    assert sum(one.name == "one_of_many" for one in found) == 1000
    assert min(times) < 0.05


UNPRIVILEGED = """
import sys; sys.path.insert(0, sys.argv[1])
from skep import errors
from skep.kernel import observe
for what in (observe.programs, observe.maps, observe.links, lambda: observe.program_by_id(1)):
    try:
        what()
    except errors.Denied as denied:
        assert "CAP_SYS_ADMIN" in str(denied), denied
    else:
        raise SystemExit("was allowed")
"""


def test_listing_without_the_right_to_says_which_is_missing() -> None:
    words = ["setpriv", "--bounding-set=-sys_admin", sys.executable, "-c", UNPRIVILEGED, SOURCE]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_features_are_those_of_this_kernel(rig: Rig) -> None:
    features = {one.name: one for one in rig.kernel.features()}
    assert rig.kernel.features() is rig.kernel.features()
    assert all(features[name].available for name in ("xdp", "xdp-frags", "tracepoint", "btf", "list-all"))
    assert all(one.first and bool(one.errno) is not one.available for one in features.values())
    assert features["kprobe"].available is Path("/sys/bus/event_source/devices/kprobe").exists()
    assert features["uprobe"].available is Path("/sys/bus/event_source/devices/uprobe").exists()


@pytest.mark.parametrize("wait", [settle.settle, settle.by_map_update], ids=["membarrier", "map update"])
def test_settling_returns(wait: object) -> None:
    assert callable(wait)
    assert wait() is None


def test_the_probe_by_log_tells_a_known_type_from_an_unknown_one(rig: Rig) -> None:
    """Tracing programs of another kind than fentry are allowed here: the probe must see that the type is known."""
    from skep.kernel import features

    assert features._reaches_verifier(abi.PROG_TYPE_TRACING, 23)() == ""
    with pytest.raises(features._Missing):
        features._reaches_verifier(9999)()


def test_descriptor_of_nothing_is_refused_in_words(rig: Rig) -> None:
    with pytest.raises(OSError, match="No such file"):
        calls.obj_get(f"{rig.root}/none")
    with pytest.raises(errors.NotFound, match="is gone"):
        rig.kernel.attach(rig.program_pin("none"), kernel_rig.tracepoint(), rig.link_pin("1"))
