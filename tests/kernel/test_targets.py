"""Places by the words that people use, on a real kernel: interfaces, network namespaces, cgroups."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, model
from skep.hooks import cgroup, netfilter, netns, tc, tcx, xdp
from tests import bpf_build
from tests.kernel import kernel_rig, manager_rig, members, types_rig
from tests.unit import host

pytestmark = pytest.mark.native  # what it is about is the same in the guest, and slow there

ROOT = manager_rig.ROOT
LONG = "an-alternative-name-longer-than-others"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[manager_rig.Rig]:
    """In its network namespace three pairs of interfaces, a0-b0 to a2-b2; a1 has a second name."""
    with manager_rig.rig(tmp_path) as made:
        for number in range(3):
            kernel_rig.ip(made.network, "link", "add", f"a{number}", "type", "veth", "peer", "name", f"b{number}")
            for end in "ab":
                kernel_rig.ip(made.network, "link", "set", f"{end}{number}", "up")
        kernel_rig.ip(made.network, "link", "property", "add", "dev", "a1", "altname", LONG)
        yield made


@pytest.fixture
def types(tmp_path: Path) -> Iterator[types_rig.Rig]:
    with types_rig.rig(tmp_path) as made:
        yield made


def attach(rig: manager_rig.Rig, attachment: object, program: str = "first") -> tuple[model.Link, ...]:
    (loaded,) = rig.manager.run(ROOT, host.load(program)).programs
    done = rig.manager.run(ROOT, model.Attach(program=loaded.record.id, attachment=attachment))
    return tuple(rig.manager.link(id) for id in done.links)


def on_xdp(rig: manager_rig.Rig, name: str, where: str | None = None, **more: model.XdpMode) -> xdp.XdpAttachment:
    ref = model.InterfaceRef(name=name, netns=where or rig.network.path)
    return xdp.XdpAttachment(interface=ref, priority=10, **more)  # type: ignore[arg-type]  # the mode


def interface_of(link: model.Link) -> model.InterfaceRef:
    assert isinstance(link.record.attachment, xdp.XdpAttachment | tcx.TcxAttachment)
    return link.record.attachment.interface


@contextlib.contextmanager
def process(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits, ended with the block."""
    made = subprocess.Popen([*words, "sh", "-c", "echo ready; exec cat"], stdin=-1, stdout=-1)
    assert made.stdout is not None
    made.stdout.readline()
    try:
        yield made
    finally:
        made.kill()
        made.communicate()


# ---------------------------------------------------------------- interfaces


def test_a_pattern_attaches_to_every_interface_that_matches(rig: manager_rig.Rig) -> None:
    links = attach(rig, on_xdp(rig, "a*"))
    assert [interface_of(link).name for link in links] == ["a0", "a1", "a2"]
    assert len({link.record.ifindex for link in links}) == 3
    for number, link in enumerate(links):
        kernel_rig.send(dataclasses.replace(rig.network, near=f"a{number}", far=f"b{number}"), number + 1)
        assert rig.manager.chain("xdp", interface_of(link)).packets == number + 1
    for link in links:
        rig.manager.run(ROOT, model.Detach(link=link.record.id))
        assert rig.kernel.xdp_on(interface_of(link)) == ()
    assert rig.manager.doctor() == ()


def test_a_pattern_orders_tcx_programs_on_each_interface(rig: manager_rig.Rig) -> None:
    ref = model.InterfaceRef(name="[ab]2", netns=rig.network.path)
    wanted = tcx.TcxAttachment(interface=ref, direction=tcx.Direction.EGRESS, priority=3)
    links = attach(rig, wanted, "packet")
    assert sorted(interface_of(link).name for link in links) == ["a2", "b2"]
    assert all(len(rig.kernel.tcx_on(interface_of(link), 47)) == 1 for link in links)


def test_a_pattern_makes_a_tc_chain_on_each_interface(rig: manager_rig.Rig) -> None:
    ref = model.InterfaceRef(name="a[01]", netns=rig.network.name)
    wanted = tc.TcAttachment(interface=ref, direction=tcx.Direction.INGRESS, priority=3)
    op = host.load("count", object=bpf_build.build("tc_count").read_bytes(), verdict=struct.pack("=i", 0))
    (program,) = rig.manager.run(ROOT, op).programs
    done = rig.manager.run(ROOT, model.Attach(program=program.record.id, attachment=wanted))
    assert len(done.links) == 2
    for number, link in enumerate(done.links):
        kernel_rig.send(dataclasses.replace(rig.network, near=f"a{number}", far=f"b{number}"), 2)
        there = model.InterfaceRef(name=f"a{number}", netns=rig.network.path)
        assert rig.manager.chain("tc-ingress", there).packets == 2
        rig.manager.run(ROOT, model.Detach(link=link))
        assert rig.kernel.filters_on(there) == ()
    assert rig.manager.doctor() == ()


