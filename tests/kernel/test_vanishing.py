"""What is attached to goes away: a device or a whole namespace, before, while and after something is attached to it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skep import errors, model
from tests.kernel import manager_rig
from tests.kernel.manager_rig import ROOT

pytestmark = pytest.mark.slow
HOOKS = ("on_xdp", "on_tc", "on_tcx")
chains = pytest.mark.parametrize("hook", ["on_xdp", "on_tc"])
CHAIN_STEPS = ("MakeDirectory", "LoadLinked")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[manager_rig.Rig]:
    with manager_rig.rig(tmp_path) as made:
        yield made


def delete_device(rig: manager_rig.Rig) -> None:
    subprocess.run(["ip", "-n", rig.network.name, "link", "del", rig.network.near], check=True)


def delete_namespace(rig: manager_rig.Rig) -> None:
    subprocess.run(["ip", "netns", "del", rig.network.name], check=True)
    subprocess.run(["ip", "netns", "add", rig.network.name], check=True)  # another of that name: the rig deletes it


def deleting(rig: manager_rig.Rig, point: str) -> Callable[[str], None]:
    """A fault that deletes the device at the first point of that name."""
    todo = [True]

    def fault(seen: str) -> None:
        if seen.endswith(point) and todo:
            todo.clear()
            delete_device(rig)

    return fault


@chains
@pytest.mark.parametrize("point", ["begun", *CHAIN_STEPS])
def test_an_interface_that_vanishes_while_its_first_program_is_attached(
    rig: manager_rig.Rig, point: str, hook: str
) -> None:
    (program,) = rig.load(hook)
    before = seen(rig)
    rig.restart(fault=deleting(rig, point))
    with pytest.raises(errors.NotFound, match="near"):
        rig.attach(program, rig.attachment(hook))
    rig.restart()
    assert seen(rig) == before
    assert rig.manager.doctor() == ()


def test_an_interface_that_vanishes_while_tcx_is_attached(rig: manager_rig.Rig) -> None:
    (program,) = rig.load("on_tcx")
    before = seen(rig)
    rig.restart(fault=deleting(rig, "begun"))
    with pytest.raises(errors.NotFound, match="near"):
        rig.attach(program, rig.attachment("on_tcx"))
    assert seen(rig) == before
    assert rig.manager.doctor() == ()


@chains
@pytest.mark.parametrize("point", ["begun", *CHAIN_STEPS, "SwapLink", "ReadCounts", "committed"])
def test_an_interface_that_vanishes_while_its_chain_changes(rig: manager_rig.Rig, point: str, hook: str) -> None:
    first, second = (rig.load(hook)[0] for _ in range(2))
    link = rig.attach(first, rig.attachment(hook))
    before = seen(rig)
    rig.restart(fault=deleting(rig, point))
    swapped = point in ("SwapLink", "ReadCounts", "committed")
    links = [link]
    if swapped:
        links.append(rig.attach(second, rig.attachment(hook)))
    else:
        with pytest.raises((errors.NotFound, errors.Conflict)):
            rig.attach(second, rig.attachment(hook))
        assert seen(rig) == before
    rig.restart()
    assert {one.record.id: one.status.state for one in rig.manager.links(model.LinkFilter())} == dict.fromkeys(
        links, model.LinkState.DEFUNCT
    )
    rig.unload(first)
    rig.unload(second)
    assert rig.manager.doctor() == ()
    assert rig.manager.links(model.LinkFilter()) == ()


@pytest.mark.parametrize("gone", [delete_device, delete_namespace])
@pytest.mark.parametrize("end", ["detach", "unload"])
def test_what_was_attached_to_something_gone_can_be_taken_away(
    rig: manager_rig.Rig, gone: Callable[[manager_rig.Rig], None], end: str
) -> None:
    empty = seen(rig)
    programs = [rig.load(name)[0] for name in (*HOOKS, "on_xdp")]
    links = [rig.attach(one, rig.attachment(one.record.name)) for one in programs]
    gone(rig)
    until_defunct(rig, links)
    for link in links:
        with pytest.raises((errors.Conflict, errors.NotFound)):
            rig.manager.run(ROOT, model.UpdateLink(link=link, priority=7))
    assert {one.kind for one in rig.manager.doctor()} == {"defunct link"}
    for link in links if end == "detach" else ():
        rig.detach(link)
    for program in programs:
        rig.unload(program)
    assert rig.manager.doctor() == ()
    assert seen(rig) == empty


@chains
def test_a_device_of_the_same_name_starts_a_chain_of_its_own(rig: manager_rig.Rig, hook: str) -> None:
    (program,) = rig.load(hook)
    old = rig.attach(program, rig.attachment(hook))
    delete_device(rig)
    for words in (("add", "near", "type", "veth", "peer", "name", "far"), ("set", "near", "up"), ("set", "far", "up")):
        subprocess.run(["ip", "-n", rig.network.name, "link", *words], check=True)
    new = rig.attach(program, rig.attachment(hook))
    rig.send(3)
    counts = {one.record.id: one.status.counts for one in rig.manager.links(model.LinkFilter())}
    assert counts[new] == model.Counts(runs=3, proceeded=3)
    assert counts[old] == model.Counts()
    rig.detach(old)
    rig.send(2)
    assert rig.manager.link(new).status.counts == model.Counts(runs=5, proceeded=5)


def test_a_chain_taken_away_from_outside_makes_room(rig: manager_rig.Rig) -> None:
    """The place of a dead chain is its namespace's and interface's numbers, which the kernel gives out again."""
    first, second = (rig.load("on_xdp")[0] for _ in range(2))
    old = rig.attach(first, rig.attachment("on_xdp"))
    (chain,) = rig.manager.chains()
    subprocess.run(["bpftool", "link", "detach", "pinned", chain.record.link_pin], check=True)
    assert rig.manager.link(old).status.state is model.LinkState.DEFUNCT
    new = rig.attach(second, rig.attachment("on_xdp"))
    rig.send(3)
    assert rig.manager.link(new).status.counts == model.Counts(runs=3, proceeded=3)
    assert rig.manager.link(old).status.state is model.LinkState.DEFUNCT
    rig.detach(old)
    rig.detach(new)
    rig.unload(first)
    rig.unload(second)
    assert rig.manager.doctor() == ()


def seen(rig: manager_rig.Rig) -> object:
    """Pins and records; the hooks are gone with the device."""
    records = rig.store.snapshot()
    pins = rig.kernel.pins(model.PinDir(rig.pins.root))
    return pins, records.programs, records.links, records.chains, rig.store.pending()


def until_defunct(rig: manager_rig.Rig, links: list[model.LinkId]) -> None:
    """The kernel takes a namespace apart in a work queue."""
    for _ in range(500):
        states = {one.status.state for one in rig.manager.links(model.LinkFilter())}
        if states == {model.LinkState.DEFUNCT}:
            return
        rig.kernel.settle()
        subprocess.run(["sleep", "0.02"], check=True)
    raise AssertionError(f"links {links} still run")
