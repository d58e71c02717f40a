"""A small BPF interpreter: enough to run linked programs of made-up members against one counter map.

Not a verifier and not a model of the kernel: it runs the instructions that the tests' members and the linker use, and
fails loudly on any other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from skep.bytecode import insn
from skep.bytecode.insn import Insn

_M32, _M64 = (1 << 32) - 1, (1 << 64) - 1
_VALUES = 1 << 40  # addresses of map values start here
_CONTEXT = 1 << 30
_STACK = 1 << 20
_STEPS = 10_000


@dataclass(slots=True)
class Machine:
    """Runs ``code`` for one packet after the other; ``slots`` counts what it adds to the map's values."""

    code: list[Insn]
    slots: dict[int, int] = field(default_factory=dict)
    ran: list[int] = field(default_factory=list)  # marks that members leave: helper 1000 with r1

    def run(self, context: int) -> int:
        """The verdict as u32 for a packet whose context's first 8 bytes are ``context``."""
        self.ran.clear()
        memory = {_CONTEXT: context}
        registers = [0] * 11
        registers[1], registers[insn.FRAME] = _CONTEXT, _STACK
        calls: list[tuple[int, list[int]]] = []
        at = 0
        for _ in range(_STEPS):
            one = self.code[at]
            at += 1
            if one.is_exit:
                if not calls:
                    return registers[0] & _M32
                at, saved = calls.pop()
                registers[6:] = saved
            elif one.is_local_call:
                calls.append((at, registers[6:]))
                registers[insn.FRAME] -= 512
                at += one.imm
            elif one.code == insn.CALL:
                self._helper(one.imm, registers, memory)
            elif one.code == insn.LD_IMM64:
                registers[one.dst] = one.imm
                at += 1
            elif one.code & 7 in (insn.CLASS_JMP, insn.CLASS_JMP32):
                at += one.off if _taken(one, registers) else 0
            else:
                self._plain(one, registers, memory)
        raise AssertionError("the program does not end")

    def _helper(self, helper: int, registers: list[int], memory: dict[int, int]) -> None:
        if helper == insn.HELPER_MAP_LOOKUP:
            key = memory[registers[2]] & _M32
            memory.setdefault(_VALUES + 8 * key, self.slots.get(key, 0))
            result = _VALUES + 8 * key
        elif helper == insn.HELPER_TAIL_CALL:  # not taken
            result = 0
        elif helper == 1000:
            self.ran.append(registers[1])
            result = 0
        else:
            raise AssertionError(f"helper {helper}")
        registers[:6] = [result, *[0xDEAD] * 5]

    def _plain(self, one: Insn, registers: list[int], memory: dict[int, int]) -> None:
        value = registers[one.src] if one.code & 8 else one.imm
        match one.code:
            case insn.MOV64_REG | insn.MOV64_IMM:
                registers[one.dst] = value & _M64
            case insn.MOV32_REG | insn.MOV32_IMM:
                registers[one.dst] = value & _M32
            case insn.ADD64_IMM | insn.ADD64_REG:
                registers[one.dst] = registers[one.dst] + value & _M64
            case insn.ADD32_IMM | insn.ADD32_REG:
                registers[one.dst] = registers[one.dst] + value & _M32
            case insn.LSH32_REG:
                registers[one.dst] = registers[one.dst] << (value & 31) & _M32
            case insn.XOR32_REG:
                registers[one.dst] = (registers[one.dst] ^ value) & _M32
            case insn.LDX_W:  # of the context: nobody relies on what there is
                registers[one.dst] = memory.get(registers[one.src] + one.off, 0xA5C35A3C) & _M32
            case insn.LDX_DW:
                registers[one.dst] = memory[registers[one.src] + one.off]
            case insn.STX_DW:
                self._store(registers[one.dst] + one.off, registers[one.src], memory)
            case insn.ST_DW:
                self._store(registers[one.dst] + one.off, one.imm & _M64, memory)
            case _:
                raise AssertionError(one)

    def _store(self, address: int, value: int, memory: dict[int, int]) -> None:
        memory[address] = value
        if address >= _VALUES:
            self.slots[(address - _VALUES) // 8] = value


def _taken(one: Insn, registers: list[int]) -> bool:
    mask = _M32 if one.code & 7 == insn.CLASS_JMP32 else _M64
    left = registers[one.dst] & mask
    right = (registers[one.src] if one.code & 8 else one.imm) & mask
    match one.code & 0xF0:
        case insn.JA:
            return True
        case insn.JEQ:
            return left == right
        case insn.JNE:
            return left != right
        case insn.JGT:
            return left > right
        case insn.JLE:
            return left <= right
        case insn.JSET:
            return bool(left & right)
    raise AssertionError(one)
