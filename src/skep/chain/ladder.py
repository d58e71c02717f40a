"""The code that decides whether a verdict in r0 hands on: comparisons for small proceed-on sets, a bit test for others.

One comparison per verdict is cheaper than shifting as long as there are few; sets are small nearly always. All
comparisons are on 32 bits, as the kernel reads a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from skep.bytecode import insn
from skep.bytecode.insn import Insn
from skep.chain import emit, verdict
from skep.chain.codes import Hook, Mask

_VERDICT: Final = 0  # r0
_SHIFT: Final = 1  # r1 and r2 are free after a member
_BIT: Final = 2
_FEW: Final = 4  # comparisons


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One instruction; ``hands_on``: it is a jump that goes to the next member."""

    insn: Insn
    hands_on: bool = False


def tests(hook: Hook, mask: Mask) -> Sequence[Test]:
    """Jump to the next member when the verdict in r0 is in ``mask``, else fall through. Changes r1 and r2 only."""
    comparisons = _comparisons(hook, verdict.codes(hook, mask))
    if len(comparisons) <= _FEW:
        return [Test(insn=one, hands_on=True) for one in comparisons]
    return [
        Test(insn=insn.mov32(_SHIFT, _VERDICT)),
        Test(insn=insn.add32_imm(_SHIFT, -hook.lowest)),
        # The processor shifts modulo 32, so a verdict of 34 would pass for 2 without this.
        Test(insn=emit.jump32_if(insn.JGT, _SHIFT, 31)._replace(off=3)),
        Test(insn=insn.mov32_imm(_BIT, 1)),
        Test(insn=Insn(insn.LSH32_REG, _BIT, _SHIFT)),
        Test(insn=emit.jump32_if(insn.JSET, _BIT, mask), hands_on=True),
    ]


def _comparisons(hook: Hook, wanted: Sequence[int]) -> list[Insn]:
    """The likeliest verdict first: the one that falling off the end means."""
    from_zero = 0
    while from_zero in wanted:
        from_zero += 1
    result: list[Insn] = []
    rest = sorted(wanted, key=lambda code: (code != hook.fall_off, code))
    if from_zero > 1:  # verdicts 0..n in one unsigned comparison; -1 is far above
        result.append(emit.jump32_if(insn.JLE, _VERDICT, from_zero - 1))
        rest = [code for code in rest if not 0 <= code < from_zero]
    return result + [emit.jump32_if(insn.JEQ, _VERDICT, code) for code in rest]
