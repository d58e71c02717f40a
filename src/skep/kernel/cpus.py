"""How many CPUs per-CPU maps have values for."""

from __future__ import annotations

from typing import Final

_POSSIBLE: Final = "/sys/devices/system/cpu/possible"


def possible() -> int:
    """The number of possible CPUs, which is what the kernel sizes per-CPU values by (not: online)."""
    with open(_POSSIBLE, encoding="ascii") as file:
        return count(file.read())


def count(ranges: str) -> int:
    """Number of CPUs in a list as sysfs writes it: "0-3,5" is 5 of them."""
    total = 0
    for part in ranges.strip().split(","):
        first, _, last = part.partition("-")
        total += int(last or first) - int(first) + 1
    return total
