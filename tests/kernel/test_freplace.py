"""Freplace: a program stands in another one's function while it is attached, and not after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, model
from skep.hooks import aimed, cgroup, xdp
from tests import bpf_build
from tests.kernel import members, types_rig
from tests.kernel.types_rig import ROOT, Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with types_rig.rig(tmp_path) as made:
        yield made


def load(rig: Rig, name: str, target: str | None = None) -> model.Program:
    wanted = model.Load(
        object=bpf_build.build("freplace").read_bytes(),
        source=model.FileSource(path="freplace.bpf.o"),
        programs=(model.ProgramSpec(name=name, attach_func=target),),
        global_data={},
    )
    (rig.program,) = rig.manager.run(ROOT, wanted).programs
    return rig.program


def gate(rig: Rig) -> model.Program:
    """The program whose function is replaced, attached to the rig's cgroup."""
    program = load(rig, "gate")
    rig.attach(program, cgroup.CgroupAttachment(path=rig.cgroup()))
    return program


@pytest.mark.needs("freplace")
@pytest.mark.parametrize(("name", "target"), [("deny", "{}"), ("deny", "{}/"), ("deny_too", "{}/decide")])
def test_a_function_is_replaced_while_it_is_attached(rig: Rig, name: str, target: str) -> None:
    changed = gate(rig)
    program = load(rig, name, target.format(changed.record.id))
    assert program.record.attach_func == f"{changed.record.id}/decide"
    assert members.inside(rig.cgroup(), "socket") == "ok"
    link = rig.attach(program, aimed.AimedAttachment())
    shown = rig.manager.link(link)
    assert shown.status.state is model.LinkState.ATTACHED
    assert shown.status.kernel[0].detail == f"program {changed.record.id}"
    assert members.inside(rig.cgroup(), "socket") == "EPERM"
    assert rig.hits(0, program) == 1
    rig.detach(link)
    assert members.inside(rig.cgroup(), "socket") == "ok"
    assert rig.hits(0, program) == 1


@pytest.mark.needs("freplace")
def test_a_function_is_replaced_once_at_a_time(rig: Rig) -> None:
    changed = gate(rig)
    first = load(rig, "deny", f"{changed.record.id}")
    link = rig.attach(first, aimed.AimedAttachment())
    second = load(rig, "deny_too", f"{changed.record.id}/decide")
    with pytest.raises(errors.Conflict, match="taken its place"):
        rig.attach(second, aimed.AimedAttachment())
    rig.detach(link)
    rig.attach(second, aimed.AimedAttachment())
    assert members.inside(rig.cgroup(), "socket") == "EPERM"


@pytest.mark.needs("freplace")
def test_the_changed_program_stays_as_long_as_it_is_changed(rig: Rig) -> None:
    """Unloading it detaches it; the kernel keeps its code until the extension is gone."""
    changed = gate(rig)
    program = load(rig, "deny", f"{changed.record.id}")
    link = rig.attach(program, aimed.AimedAttachment())
    rig.manager.run(ROOT, model.Unload(program=changed.record.id))
    assert rig.kernel.program_by_id(changed.record.id) is not None
    assert members.inside(rig.cgroup(), "socket") == "ok"
    rig.detach(link)
    rig.manager.run(ROOT, model.Unload(program=program.record.id))
    assert rig.kernel.program_by_id(changed.record.id) is None


@pytest.mark.needs("freplace")
def test_what_cannot_be_replaced_is_told(rig: Rig) -> None:
    changed = gate(rig)
    with pytest.raises(errors.NotFound, match="did you mean decide"):
        load(rig, "deny", f"{changed.record.id}/decode")
    with pytest.raises(errors.Rejected) as refused:
        load(rig, "other_arguments", f"{changed.record.id}")
    assert refused.value.log
    with pytest.raises(errors.NotFound, match="no program 4294967"):
        load(rig, "deny", "4294967/decide")
    assert len(rig.kernel.pins(rig.pins.directory("progs"))) == 1


@pytest.mark.parametrize("target", [None, "decide", "x/decide", "12", "/decide"])
def test_a_target_says_which_program_and_which_function(rig: Rig, target: str | None) -> None:
    with pytest.raises(errors.InvalidRequest, match="--target-program"):
        load(rig, "deny_too", target)


def test_a_member_of_a_chain_is_no_target(rig: Rig) -> None:
    """It runs as a copy: the extension would change the one that nobody runs."""
    network = rig.network()
    program = load(rig, "filter")
    rig.attach(
        program,
        xdp.XdpAttachment(interface=model.InterfaceRef(name=network.near, netns=network.path), priority=1),
    )
    with pytest.raises(errors.Conflict, match="copies inside a chain"):
        load(rig, "drop", f"{program.record.id}")
    (chain,) = rig.manager.chains()
    with pytest.raises(errors.Conflict, match="next change"):
        load(rig, "drop", f"{chain.record.program_id}")


def test_a_kernel_without_it_says_so(rig: Rig) -> None:
    feature = types_rig.features()["freplace"]
    if feature.available:
        return
    with pytest.raises(errors.Unsupported) as told:
        load(rig, "deny", str(gate(rig).record.id))
    assert (told.value.errno, told.value.first) == (feature.errno, "5.6")
