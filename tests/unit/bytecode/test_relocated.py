from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep import errors
from skep.bytecode import btf, insn, relocated
from skep.bytecode.insn import EXIT_INSN, Insn
from skep.bytecode.relocated import FuncInfo, Member

FIELDS = {"name": "m", "prog_type": 6, "expected_attach_type": 37, "prog_flags": 0, "licence": "GPL"}


def _keep(code: list[Insn], maps: dict[int, str], **more) -> Member:
    return relocated.keep(insn.encode(code), maps, **{**FIELDS, **more})


def _wide(src: int, imm: int, second: int = 0) -> list[Insn]:
    return [Insn(insn.LD_IMM64, 1, src, 0, imm), Insn(0, 0, 0, 0, second)]


any_insn = st.builds(
    Insn,
    st.integers(0, 255).filter(lambda code: code != insn.LD_IMM64),
    st.integers(0, 15),
    st.integers(0, 15),
    st.integers(-(1 << 15), (1 << 15) - 1),
    st.integers(-(1 << 31), (1 << 31) - 1),
)


@given(st.lists(any_insn, max_size=40))
def test_instructions_survive_the_way_out_and_back(code: list[Insn]) -> None:
    assert insn.decode(insn.encode(code)) == code


@pytest.mark.parametrize("data", [b"1234567", bytes([insn.LD_IMM64]) + bytes(7)])
def test_cut_code_is_refused(data: bytes) -> None:
    with pytest.raises(errors.BadObject):
        insn.decode(data)


def test_the_second_half_of_a_wide_load_is_no_instruction() -> None:
    code = [*_wide(0, 5), EXIT_INSN]
    assert [at for at, _ in insn.first_halves(code)] == [0, 2]


def test_descriptors_become_indexes_and_come_back() -> None:
    code = [
        *_wide(insn.PSEUDO_MAP_FD, 17),
        *_wide(insn.PSEUDO_MAP_VALUE, 9, 24),
        *_wide(insn.PSEUDO_MAP_FD, 17),
        *_wide(0, 17),
        EXIT_INSN,
    ]
    member = _keep(code, {17: "/pins/a", 9: "/pins/b", 3: "/pins/unused"})
    assert member.maps == ("/pins/a", "/pins/b")
    assert [one.imm for _, one in insn.first_halves(member.decoded())] == [0, 1, 0, 17, 0]
    assert member.decoded()[3].imm == 24  # the offset inside the value stays
    assert insn.decode(relocated.patch(member.insns, [17, 9])) == code
    assert insn.decode(relocated.patch(member.insns, [50, 60]))[2].imm == 60


def test_a_map_that_is_not_pinned_is_refused() -> None:
    with pytest.raises(errors.BadObject, match="not pinned"):
        _keep([*_wide(insn.PSEUDO_MAP_FD, 4), EXIT_INSN], {5: "/pins/a"})


@pytest.mark.parametrize(
    ("code", "words"),
    [
        pytest.param(
            [Insn(insn.CALL, 0, insn.PSEUDO_KFUNC_CALL, 1, 99), EXIT_INSN], "function of a kernel module", id="kfunc"
        ),
        pytest.param([*_wide(insn.PSEUDO_BTF_ID, 99, 7), EXIT_INSN], "variable of a kernel module", id="ksym"),
        pytest.param([*_wide(insn.PSEUDO_MAP_IDX, 0), EXIT_INSN], "array of file descriptors", id="map index"),
    ],
)
def test_what_names_a_module_cannot_be_kept(code: list[Insn], words: str) -> None:
    with pytest.raises(errors.Unsupported) as refused:
        _keep(code, {})
    assert words in refused.value.why


def test_functions_and_variables_of_the_kernel_itself_are_kept() -> None:
    code = [Insn(insn.CALL, 0, insn.PSEUDO_KFUNC_CALL, 0, 99), *_wide(insn.PSEUDO_BTF_ID, 99), EXIT_INSN]
    assert _keep(code, {}).decoded() == code


def test_only_the_btf_that_functions_need_is_kept() -> None:
    types = [
        btf.Type(btf.Kind.INT, "unused", 4, ((32,),)),
        btf.Type(btf.Kind.FUNC_PROTO),
        btf.Type(btf.Kind.FUNC, "f", 2),
    ]
    member = _keep([EXIT_INSN], {}, btf_blob=btf.build(types), func_info=(FuncInfo(0, 3),))
    kept = btf.parse(member.btf)
    assert [one.kind for one in kept.types] == [btf.Kind.FUNC_PROTO, btf.Kind.FUNC]
    assert member.func_info == (FuncInfo(0, 2),)


def test_a_member_survives_the_store() -> None:
    member = _keep(
        [*_wide(insn.PSEUDO_MAP_FD, 4), EXIT_INSN],
        {4: "/pins/a"},
        btf_blob=btf.build([btf.Type(btf.Kind.FUNC_PROTO), btf.Type(btf.Kind.FUNC, "f", 1)]),
        func_info=(FuncInfo(0, 2),),
        verified_insns=12,
        prog_flags=32,
    )
    header, code, blob = relocated.to_row(member)
    assert relocated.from_row(json.loads(json.dumps(header)), code, blob) == member


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 99}, "its format is 99"),
        ({"maps": "a"}, "not a list"),
        ({"name": 5}, "not text"),
        ({"prog_type": "6"}, "not a number"),
        ({"func_info": [[1]]}, "damaged field"),
    ],
)
def test_a_damaged_row_is_reported(change: dict, words: str) -> None:
    header, code, blob = relocated.to_row(_keep([EXIT_INSN], {}))
    with pytest.raises(errors.Broken) as refused:
        relocated.from_row({**header, **change}, code, blob)
    assert words in refused.value.why


def test_kept_code_with_too_few_maps_is_broken() -> None:
    member = replace(_keep([*_wide(insn.PSEUDO_MAP_FD, 4), EXIT_INSN], {4: "/pins/a"}), maps=())
    with pytest.raises(errors.Broken, match="map 0 of 0"):
        relocated.patch(member.insns, [])


def test_func_info_records_may_be_longer_than_we_know() -> None:
    records = bytes([0, 0, 0, 0, 5, 0, 0, 0, 9, 9, 9, 9]) + bytes([3, 0, 0, 0, 6, 0, 0, 0, 9, 9, 9, 9])
    assert relocated.parse_func_info(records, 12) == (FuncInfo(0, 5), FuncInfo(3, 6))
    with pytest.raises(errors.BadObject):
        relocated.parse_func_info(records, 7)
