from __future__ import annotations

import pytest

from skep import errors
from skep.bytecode import insn
from skep.bytecode.insn import EXIT_INSN, FRAME, Insn
from skep.chain import forms, frames
from skep.chain.parts import Form
from tests.unit.chain import made_members

LOOP = Insn(insn.CLASS_JMP | insn.JNE, 2, 0, -3, 0)


@pytest.mark.parametrize(
    ("body", "depth", "exact"),
    [
        pytest.param([], 0, True, id="no frame"),
        pytest.param([insn.store64(FRAME, -8, 1)], 8, True, id="a store"),
        pytest.param([insn.store64(FRAME, -8, 1), insn.load64(1, FRAME, -64)], 64, True, id="the lowest of several"),
        pytest.param([insn.mov64(2, FRAME), insn.add64_imm(2, -40)], 40, True, id="an address, as helpers take it"),
        pytest.param(
            [insn.mov64(2, FRAME), insn.add64_imm(2, -40), insn.store64(2, -8, 1)], 48, True, id="below an address"
        ),
        pytest.param(
            [insn.mov64(2, FRAME), insn.add64_imm(2, -40), insn.mov64(3, 2), Insn(insn.SUB64_IMM, 3, 0, 0, 8)],
            48,
            True,
            id="through two registers",
        ),
        pytest.param(
            [insn.mov64(2, FRAME), insn.add64_imm(2, -40), Insn(insn.ADD64_REG, 2, 3), insn.store64(2, 0, 1)],
            40,
            True,
            id="an index goes up",
        ),
        pytest.param(
            [
                insn.mov64(2, FRAME),
                insn.add64_imm(2, -32),
                insn.store64(FRAME, -8, 2),
                insn.load64(3, FRAME, -8),
                insn.store64(3, -16, 1),
            ],
            48,
            True,
            id="an address that went through memory",
        ),
        pytest.param(
            [insn.mov64(2, FRAME), insn.add64_imm(2, -8), insn.store64(2, 0, 1), LOOP],
            512,
            False,
            id="an address that sinks in a loop has no bound",
        ),
        pytest.param(
            [Insn(insn.CLASS_JMP | insn.JEQ, 1, 0, 2), insn.mov64(2, FRAME), insn.add64_imm(2, -100), insn.mov64(3, 2)],
            100,
            True,
            id="on one of two paths",
        ),
    ],
)
def test_depth_of_a_body(body: list[Insn], depth: int, exact: bool) -> None:
    (main,) = frames.functions([*body, EXIT_INSN])
    assert (main.depth, main.exact) == (depth, exact)


def test_subprograms_are_split_at_call_targets_and_callbacks() -> None:
    code = [
        Insn(insn.LD_IMM64, 2, insn.PSEUDO_FUNC, 0, 3),
        Insn(0),
        Insn(insn.CALL, 0, insn.PSEUDO_CALL, 0, 2),
        EXIT_INSN,
        EXIT_INSN,  # the callback, at 4
        insn.store64(FRAME, -16, 1),  # the subprogram, at 5
        EXIT_INSN,
    ]
    main, callback, subprogram = frames.functions(code)
    assert [main.start, callback.start, subprogram.start, subprogram.end] == [0, 4, 5, 7]
    assert (main.calls, main.addresses) == ((5,), (4,))
    deepest = frames.use([main, callback, subprogram])
    assert (deepest.stack, deepest.frames) == (32, 2)


def _deep(depth: int) -> list[Insn]:
    return [insn.store64(FRAME, -depth, 1), insn.mov32_imm(0, 2), EXIT_INSN]


def _chain_of_calls(length: int) -> list[Insn]:
    call = [Insn(insn.CALL, 0, insn.PSEUDO_CALL, 0, 1), EXIT_INSN]
    return [*call * (length - 1), insn.mov32_imm(0, 2), EXIT_INSN]


def test_shallow_members_are_inlined_or_called() -> None:
    members = [made_members.member(_deep(64))] * 2
    assert forms.candidates(members) == ((Form.INLINE,) * 2, (Form.CALL,) * 2)


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        pytest.param(496, ((Form.INLINE,) * 2, (Form.CALL,) * 2), id="both forms fit"),
        pytest.param(504, ((Form.INLINE,) * 2,), id="only inline fits"),
    ],
)
def test_forms_that_cannot_fit_are_not_tried(depth: int, expected: tuple) -> None:
    assert forms.candidates([made_members.member(_deep(depth))] * 2) == expected


def test_a_member_alone_may_use_the_whole_stack() -> None:
    assert forms.candidates([made_members.member(_deep(512))]) == ((Form.INLINE,),)


def test_a_stack_that_fits_in_no_form_is_refused_with_limit_sum_and_heaviest() -> None:
    with pytest.raises(errors.Exhausted) as refused:
        forms.candidates([made_members.member(_deep(512), name="deep"), made_members.member(_deep(8), name="small")])
    assert "528 bytes of at most 512" in refused.value.why
    assert "deep (528), small (32)" in refused.value.why


def test_a_deep_body_does_not_lie_above_a_tail_call() -> None:
    tail = [insn.call_helper(insn.HELPER_TAIL_CALL), insn.mov32_imm(0, 2), EXIT_INSN]
    found = forms.candidates([made_members.member(_deep(300)), made_members.member(tail)])
    assert found == ((Form.CALL, Form.CALL),)


def test_eight_frames_fit_inline_only_and_nine_nowhere() -> None:
    eight = made_members.member(_chain_of_calls(8), name="nested")
    assert all(form is not Form.CALL for found in forms.candidates([eight, eight]) for form in found)


def test_a_timer_or_loop_callback_is_not_counted_as_certain() -> None:
    code = [
        Insn(insn.LD_IMM64, 2, insn.PSEUDO_FUNC, 0, 4),
        Insn(0),
        insn.store64(FRAME, -300, 1),
        insn.mov32_imm(0, 2),
        EXIT_INSN,
        insn.store64(FRAME, -300, 1),
        EXIT_INSN,
    ]
    assert not frames.use(frames.functions(code)).exact
    assert forms.candidates([made_members.member(code)] * 2)[0] == (Form.INLINE, Form.INLINE)
