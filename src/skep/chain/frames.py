"""How much stack a member takes: the deepest byte each subprogram can touch, and the sums along its calls.

The linker must know it before the verifier does: it keeps the context just below the deepest slot that an inlined body
uses. The kernel does not tell the depth of a loaded program, so it is computed from the code.

Goal: never too small for code that the verifier accepted. Parts: a data-flow pass that follows every register derived
from the frame pointer and keeps the lowest offset it can have. Limits: what cannot be bounded (a pointer moved down in
a loop) counts as the whole 512 bytes, with ``exact`` False; an index is taken to be positive. If the analysis were
wrong nevertheless, the body would overwrite the saved context and the verifier would refuse the chain.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from skep.bytecode import insn
from skep.bytecode.insn import Insn
from skep.bytecode.relocated import Member

STACK: Final = 512  # MAX_BPF_STACK, linux/filter.h: all frames of a call together
FRAMES: Final = 8  # MAX_CALL_FRAMES, linux/bpf_verifier.h
BEFORE_TAIL_CALL: Final = 256  # bytes of stack that callers of a tail-calling subprogram may use together
_GRAIN: Final = 16  # the verifier rounds a frame up to this (kernel/bpf/verifier.c, round_up_stack_depth)

_Frame = tuple[int | None, ...]  # per register r0..r10: lowest offset from the frame pointer, or None: not derived
_ENTRY: Final[_Frame] = (None,) * 10 + (0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One subprogram: instructions [start, end), bytes of own stack, and the subprograms it calls, by start.

    ``addresses``: subprograms whose address it takes (callbacks). ``exact``: False when ``depth`` is a guess (512).
    """

    start: int
    end: int
    depth: int
    exact: bool
    calls: tuple[int, ...]
    addresses: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Stack bytes and frames of the deepest call; ``exact`` is False when it may really be less."""

    stack: int
    frames: int
    exact: bool

    @property
    def fits(self) -> bool:
        """False only when the verifier is sure to refuse."""
        return not self.exact or (self.stack <= STACK and self.frames <= FRAMES)


def functions(code: Sequence[Insn], starts: Sequence[int] = ()) -> tuple[Function, ...]:
    """Split a program into its subprograms, main first. ``starts``: more starts known from func_info."""
    listed = list(code)
    targets = {0, *starts}
    for index, one in insn.first_halves(listed):
        if one.is_local_call or one.is_function_address:
            targets.add(index + 1 + one.imm)
    ordered = sorted(start for start in targets if 0 <= start < len(listed))
    return tuple(_function(listed, start, end) for start, end in zip(ordered, [*ordered[1:], len(listed)], strict=True))


@functools.lru_cache(maxsize=256)
def of_member(member: Member) -> tuple[Function, ...]:
    """The subprograms of ``member``. Remembered: a chain is linked anew, with the same members, at every change."""
    return functions(member.decoded(), [info.insn_off for info in member.func_info])


def use(whole: Sequence[Function], start: int = 0) -> Use:
    """What calling the subprogram at ``start`` takes, its own frame included."""
    by_start = {one.start: one for one in whole}
    return _use(by_start, start, ())


def under(caller: int, callee: Use) -> Use:
    """What a call of ``callee`` from a frame of ``caller`` bytes takes in all."""
    return Use(stack=rounded(caller) + callee.stack, frames=callee.frames + 1, exact=callee.exact)


def rounded(depth: int) -> int:
    """A frame of ``depth`` bytes as the verifier counts it."""
    return (max(depth, 1) + _GRAIN - 1) // _GRAIN * _GRAIN


def successors(one: Insn, at: int) -> tuple[int, ...]:
    """Where control can go after the instruction at index ``at`` of a body."""
    kind = one.code & 0x07
    if one.code == insn.LD_IMM64:
        return (at + 2,)
    if kind not in (insn.CLASS_JMP, insn.CLASS_JMP32) or one.code == insn.CALL:
        return (at + 1,)
    if one.code == insn.EXIT:
        return ()
    if one.code == insn.JUMP:
        return (at + 1 + one.off,)
    if one.code == insn.JUMP_LONG:
        return (at + 1 + one.imm,)
    return (at + 1, at + 1 + one.off)


def _use(by_start: dict[int, Function], start: int, path: tuple[int, ...]) -> Use:
    own = by_start.get(start)
    if own is None or start in path or len(path) > FRAMES + 1:
        return Use(stack=0, frames=1, exact=False)  # recursion: the verifier has refused it before
    deepest = Use(stack=rounded(own.depth), frames=1, exact=own.exact)
    for callee in own.calls:
        below = under(own.depth, _use(by_start, callee, (*path, start)))
        deepest = _deeper(deepest, Use(stack=below.stack, frames=below.frames, exact=below.exact and own.exact))
    for callee in own.addresses:  # a timer's callback has a stack of its own, so this is an upper bound
        below = under(own.depth, _use(by_start, callee, (*path, start)))
        deepest = _deeper(deepest, Use(stack=below.stack, frames=below.frames, exact=False))
    return deepest


def _deeper(left: Use, right: Use) -> Use:
    if right.stack > left.stack or (right.stack == left.stack and not right.exact):
        left, right = right, left
    return Use(stack=left.stack, frames=max(left.frames, right.frames), exact=left.exact)


def _function(code: list[Insn], start: int, end: int) -> Function:
    body = code[start:end]
    calls: list[int] = []
    addresses: list[int] = []
    for index, one in insn.first_halves(body):
        if one.is_local_call:
            calls.append(start + index + 1 + one.imm)
        elif one.is_function_address:
            addresses.append(start + index + 1 + one.imm)
    depth, exact = _depth(body)
    return Function(start=start, end=end, depth=depth, exact=exact, calls=tuple(calls), addresses=tuple(addresses))


def _depth(body: list[Insn]) -> tuple[int, bool]:
    lowest = _lowest(body, from_memory=None)
    if lowest is not None and lowest[1] is not None:  # a stack address was stored: loads may bring it back
        lowest = _lowest(body, from_memory=lowest[1])
    if lowest is None:
        return STACK, False
    return -lowest[0], True


def _lowest(body: list[Insn], from_memory: int | None) -> tuple[int, int | None] | None:
    """(lowest offset touched, lowest address ever stored or None), or None when there is no bound.

    ``from_memory``: what every 64-bit load may yield: the lowest stack address that the body stores.
    """
    if not any(insn.FRAME in (one.dst, one.src) for one in body):
        return 0, None
    states: dict[int, _Frame] = {0: _ENTRY}
    waiting = [0]
    lowest = 0
    stored: int | None = None
    while waiting:
        at = waiting.pop()
        if not 0 <= at < len(body):
            continue
        state = states[at]
        one = body[at]
        after = _step(one, state, from_memory)
        base = _base(one, state)
        if base is not None:
            lowest = min(lowest, base + one.off)
        if one.code & 0x07 == insn.CLASS_STX and one.code & 0xE0 == 0x60 and state[one.src] is not None:
            value = state[one.src]
            assert value is not None
            stored = value if stored is None else min(stored, value)
        for register in after[:10]:
            if register is not None:
                lowest = min(lowest, register)
        if lowest < -STACK:
            return None
        for following in successors(one, at):
            known = states.get(following)
            joined = after if known is None else _join(known, after)
            if joined != known:
                states[following] = joined
                waiting.append(following)
    return lowest, stored


def _step(one: Insn, state: _Frame, from_memory: int | None) -> _Frame:
    kind = one.code & 0x07
    registers = list(state)
    if one.code == insn.MOV64_REG and one.off == 0:
        registers[one.dst] = state[one.src]
    elif kind in (insn.CLASS_ALU, insn.CLASS_ALU64):
        registers[one.dst] = _added(one, state)
    elif kind == insn.CLASS_LDX:
        registers[one.dst] = from_memory if one.code == insn.LDX_DW else None
    elif kind == insn.CLASS_LD:
        registers[one.dst if one.code == insn.LD_IMM64 else 0] = None
    elif one.code == insn.CALL:
        registers[:6] = [None] * 6
    return tuple(registers)


def _added(one: Insn, state: _Frame) -> int | None:
    own = state[one.dst]
    if one.code == insn.ADD64_IMM:
        return None if own is None else own + one.imm
    if one.code == insn.SUB64_IMM:
        return None if own is None else own - one.imm
    if one.code == insn.ADD64_REG:
        other = state[one.src]
        # The verifier allows a bounded index; an index below zero would be an access below the array it came from.
        return own if other is None else other if own is None else None
    return None


def _base(one: Insn, state: _Frame) -> int | None:
    kind = one.code & 0x07
    if kind in (insn.CLASS_ST, insn.CLASS_STX):
        return state[one.dst]
    if kind == insn.CLASS_LDX:
        return state[one.src]
    return None


def _join(left: _Frame, right: _Frame) -> _Frame:
    return tuple(
        right_one if left_one is None else left_one if right_one is None else min(left_one, right_one)
        for left_one, right_one in zip(left, right, strict=True)
    )
