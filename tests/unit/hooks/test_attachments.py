"""Attachments are valid by construction, and survive JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

import hypothesis
import pytest
from hypothesis import strategies as st

from skep import errors, hooks, model
from skep.hooks import (
    aimed,
    cgroup,
    codec,
    freplace,
    kprobe,
    kprobe_multi,
    kretprobe,
    netfilter,
    netkit,
    netns,
    perf_event,
    raw_tracepoint,
    request,
    sockmap,
    tcx,
    tracepoint,
    uprobe,
    uprobe_multi,
    xdp,
)
from tests.unit import host

ETH0 = model.InterfaceRef(name="eth0")
PRIORITIES = st.integers(0, 2**31 - 1)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
WORDS = st.from_regex(r"[A-Za-z0-9_]+", fullmatch=True)
INTERFACES = st.builds(model.InterfaceRef, name=NAMES, netns=st.none() | NAMES.map(lambda name: f"/{name}"))
VERDICTS = st.lists(st.sampled_from(list(xdp.VERDICTS.values()))).map(tuple)
PIDS = st.none() | st.integers(1, 2**31 - 1)

ATTACHMENTS = st.one_of(
    st.builds(xdp.XdpAttachment, interface=INTERFACES, priority=PRIORITIES, proceed_on=VERDICTS,
              mode=st.none() | st.sampled_from(list(model.XdpMode))).map(lambda one: ("xdp", one)),
    st.builds(tcx.TcxAttachment, interface=INTERFACES, priority=PRIORITIES,
              direction=st.sampled_from(list(tcx.Direction))).map(lambda one: ("tcx", one)),
    st.builds(tracepoint.TracepointAttachment, group=WORDS, name=WORDS).map(lambda one: ("tracepoint", one)),
    st.builds(uprobe.UprobeAttachment, target=NAMES, fn_name=st.none() | NAMES, offset=st.integers(1, 2**64 - 1),
              pid=PIDS, container_pid=PIDS).map(lambda one: ("uretprobe", one)),
)  # fmt: skip


@hypothesis.given(ATTACHMENTS)
def test_an_attachment_survives_json(named: tuple[str, object]) -> None:
    name, attachment = named
    assert codec.decode(name, json.loads(json.dumps(codec.encode(attachment)))) == attachment


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: xdp.XdpAttachment(interface=ETH0, priority=-1), "0 (first) to 2147483647"),
        (lambda: xdp.XdpAttachment(interface=ETH0, priority=2**31), "0 (first) to 2147483647"),
        (lambda: xdp.XdpAttachment(interface=model.InterfaceRef(name=""), priority=1), "empty"),
        (lambda: xdp.XdpAttachment(interface=ETH0, priority=1, proceed_on=(5,)), "dispatcher_return 31"),
        (lambda: tcx.TcxAttachment(interface=ETH0, direction=tcx.Direction.EGRESS, priority=-5), "0 (first)"),
        (lambda: tcx.parse_direction("up"), "ingress, egress"),
        (lambda: netkit.parse_side("ingress"), "primary, peer"),
        (lambda: netkit.NetkitAttachment(interface=ETH0, side=netkit.Side.PEER, priority=-1), "0 (first)"),
        (lambda: freplace.parse("check"), "PROGRAM/FUNCTION"),
        (lambda: freplace.parse("4294967296/check"), "PROGRAM/FUNCTION"),
        (lambda: hooks.by_name("freplace").target("freplace/check", None), "--target-program"),
        (lambda: hooks.by_name("freplace").target("freplace", "42"), "PROGRAM/FUNCTION"),
        (lambda: tracepoint.parse_tracepoint("sched_switch"), "GROUP/NAME"),
        (lambda: tracepoint.TracepointAttachment(group="..", name="x"), "GROUP/NAME"),
        (lambda: tracepoint.parse_tracepoint("a/b/c"), "GROUP/NAME"),
        (lambda: uprobe.UprobeAttachment(target="/bin/x"), "offset other than 0"),
        (lambda: uprobe.UprobeAttachment(target="", fn_name="main"), "empty"),
        (lambda: uprobe.UprobeAttachment(target="/bin/x", fn_name="main", pid=0), "not a process id"),
        (lambda: uprobe.UprobeAttachment(target="/bin/x", fn_name="main", offset=-1), "out of range"),
        (lambda: kprobe.KprobeAttachment(fn_name=""), "not a kernel symbol"),
        (lambda: kprobe.KprobeAttachment(fn_name="a b"), "not a kernel symbol"),
        (lambda: kprobe.KprobeAttachment(fn_name="vfs_read", offset=-1), "out of range"),
        (lambda: kretprobe.requests(kprobe.KprobeAttachment(fn_name="a", offset=1), hooks.Placing()), "no offset"),
        (lambda: kprobe_multi.KprobeMultiAttachment(functions=()), "missing"),
        (lambda: kprobe_multi.KprobeMultiAttachment(functions=("a", "")), "empty"),
        (lambda: uprobe_multi.UprobeMultiAttachment(target="libc"), "name functions, or give offsets"),
        (lambda: uprobe_multi.UprobeMultiAttachment(target="libc", offsets=(-1,)), "out of range"),
        (lambda: raw_tracepoint.RawTracepointAttachment(name="sched/sched_switch"), "not a kernel symbol"),
        (lambda: perf_event.PerfEventAttachment(event="cpu-clock", pid=1), "a period or a frequency"),
        (lambda: perf_event.PerfEventAttachment(event="cpu-clock", period=1, frequency=1, pid=1), "a period or"),
        (lambda: perf_event.PerfEventAttachment(event="cpu-clock", period=0, pid=1), "would never run"),
        (lambda: perf_event.PerfEventAttachment(event="nap", period=1, pid=1), "cpu-clock"),
        (lambda: perf_event.PerfEventAttachment(event="cpu-clock", period=1, cpu=-1), "out of range"),
        (lambda: cgroup.CgroupAttachment(path=""), "empty"),
        (lambda: cgroup.CgroupAttachment(path="/a", order="above:1"), "before:LINK"),
        (lambda: cgroup.CgroupAttachment(path="/a", order="before:0"), "before:LINK"),
        (lambda: netns.NetnsAttachment(netns="run/blue"), "absolute"),
        (lambda: sockmap.SockmapAttachment(map=""), "empty"),
        (lambda: netfilter.NetfilterAttachment(family="arp", hook="input", priority=1), "ipv4, ipv6"),
        (lambda: netfilter.NetfilterAttachment(family="ipv4", hook="in", priority=1), "prerouting"),
        (lambda: netfilter.NetfilterAttachment(family="ipv4", hook="input", priority=-(2**31)), "out of range"),
        (lambda: netfilter.NetfilterAttachment(family="ipv4", hook="input", priority=2**31 - 1), "out of range"),
        (lambda: netfilter.NetfilterAttachment(family="ipv4", hook="input", priority=-400, defragment=True), "-400"),
        (lambda: hooks.by_name("cgroup_skb").attach_type("cgroup_skb"), "cgroup_skb/egress"),
        (lambda: hooks.by_name("fentry").target("fentry", None), "fentry:PROGRAM:TARGET"),
        (lambda: xdp.parse_proceed_on("pass,fly"), "separate them by commas"),
        (lambda: xdp.parse_mode("fast"), "drv, skb, hw"),
        (lambda: codec.decode("xdp", {"interface": {"name": "eth0"}}), "priority"),
        (lambda: codec.decode("xdp", {"interface": {"name": "eth0"}, "priority": "1"}), "not a number"),
        (lambda: codec.decode("xdp", {"interface": "eth0", "priority": 1}), "not an object"),
        (lambda: codec.decode("tracepoint", {"group": "a", "name": "b", "more": 1}), "no field 'more'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(make: Callable[[], object], words: str) -> None:
    with pytest.raises(errors.InvalidRequest) as told:
        make()
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("text", "codes"),
    [("", ()), ("pass", (2,)), ("Drop, pass,drop", (1, 2)), ("31,0", (0, 31)), ("dispatcher_return", (31,))],
)
def test_proceed_on_is_parsed(text: str, codes: tuple[int, ...]) -> None:
    assert xdp.parse_proceed_on(text) == codes


@pytest.mark.parametrize(
    ("asked", "configured", "labels"),
    [(None, "drv", ["drv", "skb"]), (None, "skb", ["skb"]), (None, "hw", ["hw", "skb"]), ("drv", "skb", ["drv"]),
     ("hw", "drv", ["hw"])],
)  # fmt: skip
def test_a_demanded_mode_has_no_fallback(asked: str | None, configured: str, labels: list[str]) -> None:
    mode = None if asked is None else model.XdpMode(asked)
    attachment = xdp.XdpAttachment(interface=ETH0, priority=1, mode=mode)
    candidates = xdp.requests(attachment, hooks.Placing(mode=model.XdpMode(configured)))
    assert [one.label for one in candidates] == labels
    assert [one.flags for one in candidates] == [{"drv": 4, "skb": 2, "hw": 8}[label] for label in labels]


def test_a_uretprobe_is_asked_for_as_a_uprobe() -> None:
    attachment = uprobe.UprobeAttachment(target="libc", fn_name="malloc", container_pid=7)
    for name, retprobe in (("uprobe", False), ("uretprobe", True)):
        (candidate,) = host.candidates(hooks.by_name(name).requests(attachment, hooks.Placing()))
        assert candidate.target == request.UprobeTarget(
            path="libc", symbol="malloc", offset=0, retprobe=retprobe, container_pid=7
        )


@pytest.mark.parametrize("section", ["cgroup/connect6", "?cgroup/connect6", "cgroup/connect6/mine"])
def test_a_section_says_where_a_program_runs(section: str) -> None:
    hook = hooks.from_section(section)
    assert hook is not None
    assert (hook.name, hook.attach_type(section)) == ("cgroup_sock_addr", 11)
    (candidate,) = host.candidates(hook.requests(cgroup.CgroupAttachment(path="/g"), hooks.Placing(section=section)))
    assert candidate.attach_type == 11


@pytest.mark.parametrize(
    ("section", "named", "target"),
    [("fentry/vfs_read", None, "vfs_read"), ("fentry/vfs_read", "vfs_write", "vfs_write"), ("fentry", "a", "a"),
     ("fentry.s/vfs_read", None, "vfs_read"), ("?lsm/file_open", None, "file_open")],
)  # fmt: skip
def test_what_a_program_is_loaded_for(section: str, named: str | None, target: str) -> None:
    hook = hooks.from_section(section)
    assert hook is not None
    assert hook.target(section, named) == target


def test_an_attachment_cannot_change_what_the_program_was_loaded_for() -> None:
    placing = hooks.Placing(section="lsm/file_open", function="file_open")
    assert aimed.complete(aimed.AimedAttachment(), placing).target == "file_open"
    with pytest.raises(errors.Conflict, match="loaded for file_open"):
        aimed.complete(aimed.AimedAttachment(target="file_close"), placing)


@pytest.mark.parametrize(
    ("order", "place", "link"),
    [
        ("first", "before", None),
        ("last", "after", None),
        ("before:7", "before", 7),
        ("after:4294967295", "after", 2**32 - 1),
    ],
)
def test_an_order_names_a_side_and_a_neighbour(order: str, place: str, link: int | None) -> None:
    assert cgroup.anchor(order) == (request.Place(place), link)


@pytest.mark.parametrize(("section", "flags"), [("uprobe.multi", 0), ("uretprobe.multi.s/x", 1)])
def test_the_section_of_a_multi_probe_says_whether_it_waits_for_returns(section: str, flags: int) -> None:
    attachment = uprobe_multi.UprobeMultiAttachment(target="libc", functions=("malloc",))
    (candidate,) = host.candidates(hooks.by_name("uprobe_multi").requests(attachment, hooks.Placing(section=section)))
    assert candidate.flags == flags


@pytest.mark.parametrize(
    ("section", "named", "target"),
    [("freplace/check", "42", "42/check"), ("freplace/check", "42/", "42/check"), ("freplace", "42/a", "42/a"),
     ("freplace/check", "42/other", "42/other"), ("freplace/check", "042", "42/check")],
)  # fmt: skip
def test_an_extension_is_told_whose_function_it_replaces(section: str, named: str, target: str) -> None:
    assert hooks.by_name("freplace").target(section, named) == target
