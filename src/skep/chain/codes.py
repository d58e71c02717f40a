"""What the verdicts of a hook are called and mean to a chain; one ``Hook`` value per kind of chain.

Sources: ``enum xdp_action`` (linux/bpf.h), TC_ACT_* (linux/pkt_cls.h). The two ``dispatcher_return`` codes are those
that libxdp's and bpfman's dispatchers give to an empty slot; a program may return one to say "no opinion".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NewType

from skep.hooks import tc, tcx, xdp

Mask = NewType("Mask", int)  # bit (code - lowest code) set: this verdict hands on to the next member


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Everything that differs between chains of XDP and of TC programs.

    ``codes``: name -> code; the consecutive real verdicts, then ``dispatcher_return``.
    ``last``: the highest verdict the kernel knows; ``lowest`` the first (bit 0 of a mask).
    ``fall_off``: verdict of a packet that every member handed on. ``abort``: verdict of a chain that a member ended
    with a code the kernel does not know. ``default``: proceed-on when nothing is asked.
    ``context``: the C struct that programs get. ``unforeseen``: offset in it of a u32 of which the verifier knows
    nothing. ``prog_type``, ``attach_type``: as for BPF_PROG_LOAD (linux/bpf.h).
    """

    name: str
    codes: Mapping[str, int]
    lowest: int
    last: int
    fall_off: int
    abort: int
    default: tuple[str, ...]
    context: str
    unforeseen: int
    prog_type: int
    attach_type: int

    @property
    def known(self) -> int:
        """How many consecutive verdicts the kernel knows."""
        return self.last - self.lowest + 1

    @property
    def other(self) -> int:
        """Stands for every code the kernel does not know, where verdicts are counted."""
        return self.last + 1

    def bit(self, code: int) -> Mask:
        return Mask(1 << code - self.lowest)


XDP: Final = Hook(
    name="XDP",
    codes=xdp.VERDICTS,
    lowest=0,
    last=4,
    fall_off=2,
    abort=0,
    default=tuple(name for name, code in xdp.VERDICTS.items() if code in xdp.DEFAULT_PROCEED_ON),
    context="xdp_md",
    unforeseen=16,  # rx_queue_index
    prog_type=xdp.BPF_PROG_TYPE_XDP,
    attach_type=xdp.BPF_XDP,
)

# A chain of TC programs that one of them ends with an unknown code drops the packet, as XDP_ABORTED does.
TC: Final = Hook(
    name="TC",
    codes=tc.VERDICTS,
    lowest=-1,
    last=8,
    fall_off=0,
    abort=2,
    default=tuple(name for name, code in tc.VERDICTS.items() if code in tc.DEFAULT_PROCEED_ON),
    context="__sk_buff",
    unforeseen=0,  # len
    prog_type=tcx.BPF_PROG_TYPE_SCHED_CLS,
    attach_type=0,
)
