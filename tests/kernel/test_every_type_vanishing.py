"""Every type and a place that goes away while a program is attached to it: the link says so, and can be taken away."""

from __future__ import annotations

import os
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, hooks, model
from skep.hooks import codec, request
from tests import bpf_build
from tests.kernel import every_type, types_rig, vanishings
from tests.kernel.types_rig import Rig
from tests.kernel.vanishings import HELD, VANISHINGS, Vanishing


@pytest.fixture(scope="module")
def features() -> dict[str, model.Feature]:
    return types_rig.features()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with types_rig.rig(tmp_path) as made:
        yield made


def targets(name: str) -> set[type]:
    """The kinds of places of a type; asked with the example values of its options."""
    hook = hooks.by_name(name)
    attachment = hook.build({one.field: one.parse(one.example) for one in hook.options if one.example})
    return {type(one.target) for one in candidates(name, attachment, next(iter(hook.points or hook.sections)))}


def candidates(name: str, attachment: object, section: str) -> tuple[request.LinkRequest, ...]:
    """What an attachment asks of the kernel, at the first of its places."""
    hook = hooks.by_name(name)
    whole = None if hook.expands is None else hook.expands(attachment)
    found = () if whole is None else (whole,)
    wanted = hook.requests(attachment, hooks.Placing(section=section, function="vfs_mkdir", found=found))
    return wanted.spots[0].candidates if isinstance(wanted, request.Several) else wanted


ROWS = [
    pytest.param(name, row, id=f"{name}-{row.gone.__name__}", marks=every_type.marks(name))
    for name in every_type.NAMES
    for kind in sorted(targets(name), key=lambda one: one.__name__)
    for row in VANISHINGS.get(kind, ())
]
FOR_A_PROCESS = [name for name in every_type.NAMES if "pid" in {one.field for one in hooks.by_name(name).options}]


def test_every_kind_of_place_says_how_it_goes_or_why_it_cannot() -> None:
    for kind in typing.get_args(request.Target):
        assert (kind in VANISHINGS) != (kind in HELD), (
            f"say in tests/kernel/vanishings.py how a {kind.__name__} goes away and what its links are then, or why not"
        )


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_a_place_that_goes(rig: Rig, features: dict[str, model.Feature], name: str, row: Vanishing) -> None:
    if not features[row.needs or name].available:
        with pytest.raises(errors.Unsupported):
            rig.attach(every_type.load(rig, name), every_type.case(name).attachment(rig))
        return
    empty = every_type.left(rig)
    program = every_type.load(rig, name)
    attachment = with_fields(name, every_type.case(name).attachment(rig), row.fields(rig))
    link = rig.attach(program, attachment)
    assert rig.manager.link(link).status.state is model.LinkState.ATTACHED
    row.gone(rig)
    told = shown_as(rig, link, row.state)
    assert row.reason in told
    with pytest.raises(errors.NotFound):
        rig.attach(program, attachment)
    take_away(rig, program, link)
    assert every_type.left(rig) == empty


@pytest.mark.parametrize("name", FOR_A_PROCESS)
def test_a_process_that_ends(rig: Rig, features: dict[str, model.Feature], name: str) -> None:
    empty = every_type.left(rig)
    program = every_type.load(rig, name)
    valid = every_type.case(name).attachment(rig)
    if not features[name].available:
        with pytest.raises(errors.Unsupported, match="not supported here"):
            rig.attach(program, valid)
        return
    with vanishings.process() as child:
        attachment = with_fields(name, valid, {"pid": child.pid})
        link = rig.attach(program, attachment)
        assert rig.manager.link(link).status.state is model.LinkState.ATTACHED
        child.kill()
        # A zombie's number is not free yet, and yet it runs nothing.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert shown_as(rig, link, model.LinkState.DEFUNCT) == f"process {child.pid} has ended"
    assert shown_as(rig, link, model.LinkState.DEFUNCT) == f"process {child.pid} has ended"
    with pytest.raises(errors.NotFound, match=f"no process {child.pid}"):
        rig.attach(program, attachment)
    take_away(rig, program, link)
    assert every_type.left(rig) == empty


@pytest.mark.parametrize("name", FOR_A_PROCESS)
def test_a_later_process_with_the_same_number_is_another(
    rig: Rig, features: dict[str, model.Feature], name: str
) -> None:
    """Numbers of processes are given out again; what tells them apart is when they began."""
    if not features[name].available:
        return  # see above
    program = every_type.load(rig, name)
    link = rig.attach(program, with_fields(name, every_type.case(name).attachment(rig), {"pid": os.getpid()}))
    stored = rig.manager.link(link).record
    assert stored.process_start > 0
    candidate = candidates(name, stored.attachment, program.record.section)[0]
    assert rig.kernel.lost(candidate.target, stored.process_start) is None
    assert rig.kernel.lost(candidate.target, 0) is None  # a link from before this was written down
    earlier = rig.kernel.lost(candidate.target, stored.process_start - 1)
    assert earlier is not None and earlier.state is model.LinkState.DEFUNCT


def test_a_program_is_replaced_though_a_link_has_lost_its_process(rig: Rig) -> None:
    """Nobody can attach to what is gone; that is no reason to keep the old program on the places that are there."""
    program = every_type.load(rig, "uprobe")
    case = every_type.case("uprobe").attachment(rig)
    with vanishings.process() as child:
        dead = rig.attach(program, with_fields("uprobe", case, {"pid": child.pid}))
        alive = rig.attach(program, with_fields("uprobe", case, {"pid": os.getpid()}))
        child.kill()
    object = bpf_build.build("types").read_bytes()
    replace = model.ReplaceProgram(
        program=program.record.id, object=object, source=model.FileSource(path="types.o"), name="on_uprobe"
    )

    done = rig.manager.run(types_rig.ROOT, replace)

    assert f"link {dead} is left as it is: process {child.pid} has ended" in done.warnings
    (made,) = done.programs
    assert rig.manager.link(dead).status.state is model.LinkState.DEFUNCT
    assert [one.program_id for one in rig.manager.link(alive).status.kernel] == [made.record.id]
    rig.detach(alive)
    take_away(rig, made, dead)


@pytest.mark.needs("kprobe", "fentry")
def test_a_module_stays_while_a_function_of_it_has_a_program(rig: Rig) -> None:
    vanishings.module(rig)
    program = rig.load("on_fexit", "dummy_xmit")
    link = rig.attach(program, hooks.by_name("fexit").build({}))
    with pytest.raises(Exception, match="rmmod"):
        vanishings.unload_module(rig)
    assert rig.manager.link(link).status.state is model.LinkState.ATTACHED
    rig.unload(program)
    vanishings.unload_module(rig)


def with_fields(name: str, attachment: object, fields: dict[str, object]) -> object:
    return codec.decode(name, {**codec.encode(attachment), **fields})


def shown_as(rig: Rig, link: model.LinkId, state: model.LinkState) -> str:
    """Wait until the link is in a state (the kernel tidies up on its own time), alone and in the list; why."""
    types_rig.until(lambda: rig.manager.link(link).status.state is state)
    (listed,) = rig.links()
    assert listed.status.state is state
    (finding,) = rig.manager.doctor()
    assert finding.kind == f"{state} link"
    assert finding.explanation == listed.status.reason
    return listed.status.reason


def take_away(rig: Rig, program: model.Program, link: model.LinkId) -> None:
    """Detach once, and only once; nothing is left to complain about."""
    rig.detach(link)
    with pytest.raises(errors.NotFound):
        rig.detach(link)
    assert rig.links() == ()
    assert rig.manager.doctor() == ()
    rig.unload(program)
