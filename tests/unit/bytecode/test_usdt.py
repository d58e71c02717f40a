"""Arguments of USDT probes, and the elements of the map that a program reads them by."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep import errors
from skep.bytecode import btf, usdt
from skep.bytecode.btf import Kind as K
from skep.bytecode.btf import Type
from skep.bytecode.usdt import Argument, Kind, Machine, Mark

UNREADABLE = Argument(kind=Kind.UNREADABLE)


def const(value: int, size: int = 8, signed: bool = False) -> Argument:
    return Argument(kind=Kind.CONST, value=value, size=size, signed=signed)


def reg(register: int, size: int = 8, signed: bool = False) -> Argument:
    return Argument(kind=Kind.REG, register=register, size=size, signed=signed)


def deref(register: int, value: int, size: int = 8, signed: bool = False) -> Argument:
    return Argument(kind=Kind.REG_DEREF, register=register, value=value, size=size, signed=signed)


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("-4@$-9", const(-9, 4, True)),
        ("8@$0x10", const(16)),
        ("$5", const(5)),
        ("8@%rax", reg(80)),
        ("-4@%eax", reg(80, 4, True)),
        ("2@%ax", reg(80, 2)),
        ("-1@%al", reg(80, 1, True)),
        ("1@%ah", reg(81, 1)),
        ("1@%sil", reg(104, 1)),
        ("4@%r8d", reg(72, 4)),
        ("1@%r15b", reg(0, 1)),
        ("%rdi", reg(112)),
        ("8@%rsp", reg(152)),
        ("-4@-1204(%rbp)", deref(32, -1204, 4, True)),
        ("8@(%rdx)", deref(96, 0)),
        ("8@0x20(%rsp)", deref(152, 32)),
        ("-4@counter(%rip)", deref(128, 64, 4, True)),
        ("4@counter+4(%rip)", deref(128, 68, 4)),
        ("4@unknown(%rip)", UNREADABLE),
        ("4@16(%rip)", UNREADABLE),
        ("8@(%rdx,%rax,8)", UNREADABLE),
        ("8f@%xmm0", UNREADABLE),
        ("16@%rax", UNREADABLE),
        ("8@%st", UNREADABLE),
        ("8@%fs:16", UNREADABLE),
        ("8@$99999999999999999999", UNREADABLE),
    ],
)
def test_x86_arguments(text: str, argument: Argument) -> None:
    symbols = {"counter": 64}
    assert usdt.arguments(text, Machine.X86_64, symbols.get) == (argument,)


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("-4@5", const(5, 4, True)),
        ("8@#-7", const(-7)),
        ("8@x0", reg(0)),
        ("-4@w3", reg(24, 4, True)),
        ("8@x30", reg(240)),
        ("8@sp", reg(248)),
        ("8@xzr", const(0)),
        ("-4@[sp, 60]", deref(248, 60, 4, True)),
        ("8@[x19]", deref(152, 0)),
        ("8@[x29, #-16]", deref(232, -16)),
        ("8@[x0, x1]", UNREADABLE),
        ("8@d0", UNREADABLE),
    ],
)
def test_aarch64_arguments(text: str, argument: Argument) -> None:
    assert usdt.arguments(text, Machine.AARCH64) == (argument,)


def test_arguments_are_separated_by_spaces_that_are_not_theirs() -> None:
    assert usdt.arguments("8@[sp, 8] 4@w1  -4@[ x2 ]", Machine.AARCH64) == (
        deref(248, 8),
        reg(8, 4),
        deref(16, 0, 4, True),
    )
    assert usdt.arguments("8@-8(%rsp) 4@$1", Machine.X86_64) == (deref(152, -8), const(1, 4))
    assert usdt.arguments("", Machine.X86_64) == ()
    assert usdt.arguments("%eax", Machine.I386) == (reg(80, 4),)


def test_thirteen_arguments_are_too_many() -> None:
    assert len(usdt.arguments(" ".join(["8@%rax"] * 12), Machine.X86_64)) == 12
    with pytest.raises(errors.Unsupported, match="13"):
        usdt.arguments(" ".join(["8@%rax"] * 13), Machine.X86_64)


@given(st.text(max_size=60), st.sampled_from(Machine))
def test_any_text_is_read_or_unreadable(text: str, machine: Machine) -> None:
    try:
        found = usdt.arguments(text, machine)
    except errors.Unsupported:
        return
    assert all(one.size in (1, 2, 4, 8) for one in found)


OLD = (
    Type(K.INT, "long long unsigned int", 8, ((64,),)),  # 1
    Type(K.ENUM, "__bpf_usdt_arg_type", 4, (("BPF_USDT_ARG_CONST", 0),), 1),  # 2
    Type(K.INT, "short", 2, ((16 | 1 << 24,),)),  # 3
    Type(K.INT, "_Bool", 1, ((8,),)),  # 4
    Type(K.STRUCT, "__bpf_usdt_arg_spec", 16, (
        ("val_off", 1, 0), ("arg_type", 2, 64), ("reg_off", 3, 96), ("arg_signed", 4, 112), ("arg_bitshift", 4, 120),
    ), 5),  # 5
    Type(K.INT, "int", 4, ((32,),)),  # 6
    Type(K.ARRAY, "", 0, ((5, 6, 12),)),  # 7
    Type(K.STRUCT, "__bpf_usdt_spec", 208, (("args", 7, 0), ("usdt_cookie", 1, 1536), ("arg_cnt", 3, 1600)), 3),  # 8
)  # fmt: skip
NEW = list(OLD)
NEW[4] = Type(K.STRUCT, "__bpf_usdt_arg_spec", 16, (
    ("val_off", 1, 0), ("arg_type", 2, 8 << 24 | 64), ("idx_reg_off", 3, 12 << 24 | 72),
    ("scale_bitshift", 3, 4 << 24 | 84), ("reg_off", 3, 96), ("arg_signed", 4, 112), ("arg_bitshift", 4, 120),
), 7, True)  # fmt: skip


@pytest.mark.parametrize("types", [OLD, tuple(NEW)], ids=["libbpf 1.1 to 1.6", "bit fields, as later ones have"])
def test_an_element_is_laid_out_as_its_btf_says(types: tuple[Type, ...]) -> None:
    shape = usdt.layout(btf.Btf(types), 8, 208)
    mark = Mark(link=7, program=0xABCD)
    data = shape.encode((deref(152, -8, 4, True), const(3, 1)), 99, mark)
    assert struct.unpack_from("<qIhBB", data, 0) == (-8, 2, 152, 1, 32)
    assert struct.unpack_from("<qIhBB", data, 16) == (3, 0, 0, 0, 56)
    assert data[32:192] == bytes(160)
    assert struct.unpack_from("<Qh", data, 192) == (99, 2)
    assert (len(data), shape.mark(data)) == (208, mark)


def test_an_element_of_nobody_and_of_somebody_else() -> None:
    shape = usdt.layout(btf.Btf(OLD), 8, 208)
    assert shape.mark(bytes(208)) is None
    assert shape.mark(bytes(200) + b"\1" + bytes(7)) == Mark(link=0, program=0)


@pytest.mark.parametrize(
    ("types", "type_id", "size"),
    [(OLD, 5, 16), (OLD, 8, 202), (OLD, 99, 208), ((*OLD[:4], Type(K.INT, "x", 8, ((64,),)), *OLD[5:]), 8, 208)],
    ids=["another structure", "no room behind it", "no type", "other arguments"],
)
def test_a_layout_that_is_not_known_is_refused(types: tuple[Type, ...], type_id: int, size: int) -> None:
    with pytest.raises(errors.Unsupported):
        usdt.layout(btf.Btf(types), type_id, size)
