from __future__ import annotations

import pytest

from skep.bytecode import btf, insn
from skep.bytecode.insn import EXIT_INSN, FRAME, Insn
from skep.bytecode.relocated import FuncInfo
from skep.chain import flatten
from tests.unit.chain import made_members
from tests.unit.chain.interpreter import Machine

CALL_NEXT = [Insn(insn.CALL, 0, insn.PSEUDO_CALL, 0, 1), EXIT_INSN]


@pytest.mark.parametrize("context", [0, 1])
def test_a_flattened_member_does_the_same_without_calls(context: int) -> None:
    member = made_members.member(made_members.with_subprogram(3, 4, number=9))
    flat = flatten.flatten(member)
    assert flat is not None
    machine, original = Machine(flat.decoded()), Machine(member.decoded())
    assert machine.run(context) == original.run(context) == (4 if context else 3)
    assert machine.ran == [9]
    assert not any(one.is_local_call for one in flat.decoded())


def test_only_registers_that_are_needed_later_are_saved() -> None:
    flat = flatten.flatten(made_members.member(made_members.with_subprogram(3, 4)))
    assert flat is not None
    saved = [one.src for one in flat.decoded() if one.code == insn.STX_DW and one.dst == FRAME]
    assert saved == [7]  # r6 and r8 are changed too, but the caller does not read them again


def test_a_member_without_subprograms_stays_as_it_is() -> None:
    assert flatten.flatten(made_members.member(made_members.constant(2))) is None


@pytest.mark.parametrize(
    "subprogram",
    [
        pytest.param([insn.store64(1, 0, FRAME), EXIT_INSN], id="it stores its frame pointer"),
        pytest.param([Insn(insn.ADD64_REG, 1, FRAME), EXIT_INSN], id="it adds its frame pointer"),
        pytest.param([insn.store64(FRAME, -488, 1), EXIT_INSN], id="its frame is too deep"),
        pytest.param(
            [insn.mov64(2, FRAME), Insn(insn.ADD64_REG, 2, 1), insn.store64(2, -8, 1), EXIT_INSN],
            id="it indexes its frame: below that another frame could be overwritten",
        ),
    ],
)
def test_subprograms_that_cannot_be_moved_stay_calls(subprogram: list[Insn]) -> None:
    assert flatten.flatten(made_members.member([*CALL_NEXT, *subprogram])) is None


def test_a_callback_stays_a_function_with_its_type() -> None:
    code = [
        Insn(insn.CALL, 0, insn.PSEUDO_CALL, 0, 3),  # to 4
        Insn(insn.LD_IMM64, 2, insn.PSEUDO_FUNC, 0, 4),  # of 6
        Insn(0),
        EXIT_INSN,
        insn.mov32_imm(0, 2),
        EXIT_INSN,
        insn.mov32_imm(0, 7),
        EXIT_INSN,
    ]
    types = [
        btf.Type(btf.Kind.FUNC_PROTO),
        *[btf.Type(btf.Kind.FUNC, name, 1) for name in ("main", "inlined", "callback")],
    ]
    infos = (FuncInfo(0, 2), FuncInfo(4, 3), FuncInfo(6, 4))
    flat = flatten.flatten(made_members.member(code, btf=btf.build(types), func_info=infos))
    assert flat is not None
    kept = btf.parse(flat.btf)
    names = {info.insn_off: kept.types[info.type_id - 1].name for info in flat.func_info}
    start = next(at + 1 + one.imm for at, one in enumerate(flat.decoded()) if one.is_function_address)
    assert names == {0: "main", start: "callback"}
    assert flat.decoded()[start] == insn.mov32_imm(0, 7)


def test_a_long_subprogram_called_twice_stays_a_call() -> None:
    long = [*[insn.add64_imm(2, 1)] * 100, EXIT_INSN]
    twice = [Insn(insn.CALL, 0, insn.PSEUDO_CALL, 0, 2), Insn(insn.CALL, 0, insn.PSEUDO_CALL, 0, 1), EXIT_INSN, *long]
    once = [Insn(insn.CALL, 0, insn.PSEUDO_CALL, 0, 1), EXIT_INSN, *long]
    assert flatten.flatten(made_members.member(twice)) is None
    assert flatten.flatten(made_members.member(once)) is not None


@pytest.mark.parametrize(
    ("argument", "offset", "inlined"),
    [
        pytest.param(FRAME, 0, True, id="within the caller's frame"),
        pytest.param(FRAME, -8, False, id="below an address in the caller's frame"),
        pytest.param(1, -8, True, id="below something that is not in the caller's frame"),
    ],
)
def test_a_subprogram_that_reaches_below_its_argument(argument: int, offset: int, inlined: bool) -> None:
    """container_of() on a pointer into the caller's frame: the bytes below it may be all the caller has there."""
    code = [
        insn.store64_imm(FRAME, -8, 1),
        insn.mov64(1, argument),
        insn.add64_imm(1, -8),
        Insn(insn.CALL, 0, insn.PSEUDO_CALL, 0, 1),
        EXIT_INSN,
        insn.load64(0, 1, offset),
        EXIT_INSN,
    ]
    assert (flatten.flatten(made_members.member(code)) is not None) is inlined
