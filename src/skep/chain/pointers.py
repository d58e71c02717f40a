"""Follows addresses through a body: how far down memory reached through them can lie.

A data-flow pass over one function: for every register the lowest offset it can have from where it came from (the
frame pointer, or an argument), joined over all paths. What it cannot bound it says: ``exact`` False for an address that
sinks in a loop, ``indexed`` for one that a register was added to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from skep.bytecode import insn
from skep.bytecode.insn import Insn

STACK: Final = 512  # MAX_BPF_STACK, linux/filter.h: all frames of a call together

_State = tuple[int | None, ...]  # per register r0..r10: lowest offset from the origin, or None: not derived from it
_FRAME_POINTER: Final[_State] = (None,) * 10 + (0,)
_ARGUMENTS: Final[_State] = (None, *(0,) * 5, *(None,) * 5)
_ROUNDS: Final = 16  # addresses that go through memory and sink further, again and again


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """``lowest``: offset in bytes, 0 or below, that can be touched or handed out. ``exact``: it is a bound.

    ``indexed``: a register was added to such an address, taken to be 0 or more. ``stored``: the lowest such address
    that was put into memory, or None. ``passed``: local calls, by index, that get such an address in r1 to r5.
    """

    lowest: int = 0
    exact: bool = True
    indexed: bool = False
    stored: int | None = None
    passed: frozenset[int] = frozenset()


def from_frame(body: Sequence[Insn]) -> Flow:
    """Addresses within the function's own frame."""
    if not any(insn.FRAME in (one.dst, one.src) for one in body):
        return Flow()
    return _through_memory(body, _FRAME_POINTER)


def from_arguments(body: Sequence[Insn]) -> Flow:
    """Addresses that the caller passed, taking every argument for one."""
    return _through_memory(body, _ARGUMENTS)


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


def _through_memory(body: Sequence[Insn], entry: _State) -> Flow:
    """An address that was stored may come back by any 64-bit load; repeat until that brings nothing lower."""
    flow = _Walk(body=body, from_memory=None).walk(entry)
    for _ in range(_ROUNDS):
        if not flow.exact or flow.stored is None:
            return flow
        again = _Walk(body=body, from_memory=flow.stored).walk(entry)
        if again.stored == flow.stored:
            return again
        flow = again
    return Flow(lowest=-STACK, exact=False)


@dataclass(slots=True, kw_only=True)
class _Walk:
    body: Sequence[Insn]
    from_memory: int | None
    lowest: int = 0
    indexed: bool = False
    stored: int | None = None
    passed: set[int] = field(default_factory=set)

    def walk(self, entry: _State) -> Flow:
        states: dict[int, _State] = {0: entry}
        waiting = [0]
        while waiting:
            at = waiting.pop()
            if not 0 <= at < len(self.body):
                continue
            after = self._step(self.body[at], states[at], at)
            for value in after[:10]:
                self.lowest = self.lowest if value is None else min(self.lowest, value)
            if self.lowest < -STACK:
                return Flow(lowest=-STACK, exact=False)
            for following in successors(self.body[at], at):
                known = states.get(following)
                joined = after if known is None else _join(known, after)
                if joined != known:
                    states[following] = joined
                    waiting.append(following)
        return Flow(lowest=self.lowest, indexed=self.indexed, stored=self.stored, passed=frozenset(self.passed))

    def _step(self, one: Insn, state: _State, at: int) -> _State:
        kind = one.code & 0x07
        registers = list(state)
        if kind in (insn.CLASS_ST, insn.CLASS_STX):
            self._touch(state[one.dst], one)
            if kind == insn.CLASS_STX:
                self._store(state[one.src])
        elif kind == insn.CLASS_LDX:
            self._touch(state[one.src], one)
            registers[one.dst] = self.from_memory if one.code == insn.LDX_DW else None
        elif one.code == insn.MOV64_REG and one.off == 0:
            registers[one.dst] = state[one.src]
        elif kind in (insn.CLASS_ALU, insn.CLASS_ALU64):
            registers[one.dst] = self._computed(one, state)
        elif kind == insn.CLASS_LD:
            registers[one.dst if one.code == insn.LD_IMM64 else 0] = None
        elif one.code == insn.CALL:
            if one.is_local_call and any(value is not None for value in state[1:6]):
                self.passed.add(at)
            registers[:6] = [None] * 6
        return tuple(registers)

    def _computed(self, one: Insn, state: _State) -> int | None:
        own = state[one.dst]
        if one.code == insn.ADD64_IMM:
            return None if own is None else own + one.imm
        if one.code == insn.SUB64_IMM:
            return None if own is None else own - one.imm
        if one.code == insn.ADD64_REG:
            other = state[one.src]
            base = own if other is None else other if own is None else None
            self.indexed |= base is not None
            return base
        return None  # the verifier allows no other arithmetic on addresses

    def _touch(self, base: int | None, one: Insn) -> None:
        if base is not None:
            self.lowest = min(self.lowest, base + one.off)

    def _store(self, value: int | None) -> None:
        if value is not None:
            self.stored = value if self.stored is None else min(self.stored, value)


def _join(left: _State, right: _State) -> _State:
    return tuple(
        right_one if left_one is None else left_one if right_one is None else min(left_one, right_one)
        for left_one, right_one in zip(left, right, strict=True)
    )
