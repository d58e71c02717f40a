"""Whatever is named and is not there is answered with names that look like it, for every kind of place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from skep import errors, model
from skep.hooks import (
    cgroup,
    kprobe,
    kprobe_multi,
    netns,
    raw_tracepoint,
    tracepoint,
    uprobe,
    uprobe_multi,
    xdp,
)
from skep.kernel import kprobe as kernel_kprobe
from tests.kernel import kernel_rig, types_rig
from tests.kernel.types_rig import Rig
from tests.unit import host

ROOT = types_rig.ROOT


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with types_rig.rig(tmp_path) as made:
        yield made


@dataclass(frozen=True, kw_only=True)
class Case:
    """A program of ``types``, or of ``kinds`` when it is ``simple``, and what is wrong about its place.

    ``near`` is among what is suggested. Without an ``attachment`` the target is wrong at load.
    """

    program: str
    near: str | Callable[[Rig], str]
    attachment: Callable[[Rig], object] | None = None
    target: str | None = None
    simple: bool = False


def unit(rig: Rig) -> str:
    """The name of a unit that there is: a cgroup of the rig's."""
    return os.path.basename(rig.cgroup("service"))


def on_interface(name: str) -> Callable[[Rig], object]:
    def made(rig: Rig) -> object:
        kernel_rig.ip(rig.network(), "link", "property", "add", "dev", "near", "altname", "the-other-name-of-near")
        return xdp.XdpAttachment(interface=model.InterfaceRef(name=name, netns=rig.network().path), priority=1)

    return made


CASES = {
    "tracepoint": Case(program="point", simple=True, near="sched/sched_switch",
                       attachment=lambda _: tracepoint.TracepointAttachment(group="sched", name="sched_swich")),
    "tracepoint-group": Case(program="point", simple=True, near="sched/sched_switch",
                             attachment=lambda _: tracepoint.TracepointAttachment(group="shed", name="sched_switch")),
    "raw_tracepoint": Case(program="on_raw_tracepoint", near="sched_switch",
                           attachment=lambda _: raw_tracepoint.RawTracepointAttachment(name="sched_swich")),
    "tp_btf": Case(program="on_tp_btf", target="sched_swich", near="sched_switch"),
    "iterator": Case(program="on_iterator", target="taks", near="task"),
    "uprobe": Case(program="entered", simple=True, near="getppid",
                   attachment=lambda _: uprobe.UprobeAttachment(target="libc", fn_name="getpppid")),
    "uprobe_multi": Case(program="on_uprobe_multi", near="getppid",
                         attachment=lambda _: uprobe_multi.UprobeMultiAttachment(
                             target="libc", functions=("getpppid",))),
    "uprobe_multi-pattern": Case(program="on_uprobe_multi", near="getppid",
                                 attachment=lambda _: uprobe_multi.UprobeMultiAttachment(
                                     target="libc", functions=("getpppid*",))),
    "library": Case(program="on_uprobe_multi", near="libc.so.6",
                    attachment=lambda _: uprobe_multi.UprobeMultiAttachment(target="libcc.so.6", functions=("a",))),
    "interface": Case(program="first", simple=True, near="near", attachment=on_interface("neear")),
    "interface-altname": Case(program="first", simple=True, near="the-other-name-of-near",
                              attachment=on_interface("the-other-name-of-far")),
    "interface-pattern": Case(program="first", simple=True, near="near", attachment=on_interface("neear*")),
    "netns": Case(program="on_sk_lookup", near=lambda rig: rig.network().name,
                  attachment=lambda rig: netns.NetnsAttachment(netns=f"{rig.network().name}x")),
    "cgroup": Case(program="on_egress", near=Rig.cgroup,
                   attachment=lambda rig: cgroup.CgroupAttachment(path=f"{rig.cgroup()}x")),
    "unit": Case(program="on_egress", near=unit, attachment=lambda rig: cgroup.CgroupAttachment(
        path=f"{unit(rig)[:-8]}x.service")),
    "kprobe": Case(program="on_kprobe", near="do_sys_openat2",
                   attachment=lambda _: kprobe.KprobeAttachment(fn_name="do_sys_openat22")),
    "kprobe_multi": Case(program="on_kprobe_multi", near="do_sys_openat2",
                         attachment=lambda _: kprobe_multi.KprobeMultiAttachment(functions=("do_sys_openat22",))),
    "kprobe_multi-pattern": Case(program="on_kprobe_multi", near="do_sys_openat2",
                                 attachment=lambda _: kprobe_multi.KprobeMultiAttachment(
                                     functions=("do_sys_openat22*",))),
    "fentry": Case(program="on_fentry", target="vfs_mkdirr", near="vfs_mkdir"),
    "fexit": Case(program="on_fexit", target="vfs_mkdirr", near="vfs_mkdir"),
    "lsm": Case(program="on_lsm", target="inode_mkdri", near="inode_mkdir"),
}  # fmt: skip
NEEDS = {"kprobe": "kprobe", "kprobe_multi": "kprobe_multi", "kprobe_multi-pattern": "kprobe_multi"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=pytest.mark.needs(NEEDS[one]) if one in NEEDS else pytest.mark.native) for one in CASES],
)
def test_a_near_miss_is_suggested(rig: Rig, name: str) -> None:
    case = CASES[name]
    object = host.kinds() if case.simple else host.types()
    spec = model.ProgramSpec(name=case.program, attach_func=case.target)
    wanted = model.Load(object=object, source=model.FileSource(path="a.bpf.o"), programs=(spec,))
    operation: model.Operation = wanted
    if case.attachment is not None:
        (program,) = rig.manager.run(ROOT, wanted).programs
        operation = model.Attach(program=program.record.id, attachment=case.attachment(rig))
        with pytest.raises(errors.NotFound) as before:
            rig.manager.preview(ROOT, operation)
        assert before.value.near, "a dry run says so too"
    with pytest.raises(errors.NotFound) as told:
        rig.manager.run(ROOT, operation)
    near = case.near(rig) if callable(case.near) else case.near
    assert near in told.value.near
    assert near in str(told.value)
    assert rig.links() == ()