def test_one_interface_that_refuses_leaves_the_others_as_they_were(rig: manager_rig.Rig) -> None:
    """The driver refuses the last one's large frames when two are attached already."""
    for end in ("a2", "b2"):
        kernel_rig.ip(rig.network, "link", "set", end, "mtu", "9000")
    (program,) = rig.manager.run(ROOT, host.load("first")).programs
    before, pins = rig.store.snapshot(), rig.kernel.pins(model.PinDir(rig.pins.root))
    wanted = on_xdp(rig, "a*", mode=model.XdpMode.DRV)
    with pytest.raises(errors.Rejected, match="a2"):
        rig.manager.run(ROOT, model.Attach(program=program.record.id, attachment=wanted))
    after = rig.store.snapshot()
    assert (after.links, after.chains) == (before.links, before.chains)
    assert rig.kernel.pins(model.PinDir(rig.pins.root)) == pins
    for number in range(3):
        ref = model.InterfaceRef(name=f"a{number}", netns=rig.network.path)
        assert rig.kernel.xdp_on(ref) == ()


@pytest.mark.parametrize("words", [LONG, "ifindex:"])
def test_an_interface_has_one_chain_under_whatever_name(rig: manager_rig.Rig, words: str) -> None:
    ref = model.InterfaceRef(name="a1", netns=rig.network.path)
    if words == "ifindex:":
        words += str(rig.kernel.interface(ref).ifindex)
    (first,) = attach(rig, on_xdp(rig, "a1"))
    (second,) = attach(rig, on_xdp(rig, words), "second")
    assert interface_of(second) == ref
    assert second.record.chain == first.record.chain
    named = model.InterfaceRef(name=words, netns=rig.network.path)
    assert len(rig.manager.chain("xdp", named).record.members) == 2


def test_names_that_are_taken_as_they_are_are_no_patterns(rig: manager_rig.Rig) -> None:
    """bpfman.v1 attaches to one interface."""
    (program,) = rig.manager.run(ROOT, host.load("first")).programs
    op = model.Attach(program=program.record.id, attachment=on_xdp(rig, "a*"), literal=True)
    with pytest.raises(errors.NotFound, match=r"no interface 'a\*'"):
        rig.manager.run(ROOT, op)
    kernel_rig.ip(rig.network, "link", "add", "a*", "type", "veth", "peer", "name", "odd")
    assert len(rig.manager.run(ROOT, op).links) == 1
    rig.manager.run(ROOT, model.Unload(program=program.record.id))
    assert [interface_of(link).name for link in attach(rig, on_xdp(rig, "a*"))] == ["a*"], "a name before a pattern"


# ---------------------------------------------------------------- network namespaces


def test_a_namespace_by_its_name_is_stored_by_its_path(rig: manager_rig.Rig) -> None:
    (link,) = attach(rig, on_xdp(rig, "a0", rig.network.name))
    assert interface_of(link).netns == rig.network.path


def test_a_namespace_by_a_process_outlives_the_process(rig: manager_rig.Rig) -> None:
    with process(*rig.network.enter) as child:
        (first,) = attach(rig, on_xdp(rig, "near", f"pid:{child.pid}"))
        inode = os.stat(rig.network.path).st_ino
        assert interface_of(first).netns == f"pid:{child.pid}@{inode}"
        assert first.record.netns == inode
        assert rig.manager.link(first.record.id).status.reason == ""
    told = rig.manager.link(first.record.id).status
    assert told.state is model.LinkState.ATTACHED
    assert told.reason == f"process {child.pid}, by which its network namespace was named, is gone"
    assert rig.manager.doctor() == ()
    kernel_rig.send(rig.network, 2)
    assert rig.manager.chain("xdp", interface_of(first)).packets == 2
    attach(rig, on_xdp(rig, "near"), "second")
    assert len(rig.manager.chain("xdp", rig.near).record.members) == 2
    rig.manager.run(ROOT, model.Detach(link=first.record.id))
    assert len(rig.manager.chain("xdp", rig.near).record.members) == 1


def test_a_namespace_that_ends_with_its_process_leaves_a_defunct_link(types: types_rig.Rig) -> None:
    program = types.load("on_sk_lookup")
    with process("unshare", "--net") as child:
        link = types.attach(program, netns.NetnsAttachment(netns=f"pid:{child.pid}"))
        assert types.links()[0].status.state is model.LinkState.ATTACHED
    types_rig.until(lambda: types.links()[0].status.state is model.LinkState.DEFUNCT)
    assert "is gone" in types.links()[0].status.reason
    types.detach(link)
    assert types.links() == ()


