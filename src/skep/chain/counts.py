"""The counter map of a linked chain: who ended how many packets with which verdict, and what follows from it.

The map is one per chain revision: BPF_MAP_TYPE_PERCPU_ARRAY, 4-byte key, 8-byte value. A packet is counted once, in
the slot of the member and verdict that ended the chain, or in the last slot when every member handed it on. How often
a member ran follows by subtraction: everything, less what earlier members ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from skep import model
from skep.chain.codes import Hook

MAP_TYPE: Final = 6  # BPF_MAP_TYPE_PERCPU_ARRAY; Linux 4.6
KEY_SIZE: Final = 4
VALUE_SIZE: Final = 8


def stride(hook: Hook) -> int:
    """Slots of one member: every known verdict, one for the others, rounded up to a power of two."""
    return 1 << (hook.known).bit_length()


def slot(hook: Hook, member: int, code: int) -> int:
    """Where a packet that ``member`` (position, from 0) ended with ``code`` is counted."""
    known = hook.lowest <= code <= hook.last
    return member * stride(hook) + (code - hook.lowest if known else hook.known)


def fall_off_slot(hook: Hook, members: int) -> int:
    """Where a packet that all ``members`` handed on is counted."""
    return members * stride(hook)


def max_entries(hook: Hook, members: int) -> int:
    """How many entries the counter map of a chain of ``members`` has."""
    return fall_off_slot(hook, members) + 1


def totals(hook: Hook, members: int, slots: Sequence[int]) -> tuple[model.Counts, ...]:
    """What every member did, from the map: ``slots[slot]`` is the sum over all CPUs; missing slots count as 0.

    ``stopped`` has the codes that occurred; those the kernel does not know are all under ``hook.other``.
    """
    wanted = max_entries(hook, members)
    sums = [*slots[:wanted], *[0] * (wanted - len(slots))]
    left = sum(sums)
    result: list[model.Counts] = []
    for member in range(members):
        stopped = {
            code: sums[slot(hook, member, code)]
            for code in range(hook.lowest, hook.other + 1)
            if sums[slot(hook, member, code)]
        }
        ended = sum(stopped.values())
        result.append(model.Counts(runs=left, proceeded=left - ended, stopped=stopped))
        left -= ended
    return tuple(result)
