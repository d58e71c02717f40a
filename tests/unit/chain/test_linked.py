from __future__ import annotations

from dataclasses import replace

import hypothesis
import pytest
from hypothesis import strategies as st

from skep import errors
from skep.bytecode import btf, insn, relocated
from skep.bytecode.insn import EXIT_INSN, Insn
from skep.bytecode.relocated import FuncInfo
from skep.chain import codes, counts, limits, linked, verdict
from skep.chain.codes import Hook, Mask
from skep.chain.linked import Form, Part
from tests.unit.chain import made_members
from tests.unit.chain.interpreter import Machine

DEFAULT = verdict.default(codes.XDP)
SHAPES = (made_members.two_exits, made_members.with_subprogram, made_members.with_tail_call)


def _codes(hook: Hook) -> st.SearchStrategy[int]:
    known = sorted(code & 0xFFFFFFFF for code in hook.codes.values())
    return st.one_of(st.sampled_from(known), st.sampled_from([*known, 5, 9, 30, 31, 32, 34, 63, 1 << 31, 0xFFFFFFFF]))


def _member(hook: Hook) -> st.SearchStrategy[tuple]:
    masks = st.sets(st.sampled_from(sorted(hook.codes))).map(
        lambda names: verdict.parse_names(hook, names) if names else Mask(0)
    )
    return st.tuples(st.sampled_from(SHAPES), _codes(hook), _codes(hook), masks, st.sampled_from(list(Form)))


@pytest.mark.parametrize("hook", [codes.XDP, codes.TC], ids=lambda hook: hook.name)
@hypothesis.given(data=st.data())
def test_a_linked_program_does_what_the_chain_means(hook: Hook, data: st.DataObject) -> None:
    drawn = data.draw(st.lists(_member(hook), min_size=1, max_size=6))
    parts = [
        Part(
            member=made_members.member(shape(first, second, number), prog_type=hook.prog_type),
            proceed=mask,
            form=form,
        )
        for number, (shape, first, second, mask, form) in enumerate(drawn)
    ]
    whole = linked.link(hook, parts, counter_map="counters", name="chain")
    machine = Machine(insn.decode(whole.insns))
    expected_runs = [0] * len(parts)
    for context in (0, 1, 0):
        verdicts = [_as_code(second if context else first) for _, first, second, _, _ in drawn]
        expected, ran = verdict.run(hook, list(zip([part.proceed for part in parts], verdicts, strict=True)))
        assert machine.run(context) == expected & 0xFFFFFFFF
        assert machine.ran == list(range(ran))
        for number in range(ran):
            expected_runs[number] += 1
    slots = [machine.slots.get(slot, 0) for slot in range(whole.slots)]
    seen = counts.totals(hook, len(parts), slots)
    assert [one.runs for one in seen] == expected_runs
    assert sum(slots) == 3
    assert all(one.runs == one.proceeded + sum(one.stopped.values()) for one in seen)


def _as_code(value: int) -> int:
    """A verdict as the kernel reads it: a signed 32-bit number."""
    return value - (1 << 32) if value >= 1 << 31 else value


def _part(code: list[Insn], *, proceed: Mask = DEFAULT, form: Form = Form.INLINE, **fields) -> Part:
    return Part(member=made_members.member(code, **fields), proceed=proceed, form=form)


def _link(*parts: Part) -> linked.Linked:
    return linked.link(codes.XDP, parts, counter_map="counters", name="chain")


def _map_user(index: int) -> list[Insn]:
    return [*insn.map_address(1, index), *made_members.constant(2)]


def test_maps_are_listed_once_and_references_follow_them() -> None:
    whole = _link(
        _part([*_map_user(0), *[]], maps=("a",)),
        _part(_map_user(1), maps=("a", "b")),
        _part(_map_user(0), maps=("b",)),
    )
    assert whole.maps == ("counters", "a", "b")
    references = [one.imm for _, one in insn.first_halves(insn.decode(whole.insns)) if one.is_map_reference]
    assert references == [1, 2, 2, 0, 0]
    patched = insn.decode(relocated.patch(whole.insns, [40, 41, 42]))
    assert [one.imm for _, one in insn.first_halves(patched) if one.is_map_reference] == [41, 42, 42, 40, 40]


