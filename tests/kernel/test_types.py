"""Every program type, through the manager.

It has its effect while attached and none after, or this kernel refuses it and skep says what is missing, since when it
exists, and the errno.

Which of the two is decided by ``skep feature``'s probe, so that the same tests prove a type on a kernel that has it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, hooks, model
from skep.cli.document import history
from tests.kernel import every_type, types_rig
from tests.kernel.type_cases import CASES, CPU
from tests.unit.hooks import types_table


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
        case.ready(rig)
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
        assert all(case.detail in one.detail for one in shown.status.kernel)
        busy = case.effect(rig)
        rig.detach(link)
        assert rig.links() == ()
        assert busy != idle
        assert case.effect(rig) == idle


def test_the_document_tells_what_this_kernel_answers(features: dict[str, model.Feature]) -> None:
    """docs/types.md has two kernels: the guest's, and one whose policy refuses whole types."""
    refused = features["fentry"].errno == errno.EPERM and os.uname().release.startswith("6.18.")
    if not refused and not os.uname().release.startswith("6.12."):
        pytest.skip("the document does not speak of this kernel")
    told = types_table.measured(types_table.DOCUMENT.read_text())
    for hook in hooks.HOOKS:
        one = features[hook.name]
        answer = "yes" if one.available else history.errno_name(one.errno)
        assert told[hook.name][0 if refused else 1] == answer, hook.name


def test_every_type_is_proven_here() -> None:
    """A type may not be in the table without a test that sees what it does."""
    attached = {hook.name for hook in hooks.HOOKS if not hook.unattached}  # for the others see test_runs
    assert attached == {case.hook for case in CASES.values()} | set(every_type.ELSEWHERE)
    for name in every_type.ELSEWHERE.values():
        assert Path(__file__).with_name(f"{name}.py").exists()