def test_a_filter_in_a_process_s_namespace(types: types_rig.Rig) -> None:
    program = types.load("on_netfilter")
    with process("unshare", "--net") as child:
        wanted = netfilter.NetfilterAttachment(family="ipv4", hook="input", priority=7, netns=f"pid:{child.pid}")
        link = types.attach(program, wanted)
        stored = types.links()[0].record.attachment
        assert isinstance(stored, netfilter.NetfilterAttachment)
        assert stored.netns is not None
        assert stored.netns.startswith(f"pid:{child.pid}@")
    assert "is gone" in types.links()[0].status.reason
    types.detach(link)


# ---------------------------------------------------------------- cgroups


@pytest.fixture
def units(types: types_rig.Rig) -> Iterator[tuple[str, str]]:
    """A slice below the cgroup2 mount that looks as systemd leaves it, and what all names in it begin with."""
    root = types_rig.cgroups()
    stem = f"skept{os.getpid()}"
    made = [
        f"{stem}.slice",
        f"{stem}.slice/{stem}web.service",
        f"{stem}.slice/{stem}twice.service",
        f"{stem}.slice/{stem}-inner.slice",
        f"{stem}.slice/{stem}-inner.slice/{stem}twice.service",
        f"{stem}.slice/{stem}-inner.slice/{stem}get@tty1.service",
        f"{stem}.slice/{stem}-inner.slice/{stem}get@tty2.service",
        f"{stem}.slice/{stem}dev-sda\\x2d1.swap",
        f"{stem}.slice/_{stem}.hidden.scope",
    ]
    for one in made:
        os.mkdir(f"{root}/{one}")
    yield f"{root}/{stem}.slice", stem
    for one in reversed(made):
        os.rmdir(f"{root}/{one}")


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("{stem}web.service", "{stem}web.service"),
        ("{stem}web", "{stem}web.service"),
        ("{stem}get@tty1.service", "{stem}-inner.slice/{stem}get@tty1.service"),
        ("{stem}get@tty2", "{stem}-inner.slice/{stem}get@tty2.service"),
        ("{stem}-inner.slice", "{stem}-inner.slice"),
        ("{stem}dev-sda\\x2d1.swap", "{stem}dev-sda\\x2d1.swap"),
        ("{stem}.hidden.scope", "_{stem}.hidden.scope"),
        ("{stem}.slice/{stem}web.service", "{stem}web.service"),
        ("{top}/{stem}web.service", "{stem}web.service"),
    ],
)
def test_a_unit_is_a_cgroup_too(types: types_rig.Rig, units: tuple[str, str], words: str, path: str) -> None:
    top, stem = units
    wanted = cgroup.CgroupAttachment(path=words.format(stem=stem, top=top))
    link = types.attach(types.load("on_egress"), wanted)
    stored = types.links()[0].record.attachment
    assert stored == cgroup.CgroupAttachment(path=f"{top}/{path.format(stem=stem)}")
    types.detach(link)


def test_a_unit_s_name_stops_what_the_unit_sends(types: types_rig.Rig, units: tuple[str, str]) -> None:
    top, stem = units
    program = types.load("on_egress", refuse=1)
    before = members.inside(f"{top}/{stem}web.service", "send4")
    link = types.attach(program, cgroup.CgroupAttachment(path=f"{stem}web"))
    assert members.inside(f"{top}/{stem}web.service", "send4") != before
    types.detach(link)
    assert members.inside(f"{top}/{stem}web.service", "send4") == before


@pytest.mark.parametrize(
    ("words", "kind", "told"),
    [
        ("{stem}twice.service", errors.Conflict, "{stem}.slice/{stem}-inner.slice/{stem}twice.service"),
        ("{stem}get@.service", errors.Conflict, "{stem}get@tty1.service, "),
        ("{stem}webb.service", errors.NotFound, "did you mean {stem}web.service"),
        ("{stem}.slice/{stem}weeb.service", errors.NotFound, "did you mean {top}/{stem}web.service"),
        ("/{stem}.slice/{stem}web.service", errors.NotFound, "did you mean {top}/{stem}web.service"),
        ("/etc", errors.InvalidRequest, "not in a cgroup2"),
    ],
)
def test_what_names_no_one_cgroup(
    types: types_rig.Rig, units: tuple[str, str], words: str, kind: type[errors.SkepError], told: str
) -> None:
    top, stem = units
    with pytest.raises(kind) as raised:
        types.attach(types.load("on_egress"), cgroup.CgroupAttachment(path=words.format(stem=stem, top=top)))
    assert told.format(stem=stem, top=top) in str(raised.value)
    assert types.links() == ()