def test_more_maps_than_one_program_may_use_are_refused_with_the_heaviest() -> None:
    parts = [
        _part(made_members.constant(2), name=f"m{number}", maps=tuple(f"{number}/{one}" for one in range(number)))
        for number in range(12)
    ]
    with pytest.raises(errors.Exhausted) as refused:
        _link(*parts)
    assert "67 of at most 64" in refused.value.why
    assert "m11 (11), m10 (10), m9 (9)" in refused.value.why


def test_an_empty_chain_is_refused() -> None:
    with pytest.raises(errors.InvalidRequest, match="empty"):
        _link()


def test_a_member_of_another_type_is_refused() -> None:
    with pytest.raises(errors.InvalidRequest, match="XDP"):
        _link(_part(made_members.constant(2), prog_type=3))


def test_members_behind_a_wall_are_left_out_but_keep_their_slots() -> None:
    whole = _link(_part(made_members.constant(1), proceed=Mask(0)), _part(made_members.constant(2)))
    assert whole.forms == (Form.INLINE,)
    assert whole.slots == counts.max_entries(codes.XDP, 2)


def test_types_are_left_out_when_no_member_needs_them() -> None:
    assert _link(_part(made_members.with_subprogram(2, 2))).func_info == ()


def test_a_tail_call_is_called_and_has_a_typed_function() -> None:
    tail = [
        *insn.map_address(2, 0),
        Insn(insn.MOV64_IMM, 3),
        insn.call_helper(insn.HELPER_TAIL_CALL),
        insn.mov32_imm(0, 2),
        EXIT_INSN,
    ]
    member = made_members.member(tail, maps=("array",), name="jumper-1")
    other = made_members.member(made_members.constant(2))
    assert linked.candidates([other, member]) == ((Form.INLINE, Form.CALL), (Form.CALL, Form.CALL))
    whole = _link(Part(member=other, proceed=DEFAULT), Part(member=member, proceed=DEFAULT, form=Form.CALL))
    types = btf.parse(whole.btf)
    names = [types.types[info.type_id - 1].name for info in whole.func_info]
    assert names == ["chain", "jumper_1"]
    code = insn.decode(whole.insns)
    target = next(at + 1 + one.imm for at, one in enumerate(code) if one.is_local_call)
    assert [info.insn_off for info in whole.func_info] == [0, target]
    assert code[target:] == [one._replace(imm=1) if one.is_map_reference else one for one in tail]


def test_the_verifier_is_not_believed_about_the_verdict_of_a_tail_call() -> None:
    """Linux 6.12 takes what follows a failed tail call for the verdict; tests/kernel shows the effect in the guest."""
    tail = [*insn.map_address(2, 0), insn.call_helper(insn.HELPER_TAIL_CALL), insn.mov32_imm(0, 1), EXIT_INSN]
    code = insn.decode(_link(_part(tail, maps=("array",), form=Form.CALL)).insns)
    call = next(at for at, one in enumerate(code) if one.is_local_call)
    assert code[0] == insn.store64(insn.FRAME, -8, 1)
    assert code[call + 1 : call + 5] == [
        insn.load64(1, insn.FRAME, -8), insn.load32(1, 1, 16), insn.xor32(0, 1), insn.xor32(0, 1),
    ]  # fmt: skip
    plain = insn.decode(_link(_part(made_members.constant(2), form=Form.CALL)).insns)
    assert not [one for one in plain if one.code == insn.XOR32_REG]


def test_own_functions_keep_their_types_in_the_merged_btf() -> None:
    own = btf.build(
        [
            btf.Type(btf.Kind.INT, "int", 4, ((1 << 24 | 32,),)),
            btf.Type(btf.Kind.FUNC_PROTO, "", 1),
            btf.Type(btf.Kind.FUNC, "main_of_it", 2, (), 1),
            btf.Type(btf.Kind.FUNC, "its_global", 2, (), 1),
        ]
    )
    code = made_members.with_subprogram(2, 2)
    infos = (FuncInfo(0, 3), FuncInfo(13, 4))
    part = _part(code, btf=own, func_info=infos, name="typed")
    whole = _link(part, part)
    types = btf.parse(whole.btf)
    functions = [types.types[info.type_id - 1] for info in whole.func_info]
    assert [one.name for one in functions] == ["chain", "its_global", "its_global"]
    assert functions[1].vlen == btf.FUNC_GLOBAL
    proto = types.type(functions[2].size)
    assert proto is not None
    assert proto.kind is btf.Kind.FUNC_PROTO


