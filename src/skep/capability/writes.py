"""Does a program store into packets? Goal: "rewrites packets" for those that do, and not for each that counts.

Every register holds some of: the context, a pointer to the packet, one to the stack, anything else. A forward pass
over each function's instructions joins these at every meeting of paths until nothing changes; functions hand each
other what is in r1 to r5 and r0. Memory is one cell: what was once stored on the stack may be read back anywhere on
it; pointers to packets cannot be kept in maps (the verifier forgets what they were). Loads from the context give a
packet's pointer at the offsets of ``data`` and ``data_meta`` (linux/bpf.h, by program type).

Limits: code that jumps out of its function, or of more than ``LARGEST`` instructions, is said to write.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from skep.bytecode import insn
from skep.bytecode.insn import Insn
from skep.capability.code import Function, Place, reachable

LARGEST: Final = 65_536
"""Instructions of one function and all that it calls."""

_NOTHING, _CONTEXT, _PACKET, _STACK, _OTHER = 0, 1, 2, 4, 8
_REGISTERS: Final = 11
_MEMORY: Final = 0x60  # BPF_MEM
_SIGNED: Final = 0x80  # BPF_MEMSX
_ATOMIC: Final = 0xC0
_SKB: Final = frozenset({76, 140})  # struct __sk_buff: data, data_meta
DATA: Final[Mapping[str, frozenset[int]]] = {
    "xdp": frozenset({0, 8}),  # struct xdp_md
    "sk_msg": frozenset({0}),  # struct sk_msg_md
    **dict.fromkeys(("tc", "tcx", "netkit", "sk_skb", "lwt_xmit", "cgroup_skb"), _SKB),
}
"""Type -> offsets in bytes of the context's fields that point into a packet that may be written directly."""

_State = tuple[int, ...]


class _Escaped(Exception):
    """The code leaves its function by a jump."""


def into_packets(start: Place, known: Mapping[Place, Function], type_: str) -> bool:
    """Whether the program that starts at ``start`` may store into a packet directly, without a helper."""
    fields = DATA.get(type_)
    if not fields:
        return False
    parts = reachable(start, known)
    if sum(len(one.insns) for one in parts) > LARGEST:
        return True
    try:
        return _Flow(parts, fields).writes(start)
    except _Escaped:
        return True


class _Flow:
    """The passes over one program's functions, repeated until no argument, result or stored value is new."""

    def __init__(self, parts: tuple[Function, ...], fields: frozenset[int]) -> None:
        self.parts = {one.place: one for one in parts}
        self.fields = fields
        self.arguments: dict[Place, _State] = {}
        self.results: dict[Place, int] = {}
        self.stored = _OTHER
        self.found = False

    def writes(self, start: Place) -> bool:
        self.arguments[start] = (_CONTEXT, _NOTHING, _NOTHING, _NOTHING, _NOTHING)
        while True:
            before = (dict(self.arguments), dict(self.results), self.stored)
            for place, arguments in before[0].items():
                self._function(self.parts[place], arguments)
                if self.found:
                    return True
            if before == (self.arguments, self.results, self.stored):
                return False

    def _function(self, one: Function, arguments: _State) -> None:
        states: dict[int, _State] = {0: (_NOTHING, *arguments, *(_NOTHING,) * 4, _STACK)}
        todo = [0]
        while todo and not self.found:
            at = todo.pop()
            after = self._step(one, at, states[at])
            for following in _next(one, at):
                if not 0 <= following < len(one.insns):
                    raise _Escaped
                old = states.get(following)
                new = after if old is None else tuple(a | b for a, b in zip(old, after, strict=True))
                if new != old:
                    states[following] = new
                    todo.append(following)
            if one.insns[at].is_exit:
                self.results[one.place] = self.results.get(one.place, _NOTHING) | after[0]

    def _step(self, one: Function, at: int, state: _State) -> _State:
        """The registers after an instruction; notes what it stores."""
        code, dst, src, off, _ = one.insns[at]
        if dst >= _REGISTERS or (src >= _REGISTERS and code != insn.CALL):
            raise _Escaped  # the verifier refuses it
        kind = code & 0x07
        if kind in (insn.CLASS_ST, insn.CLASS_STX):
            return self._store(one.insns[at], state)
        if kind == insn.CLASS_LDX:
            return _with(state, dst, self._load(state[src], off, code & 0xE0))
        if kind in (insn.CLASS_ALU, insn.CLASS_ALU64):
            return _with(state, dst, _sum(one.insns[at], state))
        if code == insn.LD_IMM64:
            return _with(state, dst, _OTHER)
        if kind == insn.CLASS_LD:
            return _with(state, 0, _OTHER)  # the old packet loads answer in r0
        if code == insn.CALL:
            return self._call(one, at, state)
        return state

    def _store(self, one: Insn, state: _State) -> _State:
        base = state[one.dst]
        if base & _PACKET:
            self.found = True
        if base & _STACK and one.code & 0x07 == insn.CLASS_STX:
            self.stored |= state[one.src]
        if one.code & 0xE0 == _ATOMIC:  # an exchange answers what was there, in r0 or the source
            held = self._load(base, one.off, _MEMORY)
            return _with(_with(state, 0, state[0] | held), one.src, state[one.src] | held)
        return state

    def _load(self, base: int, off: int, mode: int) -> int:
        value = _OTHER
        if base & _STACK:
            value |= self.stored
        if base & _CONTEXT and mode in (_MEMORY, _SIGNED) and off in self.fields:
            value |= _PACKET
        return value

    def _call(self, one: Function, at: int, state: _State) -> _State:
        result = _OTHER
        place = one.calls.get(at)
        if place is not None and place in self.parts:
            self._hand(place, state[1:6])
            result = self.results.get(place, _NOTHING)
        # A callback gets the stack's and maps' values, and what its caller hands on; which one is called is not said.
        for callback in one.callbacks.values():
            if callback in self.parts:
                self._hand(callback, (_OTHER | _STACK | _CONTEXT,) * 5)
        return (result, *(_NOTHING,) * 5, *state[6:])

    def _hand(self, place: Place, given: _State) -> None:
        old = self.arguments.get(place, (_NOTHING,) * 5)
        self.arguments[place] = tuple(a | b for a, b in zip(old, given, strict=True))


def _with(state: _State, register: int, value: int) -> _State:
    return (*state[:register], value, *state[register + 1 :])


def _sum(one: Insn, state: _State) -> int:
    """What arithmetic leaves in its destination: a copy is its source, all else may be either operand moved along."""
    from_register = bool(one.code & insn.SOURCE_REGISTER)
    if one.code & 0xF0 == insn.ALU_MOV:
        return state[one.src] if from_register else _OTHER
    return state[one.dst] | (state[one.src] if from_register else _NOTHING)


def _next(one: Function, at: int) -> tuple[int, ...]:
    """Where the code may go on after an instruction."""
    step = one.insns[at]
    if step.is_exit:
        return ()
    if step.code == insn.LD_IMM64:
        return (at + 2,)
    kind, operation = step.code & 0x07, step.code & 0xF0
    if kind not in (insn.CLASS_JMP, insn.CLASS_JMP32) or operation == insn.CALL_OP:
        return (at + 1,)
    if step.code == insn.JUMP_LONG:
        return (at + 1 + step.imm,)
    if step.code == insn.JUMP:
        return (at + 1 + step.off,)
    return (at + 1, at + 1 + step.off)
