"""Every program type beyond XDP, TCX, tracepoints and uprobes, through the manager.

It has its effect while attached and none after, or this kernel refuses it and skep says what is missing, since when it
exists, and the errno.

Which of the two is decided by ``skep feature``'s probe, so that the same tests prove a type on a kernel that has it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from skep import errors, hooks, model
from skep.hooks import aimed, kprobe
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


def opened(rig: Rig) -> int:
    """Runs of the program while this process opens files."""
    before = rig.hits()
    for _ in range(5):
        os.close(os.open("/", os.O_RDONLY))
    return rig.hits() - before


def refused_mkdir(rig: Rig) -> bool:
    """Whether this process may not make a directory."""
    try:
        os.mkdir(rig.directory / "made")
    except PermissionError:
        return True
    os.rmdir(rig.directory / "made")
    return False


MINE = {"only_tgid": os.getpid()}
CASES = {
    "kprobe": Case(program="on_kprobe", hook="kprobe", values=MINE, effect=opened,
                   attachment=lambda rig: kprobe.KprobeAttachment(fn_name="do_sys_openat2")),
    "kprobe-offset": Case(program="on_kprobe", hook="kprobe", values=MINE, effect=opened,
                          attachment=lambda rig: kprobe.KprobeAttachment(fn_name="do_sys_openat2", offset=4)),
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
    "lsm-sleepable": Case(program="on_sleepable_lsm", hook="lsm", values=MINE | {"refuse": 1}, effect=refused_mkdir,
                          attachment=lambda rig: aimed.AimedAttachment()),
}  # fmt: skip


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
        busy = case.effect(rig)
        rig.detach(link)
        assert rig.links() == ()
        assert busy != idle
        assert case.effect(rig) == idle


def test_every_type_is_proven_here() -> None:
    """A type may not be in the table without a test that sees what it does."""
    elsewhere = {"xdp", "tcx", "tracepoint", "uprobe", "uretprobe"}  # test_attach, test_chain_of_every_kind
    assert {hook.name for hook in hooks.HOOKS} == {case.hook for case in CASES.values()} | elsewhere