def test_frags_flag_only_when_all_have_it_and_the_others_are_named() -> None:
    frags = made_members.member(made_members.constant(2), flags=linked.XDP_HAS_FRAGS)
    bare = made_members.member(made_members.constant(2), name="bare")
    assert _link(Part(member=frags, proceed=DEFAULT)).prog_flags == linked.XDP_HAS_FRAGS
    assert _link(Part(member=frags, proceed=DEFAULT), Part(member=bare, proceed=DEFAULT)).prog_flags == 0
    assert linked.without_frags([frags, bare]) == (bare,)


def test_xdp_chains_carry_the_attach_type_that_prog_arrays_remember() -> None:
    whole = _link(_part(made_members.constant(2)))
    assert (whole.prog_type, whole.expected_attach_type) == (6, 37)


def test_a_licence_that_is_not_compatible_conflicts_with_gpl_only_helpers() -> None:
    fib = made_members.member([insn.call_helper(69), insn.mov32_imm(0, 2), EXIT_INSN], name="routes")
    closed = made_members.member(made_members.constant(2)[3:], name="closed", licence="Proprietary")
    plain = made_members.member(made_members.constant(2)[3:], name="plain")
    assert _link(Part(member=fib, proceed=DEFAULT)).licence == "GPL"
    assert _link(Part(member=closed, proceed=DEFAULT), Part(member=plain, proceed=DEFAULT)).licence == "Proprietary"
    with pytest.raises(errors.Conflict) as refused:
        _link(Part(member=closed, proceed=DEFAULT), Part(member=fib, proceed=DEFAULT))
    assert "'routes'" in refused.value.why
    assert "'closed'" in refused.value.why


def test_too_complex_names_limit_sum_and_heaviest() -> None:
    one = made_members.member(made_members.constant(2), verified=81_905, name="filter")
    told = limits.too_complex([one] * 13).why
    assert "1000000" in told
    assert str(13 * 81_905) in told
    assert "filter (81905)" in told


@pytest.mark.slow
def test_jumps_stay_short_in_a_chain_that_is_longer_than_they_reach() -> None:
    body = [*made_members.mark(3), *[insn.add64_imm(2, 1)] * 20_000, insn.mov32_imm(0, 1), EXIT_INSN]
    long = made_members.member([*body])
    parts = [Part(member=long, proceed=verdict.parse_names(codes.XDP, ["drop"]))] * 4
    whole = linked.link(codes.XDP, parts, counter_map="counters", name="chain")
    code = insn.decode(whole.insns)
    assert len(code) > 80_000
    # Every copy of the shared end is there to be jumped to: the first stop must not need a jump of 80,000.
    assert sum(one.is_exit for one in code) > 2


@pytest.mark.slow
def test_a_body_too_long_for_short_jumps_is_called() -> None:
    long = made_members.member([*[insn.add64_imm(2, 1)] * 31_000, insn.mov32_imm(0, 2), EXIT_INSN])
    assert linked.candidates([long, long]) == ((Form.CALL, Form.CALL),)


def test_forms_are_offered_best_first() -> None:
    member = made_members.member(made_members.with_subprogram(2, 2))
    found = [
        _link(*(Part(member=member, proceed=DEFAULT, form=form) for form in forms))
        for forms in linked.candidates([member, member])
    ]
    assert [one.forms[0] for one in found] == [Form.INLINE, Form.INLINE, Form.CALL]
    assert [sum(code.is_local_call for code in insn.decode(one.insns)) for one in found] == [0, 2, 4]


def test_linking_is_deterministic() -> None:
    parts = [_part(made_members.with_subprogram(2, 1), form=Form.FLAT), _part(made_members.two_exits(2, 1))]
    assert _link(*parts) == _link(*[replace(part) for part in parts])
