"""The counter map of a linked chain: who ended how many packets with which verdict, and what follows from it.

The map is one per chain revision: BPF_MAP_TYPE_PERCPU_ARRAY, 4-byte key, 8-byte value. A packet is counted once, in
the slot of the member and verdict that ended the chain, or in the last slot when every member handed it on. How often
a member ran follows by subtraction: everything, less what earlier members ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from skep.chain.codes import Hook

MAP_TYPE: Final = 6  # BPF_MAP_TYPE_PERCPU_ARRAY; Linux 4.6
KEY_SIZE: Final = 4
VALUE_SIZE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What one member of a chain did, in packets.

    ``runs`` = ``proceeded`` + all of ``stops``. ``stops`` has every verdict the hook knows by name, and "other": codes
    the kernel does not know, which end a chain as aborted.
    """

    runs: int
    proceeded: int
    stops: Mapping[str, int]

    def plus(self, other: Counts) -> Counts:
        """The sum, for totals over chain revisions."""
        names = dict.fromkeys([*self.stops, *other.stops])
        return Counts(
            runs=self.runs + other.runs,
            proceeded=self.proceeded + other.proceeded,
            stops={name: self.stops.get(name, 0) + other.stops.get(name, 0) for name in names},
        )


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


def totals(hook: Hook, members: int, slots: Sequence[Sequence[int]]) -> tuple[Counts, ...]:
    """What every member did, from the raw map: ``slots[slot][cpu]``, as BPF_MAP_LOOKUP_ELEM gives each slot."""
    sums = [sum(per_cpu) for per_cpu in slots[: max_entries(hook, members)]]
    sums.extend([0] * (max_entries(hook, members) - len(sums)))
    names = {code: name for name, code in hook.codes.items() if code <= hook.last}
    left = sum(sums)
    result: list[Counts] = []
    for member in range(members):
        stops = {names[code]: sums[slot(hook, member, code)] for code in range(hook.lowest, hook.last + 1)}
        stops["other"] = sums[slot(hook, member, hook.last + 1)]
        ended = sum(stops.values())
        result.append(Counts(runs=left, proceeded=left - ended, stops=stops))
        left -= ended
    return tuple(result)


def none(hook: Hook) -> Counts:
    """The counts of a member that has not seen a packet."""
    return totals(hook, 1, [])[0]
