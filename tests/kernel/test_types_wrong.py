"""Program types and what does not fit: targets that are not there, that vanish, and requests that contradict."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skep import errors, model
from skep.hooks import (
    aimed,
    cgroup,
    kprobe,
    kprobe_multi,
    netfilter,
    netns,
    perf_event,
    raw_tracepoint,
    sockmap,
    uprobe_multi,
)
from tests.kernel import types_rig
from tests.kernel.types_rig import Rig

NOBODY = 2**22 - 1  # kernel.pid_max on 64 bits is the number after it


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with types_rig.rig(tmp_path) as made:
        yield made


MISSING: dict[str, tuple[str, Callable[[Rig], object], str]] = {
    "tracepoint": (
        "on_raw_tracepoint", lambda _: raw_tracepoint.RawTracepointAttachment(name="sys_entr"), "did you mean sys_enter"
    ),
    "process": (
        "on_perf_event",
        lambda _: perf_event.PerfEventAttachment(event="cpu-clock", period=1000, pid=NOBODY),
        "no process",
    ),
    "processor": (
        "on_perf_event",
        lambda _: perf_event.PerfEventAttachment(event="cpu-clock", period=1000, cpu=60000),
        "no processor 60000",
    ),
    "cgroup": ("on_bind4", lambda rig: cgroup.CgroupAttachment(path=rig.cgroup() + "-not"), "no cgroup at"),
    "library": (
        "on_uprobe_multi", lambda _: uprobe_multi.UprobeMultiAttachment(target="libcc", functions=("a",)), "libc"
    ),
    "function": (
        "on_uprobe_multi",
        lambda _: uprobe_multi.UprobeMultiAttachment(target="libc", functions=("getppidd",)),
        "did you mean .*getppid",
    ),
    "matching function": (
        "on_uprobe_multi",
        lambda _: uprobe_multi.UprobeMultiAttachment(target="libc", functions=("nothing_is_called_*",)),
        "no name matches",
    ),
    "namespace": (
        "on_sk_lookup", lambda _: netns.NetnsAttachment(netns="/run/netns/never-made"), "no network namespace"
    ),
    "namespace of a filter": (
        "on_netfilter",
        lambda _: netfilter.NetfilterAttachment(family="ipv4", hook="input", priority=1, netns="/etc/passwd"),
        "not a network namespace",
    ),
    "map": ("on_sk_msg", lambda rig: sockmap.SockmapAttachment(map=rig.pin("sockets") + "-not"), "no map at"),
}  # fmt: skip


@pytest.mark.parametrize("what", MISSING)
def test_what_is_missing_is_named(rig: Rig, what: str) -> None:
    name, attachment, expected = MISSING[what]
    program = rig.load(name)
    with pytest.raises(errors.NotFound, match=expected):
        rig.attach(program, attachment(rig))
    with pytest.raises(errors.NotFound, match=expected):
        rig.check(program, attachment(rig))
    assert rig.links() == ()


WRONG: dict[str, tuple[str, Callable[[Rig], object], type[errors.SkepError], str]] = {
    "directory": ("on_bind4", lambda _: cgroup.CgroupAttachment(path="/etc"), errors.InvalidRequest, "not a cgroup"),
    "map of something else": (
        "on_sk_msg", lambda rig: sockmap.SockmapAttachment(map=rig.pin("hits")), errors.InvalidRequest, "map of sockets"
    ),
    "program as map": (
        "on_sk_msg", lambda rig: sockmap.SockmapAttachment(map=rig.program_pin()), errors.InvalidRequest, "of sockets"
    ),
    "type": ("on_bind4", lambda _: netns.NetnsAttachment(), errors.Conflict, "it is a cgroup_sock_addr program"),
    "other target": (
        "on_tp_btf", lambda _: aimed.AimedAttachment(target="sched_switch"), errors.Conflict, "loaded for sys_enter"
    ),
    "offset beyond the file": (
        "on_uprobe_multi",
        lambda _: uprobe_multi.UprobeMultiAttachment(target="libc", offsets=(1 << 40,)),
        errors.InvalidRequest,
        "bytes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_refused(rig: Rig, what: str) -> None:
    name, attachment, kind, expected = WRONG[what]
    program = rig.load(name)
    with pytest.raises(kind, match=expected):
        rig.attach(program, attachment(rig))
    assert rig.links() == ()


def test_hardware_counters_are_there_or_said_to_be_missing(rig: Rig) -> None:
    """Virtual machines have none, as a rule; what tells that is not an error number alone."""
    wanted = perf_event.PerfEventAttachment(event="cpu-cycles", period=100_000, pid=os.getpid())
    program = rig.load("on_perf_event")
    if os.path.exists("/sys/bus/event_source/devices/cpu"):
        before = rig.hits()
        rig.attach(program, wanted)
        sum(range(10**6))
        assert rig.hits() > before
        return
    with pytest.raises(errors.Unsupported, match="no such counter") as told:
        rig.attach(program, wanted)
    assert told.value.feature == "perf event cpu-cycles"


def test_the_program_s_target_must_be_in_the_kernel(rig: Rig) -> None:
    with pytest.raises(errors.NotFound, match="BTF nor that of a module"):
        rig.load("on_tp_btf", "no_such_tracepoint")


def test_a_target_that_only_the_caller_can_name(rig: Rig) -> None:
    with pytest.raises(errors.InvalidRequest, match="fexit:PROGRAM:TARGET"):
        rig.load("on_fexit")


def test_a_kernel_function_that_is_not_there(rig: Rig) -> None:
    available = types_rig.features()
    for name, feature, attachment in (
        ("on_kprobe", "kprobe", kprobe.KprobeAttachment(fn_name="do_sys_openat22")),
        ("on_kprobe_multi", "kprobe_multi", kprobe_multi.KprobeMultiAttachment(functions=("do_sys_openat22",))),
        ("on_kprobe_multi", "kprobe_multi", kprobe_multi.KprobeMultiAttachment(functions=("no_such_thing_*",))),
    ):
        expected = errors.NotFound if available[feature].available else errors.SkepError
        program = rig.load(name)
        with pytest.raises(expected) as told:
            rig.attach(program, attachment)
        assert isinstance(told.value, (errors.NotFound, errors.Unsupported))


def test_the_same_program_twice_at_its_function(rig: Rig) -> None:
    if not types_rig.features()["fentry"].available:
        with pytest.raises(errors.Unsupported, match="before the verifier"):
            rig.load("on_fentry")
        return
    program = rig.load("on_fentry")
    rig.attach(program, aimed.AimedAttachment())
    with pytest.raises(errors.AlreadyExists):
        rig.attach(program, aimed.AimedAttachment())
    assert len(rig.links()) == 1


def test_two_filters_of_one_priority(rig: Rig) -> None:
    wanted = netfilter.NetfilterAttachment(family="ipv4", hook="input", priority=5, netns=rig.network().path)
    rig.attach(rig.load("on_netfilter"), wanted)
    with pytest.raises(errors.Conflict, match="priority"):
        rig.attach(rig.load("on_netfilter"), wanted)


def test_a_second_flow_dissector(rig: Rig) -> None:
    wanted = netns.NetnsAttachment(netns=rig.network().path)
    rig.attach(rig.load("on_flow"), wanted)
    with pytest.raises(errors.Conflict, match="flow dissector"):
        rig.attach(rig.load("on_flow"), wanted)


def test_a_second_program_for_a_map_s_sockets(rig: Rig) -> None:
    first = rig.load("on_sk_msg")
    wanted = sockmap.SockmapAttachment(map=rig.pin("sockets"))
    rig.attach(first, wanted)
    with pytest.raises(errors.Conflict, match="already"):
        rig.attach(rig.load("on_sk_msg"), wanted)


def test_a_cgroup_that_vanishes_leaves_a_defunct_link(rig: Rig) -> None:
    path = rig.make_cgroup()
    link = rig.attach(rig.load("on_bind4"), cgroup.CgroupAttachment(path=path))
    os.rmdir(path)
    gone_within(rig, link)


def test_a_namespace_that_vanishes_leaves_a_defunct_link(rig: Rig) -> None:
    name = f"skepty-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        link = rig.attach(rig.load("on_sk_lookup"), netns.NetnsAttachment(netns=f"/run/netns/{name}"))
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
    gone_within(rig, link)


def gone_within(rig: Rig, link: model.LinkId) -> None:
    """The link is defunct soon (the kernel tidies up on its own time), and can be taken away, once."""
    types_rig.until(lambda: rig.links()[0].status.state is model.LinkState.DEFUNCT)
    assert rig.links()[0].status.reason
    rig.detach(link)
    assert rig.links() == ()
    with pytest.raises(errors.NotFound):
        rig.detach(link)
