"""Which of the callee-saved registers r6 to r9 a body still needs at each point, and which it changes.

The inliner of subprograms needs it: a called function may change r6 to r9 freely, because the call keeps the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from skep.bytecode import insn
from skep.bytecode.insn import Insn
from skep.chain import pointers

SAVED: Final = frozenset({6, 7, 8, 9})

_ATOMIC: Final = 0xC0  # BPF_ATOMIC, the mode of STX in linux/bpf.h
_FETCH: Final = 0x01  # BPF_FETCH in imm: the old value goes to src


def changed(code: Iterable[Insn]) -> frozenset[int]:
    """Which of r6 to r9 the code writes."""
    return frozenset(register for one in code for register in _written(one) if register in SAVED)


def live_after(body: Sequence[Insn]) -> list[frozenset[int]]:
    """For every instruction, which of r6 to r9 may be read later before they are written."""
    before: list[frozenset[int]] = [frozenset()] * len(body)
    after: list[frozenset[int]] = [frozenset()] * len(body)
    changing = True
    while changing:
        changing = False
        for at in range(len(body) - 1, -1, -1):
            one = body[at]
            out: frozenset[int] = frozenset()
            for following in pointers.successors(one, at):
                if following < len(body):
                    out |= before[following]
            into = (out - frozenset(_written(one))) | (SAVED & frozenset(_read(one)))
            if out != after[at] or into != before[at]:
                after[at], before[at] = out, into
                changing = True
    return after


def _written(one: Insn) -> tuple[int, ...]:
    kind = one.code & 0x07
    if kind in (insn.CLASS_ALU, insn.CLASS_ALU64, insn.CLASS_LDX) or one.code == insn.LD_IMM64:
        return (one.dst,)
    if kind == insn.CLASS_STX and one.code & 0xE0 == _ATOMIC and one.imm & _FETCH:
        return (one.src,)
    return ()


def _read(one: Insn) -> tuple[int, ...]:
    kind = one.code & 0x07
    if kind == insn.CLASS_LD:
        return () if one.code == insn.LD_IMM64 or one.code == 0 else (6, one.src)  # BPF_LD_ABS reads r6
    if kind == insn.CLASS_LDX:
        return (one.src,)
    if kind == insn.CLASS_ST:
        return (one.dst,)
    if kind == insn.CLASS_STX:
        return (one.dst, one.src)
    if one.code in (insn.CALL, insn.EXIT, insn.JUMP, insn.JUMP_LONG):
        return ()
    source = (one.src,) if one.code & insn.SOURCE_REGISTER else ()
    if kind in (insn.CLASS_ALU, insn.CLASS_ALU64) and one.code & 0xF0 == insn.ALU_MOV:
        return source
    return (one.dst, *source)
