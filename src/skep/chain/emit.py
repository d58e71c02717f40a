"""Instructions with labels: collect code in order, name places in it, and resolve the distances at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from skep import errors
from skep.bytecode import insn
from skep.bytecode.insn import Insn

REACH: Final = 32_767  # instructions a conditional or short jump can skip: its distance is 16 bits, signed


@dataclass(slots=True)
class Code:
    """A program being written. Jumps and calls may name labels that are placed later."""

    insns: list[Insn] = field(default_factory=list)
    _labels: dict[str, int] = field(default_factory=dict)
    _uses: list[tuple[int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.insns)

    def add(self, *code: Insn) -> None:
        self.insns.extend(code)

    def to(self, label: str, one: Insn) -> None:
        """Add a jump, a local call or a function address that goes to ``label``."""
        self._uses.append((len(self.insns), label))
        self.insns.append(one)

    def place(self, label: str) -> None:
        """The next instruction is where ``label`` goes."""
        self._labels[label] = len(self.insns)

    def where(self, label: str) -> int:
        """The index of the instruction at ``label``."""
        return self._labels[label]

    def finish(self) -> list[Insn]:
        """The code with every distance filled in; ``Broken`` when a short jump would be too long."""
        result = list(self.insns)
        for at, label in self._uses:
            distance = self._labels[label] - at - 1
            one = result[at]
            if one.is_local_call or one.is_function_address or one.code == insn.JUMP_LONG:
                result[at] = one._replace(imm=distance)
            elif -REACH - 1 <= distance <= REACH:
                result[at] = one._replace(off=distance)
            else:
                raise errors.Broken(
                    "a chain cannot be linked", why=f"a jump to {label} skips {distance} instructions", do="report this"
                )
        return result


def jump() -> Insn:
    """``goto ...``"""
    return Insn(insn.JUMP)


def jump32_if(operation: int, register: int, value: int) -> Insn:
    """``if (u32)register <operation> value goto ...``; Linux 5.1."""
    return Insn(insn.CLASS_JMP32 | operation, register, 0, 0, value if value < 1 << 31 else value - (1 << 32))


def jump_if_null(register: int) -> Insn:
    """``if register == 0 goto ...``"""
    return Insn(insn.CLASS_JMP | insn.JEQ, register)