def test_a_pattern_tells_how_many_places_it_means(rig: Rig) -> None:
    """Before the attach, in its plan; and after it, by the kernel's own count."""
    program = rig.load("on_uprobe_multi")
    wanted = uprobe_multi.UprobeMultiAttachment(target="libc", functions=("getppid", "getpgi*"))
    attach = model.Attach(program=program.record.id, attachment=wanted)
    (line, _) = rig.manager.preview(ROOT, attach).steps
    assert "libc getppid,getpgi*: 2 places" in line
    rig.attach(program, wanted)
    assert rig.links()[0].status.kernel[0].detail == "2 places"


@pytest.mark.needs("kprobe_multi")
def test_a_pattern_tells_how_many_kernel_functions_it_means(rig: Rig) -> None:
    program = rig.load("on_kprobe_multi")
    wanted = kprobe_multi.KprobeMultiAttachment(functions=("vfs_mk*",))
    attach = model.Attach(program=program.record.id, attachment=wanted)
    (line, _) = rig.manager.preview(ROOT, attach).steps
    rig.attach(program, wanted)
    number = rig.links()[0].status.kernel[0].detail.removesuffix(" functions")
    assert int(number) > 1
    assert f"vfs_mk*: {number} kernel functions" in line


@pytest.mark.needs("kprobe")
def test_an_offset_beyond_the_function_is_refused_before_the_kernel_is_asked(rig: Rig) -> None:
    program = rig.load("on_kprobe")
    with pytest.raises(errors.InvalidRequest, match=r"do_sys_openat2\+0x100000: it has at most [0-9]+ \("):
        rig.attach(program, kprobe.KprobeAttachment(fn_name="do_sys_openat2", offset=0x100000))
    assert rig.links() == ()


def test_a_function_ends_where_the_next_begins() -> None:
    lines = [line.split() for line in Path("/proc/kallsyms").read_text().splitlines()]
    own = sorted((int(line[0], 16), line[2]) for line in lines if len(line) == 3 and line[1] in "tTwW")
    start = {name: address for address, name in own}["vfs_mkdir"]
    following = min(address for address, _ in own if address > start)
    assert following - start > 16
    assert kernel_kprobe.size("vfs_mkdir") == following - start
    assert kernel_kprobe.size("no_such_function_at_all") is None
