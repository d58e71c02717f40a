"""For each program type: a program, where it is attached, and what tells that it does something there.

A new type has a file of its own in ``tests/kernel/cases``, with a ``CASES`` like the one here.
"""

from __future__ import annotations

import importlib
import mmap
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from skep import errors, model
from skep.hooks import (
    aimed,
    cgroup,
    iter,
    kprobe,
    kprobe_multi,
    netfilter,
    netns,
    perf_event,
    raw_tracepoint,
    socket,
    sockmap,
    tcx,
    tracepoint,
    uprobe,
    uprobe_multi,
    xdp,
)
from tests.kernel import kernel_rig, members, types_rig, usdt_rig
from tests.kernel.types_rig import Rig


@dataclass(frozen=True, kw_only=True)
class Case:
    """``effect`` says what it saw of the program's doing: equal before attaching and after detaching, else not."""

    program: str
    attachment: Callable[[Rig], object]
    effect: Callable[[Rig], object]
    hook: str
    target: str | None = None
    values: dict[str, int] = field(default_factory=dict)
    ready: Callable[[Rig], object] = lambda rig: None
    """What must be there before the program is loaded."""
    detail: str = ""
    """What the kernel says of the link ("17 functions")."""
    source: str = "types"
    """The file of ``tests/bpf`` that has the program, without ``.bpf.c``."""
    busy: object = None
    """What ``effect`` is while the program is attached, where it must be exactly that."""
    twice: type[errors.SkepError] | None = None
    """How a second attachment of the program to its place is refused; None: it is a link beside the first."""


def opened(rig: Rig) -> int:
    """Runs of the program while this process opens files."""
    before = rig.hits()
    for _ in range(5):
        os.close(os.open("/", os.O_RDONLY))
    return rig.hits() - before


def asked(rig: Rig) -> bool:
    """Whether the program runs while this process makes system calls."""
    before = rig.hits()
    for _ in range(5):
        os.getppid()
    return rig.hits() > before


def passed(rig: Rig) -> int:
    """Runs of the program while a process passes its USDT probes."""
    before = rig.hits()
    with usdt_rig.process() as probed:
        probed.turn(3)
    return rig.hits() - before


def worked(rig: Rig) -> bool:
    """Whether the program runs while this process works on one processor; waits for it as long as it may take."""
    before = rig.hits()
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    return rig.hits() > before


def faulted(rig: Rig) -> bool:
    """Whether the program runs while this process touches new pages."""
    before = rig.hits()
    with mmap.mmap(-1, 64 * mmap.PAGESIZE) as pages:
        for page in range(64):
            pages[page * mmap.PAGESIZE] = 1
    return rig.hits() - before >= 64


def iterated(rig: Rig) -> bool:
    """Whether there is a link to read, and the program runs for each task while it is read."""
    before = rig.hits()
    for link in rig.links():
        types_rig.read_iterator(link.record.pins[0])
    return rig.hits() - before >= len(os.listdir("/proc/self/task"))


def flowed(rig: Rig) -> bool:
    """Whether the program sees frames in the rig's network namespace."""
    before = rig.hits()
    kernel_rig.send(rig.network(), 3)
    return rig.hits() > before


def near(rig: Rig) -> model.InterfaceRef:
    """The interface of the rig's network that programs are attached to."""
    return model.InterfaceRef(name=rig.network().near, netns=rig.network().path)


def refused_mkdir(rig: Rig) -> bool:
    """Whether this process may not make a directory."""
    try:
        os.mkdir(rig.directory / "made")
    except PermissionError:
        return True
    os.rmdir(rig.directory / "made")
    return False


