"""The function table of loaded code: from the kernel's when it is whole, else from the object's own."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.bytecode import elf, insn
from skep.bytecode.insn import Insn
from skep.bytecode.relocated import FuncInfo
from skep.kernel import functions

MAIN = insn.encode([Insn(insn.CALL, 0, insn.PSEUDO_CALL, 0, 1), insn.EXIT_INSN])
SHORT = insn.encode([insn.mov32_imm(0, 1), insn.EXIT_INSN])
LONG = insn.encode([insn.mov32_imm(0, 1), insn.add32_imm(0, 1), insn.EXIT_INSN])


def whole(*text: tuple[bytes, int], ext: bytes | None = None, btf: bytes | None = None) -> elf.Object:
    """An object with ``MAIN`` (type 7) in section "xdp" and functions with their types in ".text"."""
    names = b"\0xdp\0.text\0"
    info = struct.pack("=I", 8) + struct.pack("=II", 1, 1) + struct.pack("=II", 0, 7)
    info += struct.pack("=II", 5, len(text))
    body = b""
    symbols = [elf.Symbol(name="main", type=2, binding=1, section=1, value=0, size=len(MAIN))]
    for code, type_id in text:
        info += struct.pack("=II", len(body), type_id)
        symbols.append(elf.Symbol(name="f", type=2, binding=0, section=2, value=len(body), size=len(code)))
        body += code
    if ext is None:
        ext = struct.pack("=HBBIII", 0xEB9F, 1, 0, 24, 0, len(info)) + bytes(8) + info
    if btf is None:
        btf = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, 0, 0, len(names)) + names
    contents = (("", b""), ("xdp", MAIN), (".text", body), (".BTF", btf), (".BTF.ext", ext))
    sections = tuple(
        elf.Section(index=index, name=name, type=1, flags=0, size=len(data), link=0, info=0, data=data)
        for index, (name, data) in enumerate(contents)
    )
    return elf.Object(sections=sections, symbols=tuple(symbols))


CODE = MAIN + LONG


@pytest.mark.parametrize(
    ("seen", "text", "types"),
    [
        ((7, 9), (), (7, 9)),
        ((7,), ((SHORT, 8), (LONG, 9)), (7, 9)),
        ((), ((LONG, 9),), (7, 9)),
        ((7,), ((SHORT, 8),), ()),
        ((7,), ((LONG, 8), (LONG, 9)), ()),
        ((7,), ((LONG, 9), (LONG, 9)), (7, 9)),
    ],
    ids=["the kernel's is whole", "one dropped", "none told", "not in the object", "two alike", "two alike of a type"],
)
def test_functions_are_told_for_sure_or_not_at_all(
    seen: tuple[int, ...], text: tuple[tuple[bytes, int], ...], types: tuple[int, ...]
) -> None:
    told = [FuncInfo(position * 50, type_id) for position, type_id in enumerate(seen)]
    expected = tuple(FuncInfo(start, type_id) for start, type_id in zip((0, 2), types, strict=False))
    assert functions.table(CODE, told, whole(*text)) == expected


@given(st.binary(max_size=80), st.binary(max_size=80), st.booleans())
def test_damaged_tables_tell_nothing_wrong(ext: bytes, btf: bytes, headed: bool) -> None:
    if headed:
        ext = struct.pack("=HBBIII", 0xEB9F, 1, 0, 24, 0, len(ext)) + bytes(8) + ext
    found = functions.table(CODE, (), whole((LONG, 9), ext=ext, btf=btf))
    assert found == () or [info.insn_off for info in found] == [0, 2]
