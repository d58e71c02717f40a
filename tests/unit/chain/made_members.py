"""Members made of instructions, without a compiler: what the linker's unit tests link."""

from __future__ import annotations

from skep.bytecode import insn
from skep.bytecode.insn import EXIT_INSN, Insn
from skep.bytecode.relocated import FuncInfo, Member

MARK = 1000  # the interpreter's helper that notes who ran


def member(
    code: list[Insn],
    *,
    name: str = "made",
    maps: tuple[str, ...] = (),
    licence: str = "GPL",
    flags: int = 0,
    prog_type: int = 6,
    btf: bytes = b"",
    func_info: tuple[FuncInfo, ...] = (),
    verified: int = 0,
) -> Member:
    return Member(
        name=name,
        insns=insn.encode(code),
        maps=maps,
        prog_type=prog_type,
        expected_attach_type=37,
        prog_flags=flags,
        licence=licence,
        btf=btf,
        func_info=func_info,
        verified_insns=verified,
    )


def mark(number: int) -> list[Insn]:
    return [insn.mov64(6, 1), Insn(insn.MOV64_IMM, 1, 0, 0, number), insn.call_helper(MARK)]


def constant(verdict: int, number: int = 0) -> list[Insn]:
    """Mark, then return ``verdict``."""
    return [*mark(number), insn.mov32_imm(0, _signed(verdict)), EXIT_INSN]


def two_exits(verdict: int, other: int, number: int = 0) -> list[Insn]:
    """Return ``verdict`` when the context's first word is 0, else ``other``; the first exit is in the middle."""
    return [
        *mark(number),
        insn.load64(2, 6, 0),
        insn.mov32_imm(0, _signed(verdict)),
        Insn(insn.CLASS_JMP | insn.JNE, 2, 0, 1, 0),
        EXIT_INSN,
        insn.mov32_imm(0, _signed(other)),
        EXIT_INSN,
    ]


def with_tail_call(verdict: int, other: int, number: int = 0) -> list[Insn]:
    """Like ``two_exits``, with a tail call that is not taken in front of it."""
    first = [insn.mov64(7, 1), insn.call_helper(insn.HELPER_TAIL_CALL), insn.mov64(1, 7)]
    return [*first, *two_exits(verdict, other, number)]


def with_subprogram(verdict: int, other: int, number: int = 0) -> list[Insn]:
    """The same through a subprogram that changes r6 to r8 and its own frame, while the caller needs r7 and its own."""
    return [
        insn.store64_imm(10, -8, 77),
        insn.load64(7, 1, 0),
        insn.mov64(8, 1),
        Insn(insn.MOV64_IMM, 1, 0, 0, number),
        insn.call_helper(MARK),
        insn.mov64(1, 8),
        Insn(insn.CALL, 0, insn.PSEUDO_CALL, 0, 6),  # to the subprogram
        Insn(insn.CLASS_JMP | insn.JNE, 7, 0, 3, 0),
        insn.load64(1, 10, -8),  # still 77
        Insn(insn.CLASS_JMP | insn.JNE, 1, 0, 1, 77),
        EXIT_INSN,
        insn.mov32_imm(0, _signed(other)),
        EXIT_INSN,
        # the subprogram: returns verdict, ruins r6 to r8 and its own slot
        insn.mov64(2, 10),
        insn.add64_imm(2, -8),
        Insn(insn.ST_DW, 2, 0, 0, 99),
        insn.load64(6, 10, -8),
        Insn(insn.MOV64_IMM, 7, 0, 0, 5),
        Insn(insn.MOV64_IMM, 8, 0, 0, 5),
        insn.mov32_imm(0, _signed(verdict)),
        Insn(insn.CLASS_JMP | insn.JNE, 6, 0, 1, 99),
        EXIT_INSN,
        insn.mov32_imm(0, 1),
        EXIT_INSN,
    ]


def _signed(value: int) -> int:
    return value if value < 1 << 31 else value - (1 << 32)
