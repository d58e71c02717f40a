"""A member whose own subprograms are made part of its main body, because a call costs more than a small body does.

Goal: the same behaviour, fewer calls. Parts: the callee's code takes the place of the call; its frame lies below the
caller's; the registers that a call would have kept (r6 to r9) are saved around it where the caller still needs them;
its exits become jumps. Limits: a subprogram stays a call when its address is taken (a callback), when its frame is not
known for sure or would not fit, when it uses addresses in a way that cannot be moved, or when the body would grow too
long. The verifier checks the result like any program; if it refuses, the linker's next candidate keeps the calls. What
the verifier would not notice is one frame's numbers overwritten through another, hence ``Function.sure``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from skep.bytecode import btf, insn
from skep.bytecode.insn import FRAME, Insn
from skep.bytecode.relocated import FuncInfo, Member
from skep.chain import emit, frames, liveness
from skep.chain.frames import Function

_LONGEST: Final = 4_096  # instructions of a flattened main body
_LONGEST_REPEATED: Final = 64  # of a subprogram that is called from several places
_DEEPEST: Final = 480  # bytes of frame, so that the chain's own slots still fit


@functools.lru_cache(maxsize=256)
def flatten(member: Member) -> Member | None:
    """``member`` with as many of its subprograms in its main body as can be; None when there is none such."""
    whole = frames.of_member(member)
    main = whole[0]
    if len(whole) < 2 or not main.sure:
        return None
    flattening = _Flattening(code=member.decoded(), functions={one.start: one for one in whole})
    flattening.write(main, base=0, prefix="main")
    if not flattening.copies or len(flattening.out) > _LONGEST:
        return None
    moved = flattening.append_rest()
    infos = [FuncInfo(moved[info.insn_off], info.type_id) for info in member.func_info if info.insn_off in moved]
    blob, kept = btf.for_functions(member.btf, tuple(infos)) if member.btf and infos else (b"", ())
    return replace(
        member,
        insns=insn.encode(flattening.out.finish()),
        btf=blob,
        func_info=tuple(sorted(FuncInfo(*info) for info in kept)),
    )


@dataclass(slots=True, kw_only=True)
class _Flattening:
    code: list[Insn]
    functions: dict[int, Function]
    out: emit.Code = field(default_factory=emit.Code)
    copies: int = 0
    _called: list[int] = field(default_factory=list)

    def can_inline(self, start: int, caller: Function, at: int, above: int) -> bool:
        """Whether the subprogram that ``caller`` calls at ``at`` fits into a frame that has ``above`` bytes already."""
        callee = self.functions.get(start)
        if callee is None or not callee.sure or _aligned(above) + 32 + callee.depth > _DEEPEST:
            return False
        if callee.reaches_back and at in caller.passes_frame:
            return False  # it could reach below what the caller seems to use, which is where its own frame would be
        sites = sum(one.calls.count(start) for one in self.functions.values())
        length = callee.end - callee.start
        if sites > 1 and length > _LONGEST_REPEATED:
            return False
        return all(_movable(one) for _, one in insn.first_halves(self.code[callee.start : callee.end]))

    def write(self, function: Function, *, base: int, prefix: str) -> None:
        """Write one function; ``base`` bytes of frame belong to its callers, 0 for main, whose exits stay."""
        body = self.code[function.start : function.end]
        live = liveness.live_after(body)
        wide = False
        for at, one in enumerate(body):
            self.out.place(f"{prefix} {at}")
            if wide:  # the second half of an ld_imm64
                self.out.add(one)
                wide = False
                continue
            wide = one.code == insn.LD_IMM64
            target = function.start + at + 1 + one.imm
            if one.is_exit and prefix != "main":
                if at != len(body) - 1:
                    self.out.to(f"{prefix} return", emit.jump())
            elif one.is_local_call and self.can_inline(target, function, function.start + at, base + function.depth):
                self._write_call(self.functions[target], base + _aligned(function.depth), live[at])
            elif one.is_local_call or one.is_function_address:
                self._called.append(target)
                self.out.to(f"function {target}", one)
            elif _is_jump(one):
                distance = one.imm if one.code == insn.JUMP_LONG else one.off
                self.out.to(f"{prefix} {at + 1 + distance}", one)
            else:
                self.out.add(*_moved(one, base))
        self.out.place(f"{prefix} return")

    def append_rest(self) -> dict[int, int]:
        """Write the subprograms that are still called; old start -> new start of everything that is left."""
        moved = {0: 0}
        while self._called:
            start = self._called.pop()
            if start in moved:
                continue
            moved[start] = len(self.out)
            self.out.place(f"function {start}")
            function = self.functions[start]
            for at, one in enumerate(self.code[start : function.end]):
                if one.is_local_call or one.is_function_address:
                    self._called.append(start + at + 1 + one.imm)
                    self.out.to(f"function {start + at + 1 + one.imm}", one)
                else:
                    self.out.add(one)
        return moved

    def _write_call(self, callee: Function, below: int, live: frozenset[int]) -> None:
        kept = sorted(live & self._changed(callee, ()))
        for number, register in enumerate(kept):
            self.out.add(insn.store64(FRAME, -below - 8 * (number + 1), register))
        self.copies += 1
        self.write(callee, base=below + 8 * len(kept), prefix=f"copy {self.copies}")
        for number, register in enumerate(kept):
            self.out.add(insn.load64(register, FRAME, -below - 8 * (number + 1)))

    def _changed(self, function: Function, path: Sequence[int]) -> frozenset[int]:
        """Registers that the function changes, with everything it calls: those may become part of it too."""
        result = liveness.changed(self.code[function.start : function.end])
        for start in function.calls:
            if start not in path and start in self.functions:
                result |= self._changed(self.functions[start], (*path, start))
        return result


def _aligned(depth: int) -> int:
    return (depth + 7) // 8 * 8


def _is_jump(one: Insn) -> bool:
    return one.code & 0x07 in (insn.CLASS_JMP, insn.CLASS_JMP32) and one.code not in (insn.CALL, insn.EXIT)


def _movable(one: Insn) -> bool:
    """Whether a use of the frame pointer can be moved to another frame: as a base, or copied."""
    kind = one.code & 0x07
    if one.code == insn.LD_IMM64:
        return True
    if kind == insn.CLASS_STX:
        return one.src != FRAME
    if kind in (insn.CLASS_ST, insn.CLASS_LDX):
        return True
    if one.code == insn.MOV64_REG and one.off == 0:
        return True
    return FRAME not in (one.dst, one.src if one.code & insn.SOURCE_REGISTER else 0)


def _moved(one: Insn, base: int) -> tuple[Insn, ...]:
    """The instruction with its frame ``base`` bytes further down."""
    kind = one.code & 0x07
    if not base:
        return (one,)
    if kind in (insn.CLASS_ST, insn.CLASS_STX) and one.dst == FRAME:
        return (one._replace(off=one.off - base),)
    if kind == insn.CLASS_LDX and one.src == FRAME:
        return (one._replace(off=one.off - base),)
    if one.code == insn.MOV64_REG and one.src == FRAME:
        return (one, insn.add64_imm(one.dst, -base))
    return (one,)