CPU = min(os.sched_getaffinity(0))
MINE = {"only_tgid": os.getpid()}
CASES = {
    "xdp": Case(program="on_xdp", hook="xdp", effect=flowed,
                attachment=lambda rig: xdp.XdpAttachment(interface=near(rig), priority=50)),
    "tcx": Case(program="on_tcx", hook="tcx", effect=flowed,
                attachment=lambda rig: tcx.TcxAttachment(
                    interface=near(rig), direction=tcx.Direction.INGRESS, priority=50)),
    "tracepoint": Case(program="on_tracepoint", hook="tracepoint", values=MINE, effect=asked,
                       attachment=lambda rig: tracepoint.TracepointAttachment(
                           group="syscalls", name="sys_enter_getppid")),
    "uprobe": Case(program="on_uprobe", hook="uprobe", values=MINE, effect=asked,
                   attachment=lambda rig: uprobe.UprobeAttachment(target="libc", fn_name="getppid")),
    "uretprobe": Case(program="on_uretprobe", hook="uretprobe", effect=asked,
                      attachment=lambda rig: uprobe.UprobeAttachment(
                          target="libc", fn_name="getppid", pid=os.getpid())),
    "kprobe": Case(program="on_kprobe", hook="kprobe", values=MINE, effect=opened,
                   attachment=lambda rig: kprobe.KprobeAttachment(fn_name="do_sys_openat2")),
    "kprobe-offset": Case(program="on_kprobe", hook="kprobe", values=MINE, effect=opened,
                          attachment=lambda rig: kprobe.KprobeAttachment(fn_name="do_sys_openat2", offset=5)),
    "kretprobe": Case(program="on_kretprobe", hook="kretprobe", values=MINE, effect=opened,
                      attachment=lambda rig: kprobe.KprobeAttachment(fn_name="do_sys_openat2")),
    "fentry": Case(program="on_fentry", hook="fentry", values=MINE, effect=opened,
                   attachment=lambda rig: aimed.AimedAttachment()),
    "fexit": Case(program="on_fexit", hook="fexit", target="do_sys_openat2", values=MINE, effect=opened,
                  attachment=lambda rig: aimed.AimedAttachment()),
    "fexit-module": Case(
        program="on_fexit",
        hook="fexit",
        target="veth_xmit",
        ready=lambda rig: rig.network(),
        effect=flowed,
        attachment=lambda rig: aimed.AimedAttachment(),
    ),
    "fmod_ret": Case(program="on_fmod_ret", hook="fmod_ret", values=MINE | {"refuse": 1}, effect=refused_mkdir,
                     attachment=lambda rig: aimed.AimedAttachment()),
    "lsm": Case(program="on_lsm", hook="lsm", values=MINE | {"refuse": 1}, effect=refused_mkdir,
                attachment=lambda rig: aimed.AimedAttachment(target="inode_mkdir")),
    "lsm-sleepable": Case(program="on_sleepable_lsm", hook="lsm", values=MINE, effect=opened,
                          attachment=lambda rig: aimed.AimedAttachment()),
    "raw_tracepoint": Case(program="on_raw_tracepoint", hook="raw_tracepoint", values=MINE, effect=asked,
                           attachment=lambda rig: raw_tracepoint.RawTracepointAttachment(name="sys_enter")),
    "raw_tracepoint-bare": Case(program="on_raw_tracepoint_too", hook="raw_tracepoint", values=MINE, effect=asked,
                                attachment=lambda rig: raw_tracepoint.RawTracepointAttachment(name="sys_exit")),
    "tp_btf": Case(program="on_tp_btf", hook="tp_btf", values=MINE, effect=asked,
                   attachment=lambda rig: aimed.AimedAttachment(target="sys_enter")),
    "perf_event-pid": Case(program="on_perf_event", hook="perf_event", effect=worked,
                           attachment=lambda rig: perf_event.PerfEventAttachment(
                               event="cpu-clock", period=1_000_000, pid=os.getpid())),
    "perf_event-cpu": Case(program="on_perf_event", hook="perf_event", effect=worked,
                           attachment=lambda rig: perf_event.PerfEventAttachment(
                               event="cpu-clock", frequency=500, cpu=CPU)),
    "perf_event-everywhere": Case(program="on_perf_event", hook="perf_event", effect=worked,
                                  attachment=lambda rig: perf_event.PerfEventAttachment(
                                      event="cpu-clock", frequency=500)),
    "perf_event-faults": Case(program="on_perf_event", hook="perf_event", effect=faulted,
                              attachment=lambda rig: perf_event.PerfEventAttachment(
                                  event="page-faults", period=1, pid=os.getpid())),
    "iter": Case(program="on_iterator", hook="iter", effect=iterated, attachment=lambda rig: iter.IteratorAttachment()),
    "kprobe_multi": Case(program="on_kprobe_multi", hook="kprobe_multi", values=MINE, effect=opened, detail="functions",
                         attachment=lambda rig: kprobe_multi.KprobeMultiAttachment(
                             functions=("do_sys_openat2", "vfs_mk*"))),
    "kretprobe_multi": Case(program="on_kretprobe_multi", hook="kprobe_multi", values=MINE, effect=opened,
                            attachment=lambda rig: kprobe_multi.KprobeMultiAttachment(functions=("do_sys_open*",))),
    "usdt": Case(program="on_usdt", hook="usdt", effect=passed,
                 attachment=lambda rig: usdt_rig.attachment("demo:plain")),
    "uprobe_multi": Case(program="on_uprobe_multi", hook="uprobe_multi", values=MINE, effect=asked, detail="places",
                         attachment=lambda rig: uprobe_multi.UprobeMultiAttachment(
                             target="libc", functions=("getppid", "getpgi*"))),
    "uretprobe_multi": Case(program="on_uretprobe_multi", hook="uprobe_multi", effect=asked, detail="places",
                            attachment=lambda rig: uprobe_multi.UprobeMultiAttachment(
                                target="libc.so.6", functions=("getppid",), pid=os.getpid())),
}  # fmt: skip


