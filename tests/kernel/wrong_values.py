"""For each field of each attachment: values that are wrong, and how they are refused.

A new type whose attachment has a class of its own gives its fields here; ``test_every_type_wrong`` says which are
missing. ``test_every_type_wrong`` hands them to the manager, ``test_every_type_wire`` to the daemon's API.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from skep import errors
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
    tc,
    tcx,
    tracepoint,
    uprobe,
    uprobe_multi,
    usdt,
    xdp,
)

NOBODY = 2**22 - 1
"""No process has this number: kernel.pid_max on 64 bits is the number after it, and is never given out so far up."""
NOWHERE = "/run/netns/skep-never-made"


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """``value`` in place of the valid one (or made from it); ``error`` and ``says``: how it is refused.

    ``also``: other fields that change with it. ``near``: a name that the error must suggest.
    """

    value: object | Callable[[str], object]
    error: type[errors.SkepError] = errors.InvalidRequest
    says: str
    also: Mapping[str, object] = field(default_factory=dict)
    near: str = ""

    def made(self, valid: object) -> object:
        """The wrong value."""
        return self.value(str(valid)) if callable(self.value) else self.value


def missing(
    value: object | Callable[[str], object], says: str, near: str = "", also: Mapping[str, object] | None = None
) -> Wrong:
    """A name that nothing has."""
    return Wrong(value=value, error=errors.NotFound, says=says, near=near, also=also or {})


def _not(valid: str) -> str:
    return f"{valid}-not"


INTERFACE = (missing("nea", "no interface 'nea'", "near"), Wrong(value="", says="name is empty"))
NETNS = (
    missing(NOWHERE, f"no network namespace at {NOWHERE}"),
    missing("/etc/passwd", "not a network namespace"),
)
NETNS_PATH = (*NETNS, missing("never-made", "no network namespace"), missing(f"pid:{NOBODY}", "no process"))
PRIORITY = (Wrong(value=-1, says="priority -1 is out of range"), Wrong(value=2**31 - 1 + 1, says="out of range"))
PID = (
    missing(NOBODY, f"no process {NOBODY}"),
    Wrong(value=-5, says="not a process id"),
)
CONTAINER = (missing(NOBODY, "no such process"), Wrong(value=-5, says="not a process id"))
LIBRARY = (
    missing("libcc", "no library 'libcc'", "libc"),
    missing("/nowhere/at/all", "cannot open"),
    Wrong(value="./relative", says="the path is relative"),
    Wrong(value="/etc", says="not a regular file"),
    Wrong(value="/etc/passwd", says="cannot find"),
    Wrong(value="", says="empty"),
)
SYMBOL = (missing("getppidd", "no function 'getppidd'", "getppid"),)
KERNEL_SYMBOL = (
    missing("do_sys_openat22", "no kernel function", "do_sys_openat2"),
    Wrong(value="not a symbol", says="not a kernel symbol's name"),
    Wrong(value="", says="not a kernel symbol's name"),
)

WRONG: dict[type, dict[str, tuple[Wrong, ...]]] = {
    xdp.XdpAttachment: {
        "interface": INTERFACE,
        "netns": NETNS,
        "priority": PRIORITY,
        "proceed_on": (Wrong(value=[7], says="7 is not an XDP verdict"),),
        "mode": (Wrong(value="fast", says="it is one of drv, skb, hw"),),
    },
    tc.TcAttachment: {
        "interface": INTERFACE,
        "netns": NETNS,
        "priority": PRIORITY,
        "direction": (Wrong(value="sideways", says="it is one of ingress, egress"),),
        "proceed_on": (Wrong(value=[77], says="77 is not"),),
    },
    tcx.TcxAttachment: {
        "interface": INTERFACE,
        "netns": NETNS,
        "priority": PRIORITY,
        "direction": (Wrong(value="sideways", says="it is one of ingress, egress"),),
    },
    tracepoint.TracepointAttachment: {
        "group": (
            missing("syscals", "no tracepoint", "syscalls/sys_enter_getppid"),
            Wrong(value="../..", says="not a tracepoint's name"),
        ),
        "name": (
            missing("sys_enter_getpp", "no tracepoint", "syscalls/sys_enter_getppid"),
            Wrong(value="", says="not a tracepoint's name"),
        ),
    },
    raw_tracepoint.RawTracepointAttachment: {
        "name": (
            missing("sys_entr", "no tracepoint", "sys_enter"),
            Wrong(value="sched/sched_switch", says="not a kernel symbol's name"),
        ),
    },
    aimed.AimedAttachment: {
        "target": (Wrong(value="never_heard_of", error=errors.Conflict, says="it was loaded for"),),
    },
    kprobe.KprobeAttachment: {
        "fn_name": KERNEL_SYMBOL,
        "offset": (Wrong(value=2**32, says="out of range"), Wrong(value=-1, says="out of range")),
    },
    kprobe_multi.KprobeMultiAttachment: {
        "functions": (
            Wrong(value=[], says="missing"),
            Wrong(value=[""], says="empty"),
            missing(["do_sys_openat22"], "no kernel function"),
            missing(["nothing_is_called_*"], "no kernel function"),
        ),
    },
    uprobe.UprobeAttachment: {
        "target": LIBRARY,
        "fn_name": SYMBOL,
        "offset": (
            Wrong(value=2**40, says="the file has", also={"fn_name": None}),
            Wrong(value=-1, says="out of range"),
            Wrong(value=0, says="needs a place", also={"fn_name": None}),
        ),
        "pid": PID,
        "container_pid": CONTAINER,
    },
    usdt.UsdtAttachment: {
        "target": (
            *LIBRARY[1:5],
            missing("/usr/bin/true", "it has none"),
            Wrong(value="", says="needs both a target and a name"),
        ),
        "probe": (
            missing("demo:plan", "no USDT probe 'demo:plan'", "demo:plain"),
            missing("dmo:plain", "no USDT probe 'dmo:plain'", "demo:plain"),
            missing("nothing:alike", "it has demo:guarded, demo:kinds"),
            Wrong(value="demo", says="write it as PROVIDER:NAME"),
            Wrong(value=":plain", says="write it as PROVIDER:NAME"),
            Wrong(value="", says="needs both a target and a name"),
        ),
        "pid": PID,
        "container_pid": CONTAINER,
        "cookie": (Wrong(value=2**64, says="out of range"), Wrong(value=-1, says="out of range")),
    },
    uprobe_multi.UprobeMultiAttachment: {
        "target": LIBRARY,
        "functions": (
            missing(["getppidd"], "no function 'getppidd'", "getppid"),
            missing(["nothing_is_called_*"], "no name matches"),
            Wrong(value=[], says="no place in the target"),
            Wrong(value=[""], says="empty"),
        ),
        "offsets": (Wrong(value=[2**40], says="the file has"), Wrong(value=[-1], says="out of range")),
        "pid": PID,
        "container_pid": CONTAINER,
    },
    perf_event.PerfEventAttachment: {
        "event": (Wrong(value="cpu-clok", says="'cpu-clok' is not known"),),
        "period": (Wrong(value=0, says="the period is 0"), Wrong(value=-1, says="out of range")),
        "frequency": (Wrong(value=99, says="a period or a frequency"),),  # beside the period of the valid one
        "pid": PID,
        "cpu": (missing(60000, "no processor 60000"), Wrong(value=-1, says="out of range")),
    },
    cgroup.CgroupAttachment: {
        "path": (
            missing(_not, "no cgroup at"),
            Wrong(value="/etc", says="is not a cgroup"),
            Wrong(value="/etc/passwd", says="is not a cgroup"),
            missing("skep-never-made.service", "no cgroup"),
        ),
        "order": (
            Wrong(value="sideways", says="is not an order"),
            missing("before:999", "no link 999"),
        ),
    },
    netns.NetnsAttachment: {"netns": NETNS_PATH},
    netfilter.NetfilterAttachment: {
        "family": (Wrong(value="ipx", says="'ipx' is not known"),),
        "hook": (Wrong(value="ingres", says="'ingres' is not known"),),
        "priority": (Wrong(value=-(2**31), says="out of range"),),
        "defragment": (Wrong(value=True, says="packets are not whole yet", also={"priority": -500}),),
        "netns": NETNS_PATH,
    },
    iter.IteratorAttachment: {
        "target": (Wrong(value="never_heard_of", error=errors.Conflict, says="it was loaded for"),),
        "map": (Wrong(value="1", says="takes no map"), Wrong(value="relative", says="not an absolute path")),
        "cgroup": (Wrong(value="/sys/fs/cgroup", says="takes no cgroup"), Wrong(value="", says="empty")),
        "order": (Wrong(value="self", says="takes no order"), Wrong(value="sideways", says="'sideways' is not known")),
        "pid": (*PID, Wrong(value=1, says="one process or one thread", also={"tid": 1})),
        "tid": (missing(NOBODY, f"no thread {NOBODY}"), Wrong(value=-5, says="not a process id")),
    },
    socket.SocketAttachment: {
        "socket": (
            missing(f"{NOBODY}:3", f"no process {NOBODY}"),
            missing("tcp:127.0.0.1:1", "no socket is bound"),
            Wrong(value="nonsense", says="PID:FD"),
            Wrong(value="", says="PID:FD"),
        ),
        "netns": (
            missing(NOWHERE, f"no network namespace at {NOWHERE}", also={"socket": "udp:127.0.0.1:1"}),
            Wrong(value=NOWHERE, says="no namespace", also={"socket": "1:3"}),
        ),
        "pid": (Wrong(value=-1, says="out of range"), Wrong(value=2**31, says="out of range")),
        "fd": (Wrong(value=-1, says="out of range"), Wrong(value=2**31, says="out of range")),
        "inode": (Wrong(value=-1, says="out of range"),),
        "cookie": (Wrong(value=-1, says="out of range"),),
    },
    sockmap.SockmapAttachment: {
        "map": (
            missing(_not, "no map at"),
            Wrong(value="/etc/passwd", says="not a map of sockets"),
            Wrong(value="sockets", says="not an absolute path"),
        ),
    },
}
