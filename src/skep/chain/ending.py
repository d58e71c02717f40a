"""The shared end of a linked program: judge the verdict that ended the chain, count the packet, return.

Programs of one processor do not interrupt each other here (XDP and tc run with softirqs off), so the count is a plain
add to a per-CPU value: no locked instruction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from skep.bytecode import insn
from skep.bytecode.insn import FRAME
from skep.chain import counts, emit
from skep.chain.codes import Hook

VERDICT: Final = 0  # r0, where a member leaves its verdict
_SLOT: Final = 2  # r2, the first counter slot of the member that ended the chain
_FREE: Final = 1
# At the end everything on the stack is dead, the members' slots and the saved context: the first 16 bytes are reused.
# Whole 8-byte slots are written, because part of one that holds a pointer may not be without CAP_PERFMON.
FRAME_BYTES: Final = 16
_KEY: Final = -8
_VERDICT_SLOT: Final = -16


@dataclass(slots=True, kw_only=True)
class Ending:
    """Where members that end the chain jump to. It can be written several times, to stay in reach of short jumps.

    ``counter_map``: map number. The verdict waits on the stack during the lookup and not in a callee-saved register:
    saving one of those costs every packet.
    """

    hook: Hook
    counter_map: int
    _number: int = 0
    _first_use: int | None = None

    def stop(self, member: int, out: emit.Code) -> None:
        """``member`` ends the chain with the verdict in r0."""
        self._slot_of(member, out)
        if self._first_use is None:
            self._first_use = len(out)
        out.to(self._label, emit.jump())

    def stop_here(self, member: int, out: emit.Code) -> None:
        """The same, with the end following directly."""
        self._slot_of(member, out)
        self.write(out)

    def distance(self, out: emit.Code) -> int:
        """Instructions from the first pending jump to here."""
        return 0 if self._first_use is None else len(out) - self._first_use

    def write(self, out: emit.Code) -> None:
        """The end itself; all jumps since the last ``write`` come here."""
        out.place(self._label)
        index = VERDICT
        if self.hook.lowest:
            index = _FREE
            out.add(insn.mov32(_FREE, VERDICT), insn.add32_imm(_FREE, -self.hook.lowest))
        bad, count = f"{self._label} unknown", f"{self._label} count"
        out.to(bad, emit.jump32_if(insn.JGT, index, self.hook.known - 1))
        out.add(insn.add32(_SLOT, index))
        out.to(count, emit.jump())
        out.place(bad)
        out.add(insn.mov32_imm(VERDICT, self.hook.abort), insn.add32_imm(_SLOT, self.hook.known))
        out.place(count)
        out.add(insn.store64(FRAME, _KEY, _SLOT), insn.store64(FRAME, _VERDICT_SLOT, VERDICT))
        self._count(out)
        out.add(insn.load64(VERDICT, FRAME, _VERDICT_SLOT), insn.mov32(VERDICT, VERDICT), insn.EXIT_INSN)
        self._number += 1
        self._first_use = None

    def fall_off(self, members: int, out: emit.Code) -> None:
        """All ``members`` handed the packet on."""
        out.add(insn.store64_imm(FRAME, _KEY, counts.fall_off_slot(self.hook, members)))
        self._count(out)
        out.add(insn.mov32_imm(VERDICT, self.hook.fall_off), insn.EXIT_INSN)
        self._number += 1

    @property
    def _label(self) -> str:
        return f"end {self._number}"

    def _slot_of(self, member: int, out: emit.Code) -> None:
        out.add(insn.mov32_imm(_SLOT, counts.slot(self.hook, member, self.hook.lowest)))

    def _count(self, out: emit.Code) -> None:
        uncounted = f"{self._label} counted"
        out.add(
            insn.mov64(2, FRAME),
            insn.add64_imm(2, _KEY + insn.LOW_HALF),
            *insn.map_address(1, self.counter_map),
            insn.call_helper(insn.HELPER_MAP_LOOKUP),
        )
        out.to(uncounted, emit.jump_if_null(0))
        out.add(insn.load64(_FREE, 0, 0), insn.add64_imm(_FREE, 1), insn.store64(0, 0, _FREE))
        out.place(uncounted)