POINTS = {  # program -> hook; what a process of the cgroup does, and whether it may be refused
    "on_ingress": ("cgroup_skb", "receive4", True),
    "on_egress": ("cgroup_skb", "send4", True),
    "on_sock_create": ("cgroup_sock", "socket", True),
    "on_sock_release": ("cgroup_sock", "socket", False),
    "on_post_bind4": ("cgroup_sock", "bind4", True),
    "on_post_bind6": ("cgroup_sock", "bind6", True),
    "on_bind4": ("cgroup_sock_addr", "bind4", True),
    "on_bind6": ("cgroup_sock_addr", "bind6", True),
    "on_connect4": ("cgroup_sock_addr", "connect4", True),
    "on_connect6": ("cgroup_sock_addr", "connect6", True),
    "on_sendmsg4": ("cgroup_sock_addr", "send4", True),
    "on_sendmsg6": ("cgroup_sock_addr", "send6", True),
    "on_recvmsg4": ("cgroup_sock_addr", "receive4", False),
    "on_recvmsg6": ("cgroup_sock_addr", "receive6", False),
    "on_getpeername4": ("cgroup_sock_addr", "peer4", False),
    "on_getpeername6": ("cgroup_sock_addr", "peer6", False),
    "on_getsockname4": ("cgroup_sock_addr", "bind4", False),
    "on_getsockname6": ("cgroup_sock_addr", "bind6", False),
    "on_setsockopt": ("cgroup_sockopt", "setsockopt", True),
    "on_getsockopt": ("cgroup_sockopt", "getsockopt", True),
    "on_sysctl": ("cgroup_sysctl", "sysctl", True),
    "on_device": ("cgroup_device", "device", True),
    "on_sockops": ("sockops", "connect4", False),
    "on_lsm_cgroup": ("lsm_cgroup", "socket", True),
}


def member(action: str) -> Callable[[Rig], object]:
    """What becomes of an action of a process in the rig's cgroup, and whether the program ran."""

    def effect(rig: Rig) -> object:
        before = rig.hits()
        told = members.inside(rig.cgroup(), action)
        return told, rig.hits() > before

    return effect


