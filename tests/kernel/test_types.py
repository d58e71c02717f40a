"""Every program type beyond XDP, TCX, tracepoints and uprobes, through the manager.

It has its effect while attached and none after, or this kernel refuses it and skep says what is missing, since when it
exists, and the errno.

Which of the two is decided by ``skep feature``'s probe, so that the same tests prove a type on a kernel that has it.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from skep import errors, hooks, model
from skep.hooks import aimed, kprobe, kprobe_multi, perf_event, raw_tracepoint, uprobe_multi
from tests.kernel import types_rig
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
    detail: str = ""
    """What the kernel says of the link ("17 functions")."""


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
    "perf_event-faults": Case(program="on_perf_event", hook="perf_event", effect=faulted,
                              attachment=lambda rig: perf_event.PerfEventAttachment(
                                  event="page-faults", period=1, pid=os.getpid())),
    "iter": Case(program="on_iterator", hook="iter", effect=iterated, attachment=lambda rig: aimed.AimedAttachment()),
    "kprobe-multi": Case(program="on_kprobe_multi", hook="kprobe-multi", values=MINE, effect=opened, detail="functions",
                         attachment=lambda rig: kprobe_multi.KprobeMultiAttachment(
                             functions=("do_sys_openat2", "vfs_mk*"))),
    "kretprobe-multi": Case(program="on_kretprobe_multi", hook="kprobe-multi", values=MINE, effect=opened,
                            attachment=lambda rig: kprobe_multi.KprobeMultiAttachment(functions=("do_sys_open*",))),
    "uprobe-multi": Case(program="on_uprobe_multi", hook="uprobe-multi", values=MINE, effect=asked, detail="places",
                         attachment=lambda rig: uprobe_multi.UprobeMultiAttachment(
                             target="libc", functions=("getppid", "getpgi*"))),
    "uretprobe-multi": Case(program="on_uretprobe_multi", hook="uprobe-multi", effect=asked, detail="places",
                            attachment=lambda rig: uprobe_multi.UprobeMultiAttachment(
                                target="libc.so.6", functions=("getppid",), pid=os.getpid())),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _on_one_processor() -> Iterator[None]:
    """Work happens where the counter of one processor sees it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CPU})
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture(scope="module")
def features() -> dict[str, model.Feature]:
    return types_rig.features()


@pytest.mark.parametrize("name", CASES)
def test_a_type_has_its_effect_while_attached(tmp_path: Path, features: dict[str, model.Feature], name: str) -> None:
    case = CASES[name]
    feature = features[case.hook]
    with types_rig.rig(tmp_path) as rig:
        if not feature.available:
            with pytest.raises(errors.Unsupported) as told:
                program = rig.load(case.program, case.target, **case.values)
                rig.attach(program, case.attachment(rig))
            assert told.value.errno == feature.errno
            assert told.value.feature
            assert told.value.first
            assert "ulimit" not in str(told.value)
            assert rig.links() == ()
            return
        program = rig.load(case.program, case.target, **case.values)
        idle = case.effect(rig)
        link = rig.attach(program, case.attachment(rig))
        (shown,) = rig.links()
        assert (shown.record.hook, shown.status.state) == (case.hook, model.LinkState.ATTACHED)
        assert hooks.by_name(case.hook).summary(shown.record.attachment)
        assert case.detail in shown.status.kernel[0].detail
        busy = case.effect(rig)
        rig.detach(link)
        assert rig.links() == ()
        assert busy != idle
        assert case.effect(rig) == idle


def test_every_type_is_proven_here() -> None:
    """A type may not be in the table without a test that sees what it does."""
    elsewhere = {"xdp", "tcx", "tracepoint", "uprobe", "uretprobe"}  # test_attach, test_chain_of_every_kind
    assert {hook.name for hook in hooks.HOOKS} == {case.hook for case in CASES.values()} | elsewhere