def in_namespace(action: str) -> Callable[[Rig], object]:
    """The same for a process in the rig's network namespace."""

    def effect(rig: Rig) -> object:
        before = rig.hits()
        told = members.inside_netns(rig.network().path, action)
        return told, rig.hits() > before

    return effect


def by_sockets(sender: bool) -> Callable[[Rig], object]:
    """What becomes of bytes between two sockets, of which the sender or the receiver is in the program's map."""

    def effect(rig: Rig) -> object:
        before = rig.hits()
        told = members.through_map(rig.pin("sockets"), sender=sender)
        return told, rig.hits() > before

    return effect


def heard_first(rig: Rig) -> object:
    """Whether the first of two sockets that share an address hears anything; the second is in the program's map."""
    group = rig.sockets()
    group.put(rig.pin("group"))
    return group.heard(0)[0] > 0


CASES.update(
    {
        f"{hook}-{name.removeprefix('on_')}": Case(
            program=name,
            hook=hook,
            values={"refuse": int(refuses)},
            attachment=lambda rig: cgroup.CgroupAttachment(path=rig.cgroup()),
            effect=member(action),
            detail="cgroup ",
        )
        for name, (hook, action, refuses) in POINTS.items()
    }
)
CASES.update(
    {
        "netfilter": Case(program="on_netfilter", hook="netfilter", values={"refuse": 1},
                          effect=in_namespace("receive4"),
                          attachment=lambda rig: netfilter.NetfilterAttachment(
                              family="ipv4", hook="input", priority=-128, netns=rig.network().path)),
        "netfilter-whole": Case(program="on_netfilter", hook="netfilter", values={"refuse": 1},
                                effect=in_namespace("receive6"),
                                attachment=lambda rig: netfilter.NetfilterAttachment(
                                    family="ipv6", hook="output", priority=7, defragment=True,
                                    netns=rig.network().path)),
        "sk_lookup": Case(program="on_sk_lookup", hook="sk_lookup", values={"refuse": 1},
                          effect=in_namespace("connect4"),
                          attachment=lambda rig: netns.NetnsAttachment(netns=rig.network().path),
                          detail="network namespace "),
        "flow_dissector": Case(program="on_flow", hook="flow_dissector", effect=flowed,
                               attachment=lambda rig: netns.NetnsAttachment(netns=rig.network().path)),
        "socket_filter": Case(program="on_socket_filter", hook="socket_filter", values={"refuse": 1},
                              effect=heard_first, detail="socket ",
                              attachment=lambda rig: socket.SocketAttachment(socket=rig.sockets().named(0))),
        "sk_reuseport": Case(program="on_sk_reuseport", hook="sk_reuseport", effect=heard_first,
                             attachment=lambda rig: socket.SocketAttachment(socket=rig.sockets().address()),
                             ready=lambda rig: rig.sockets(), detail="socket "),
        "sk_msg": Case(program="on_sk_msg", hook="sk_msg", values={"refuse": 1}, effect=by_sockets(sender=True),
                       attachment=lambda rig: sockmap.SockmapAttachment(map=rig.pin("sockets")), detail="map "),
        "sk_skb-stream_verdict": Case(program="on_stream_verdict", hook="sk_skb", values={"refuse": 1},
                                      effect=by_sockets(sender=False),
                                      attachment=lambda rig: sockmap.SockmapAttachment(map=rig.pin("sockets"))),
        "sk_skb-verdict": Case(program="on_verdict", hook="sk_skb", values={"refuse": 1},
                               effect=by_sockets(sender=False),
                               attachment=lambda rig: sockmap.SockmapAttachment(map=rig.pin("sockets"))),
    }
)  # fmt: skip

for _file in sorted(Path(__file__).with_name("cases").glob("[a-z]*.py")):
    CASES.update(importlib.import_module(f"tests.kernel.cases.{_file.stem}").CASES)
