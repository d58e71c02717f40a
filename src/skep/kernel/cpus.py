"""How many CPUs per-CPU maps have values for."""

from __future__ import annotations

from typing import Final

_POSSIBLE: Final = "/sys/devices/system/cpu/possible"


_ONLINE: Final = "/sys/devices/system/cpu/online"


def online() -> tuple[int, ...]:
    """Numbers of the CPUs that run now."""
    with open(_ONLINE, encoding="ascii") as file:
        return numbers(file.read())


def possible() -> int:
    """The number of possible CPUs, which is what the kernel sizes per-CPU values by (not: online)."""
    with open(_POSSIBLE, encoding="ascii") as file:
        return count(file.read())


def numbers(ranges: str) -> tuple[int, ...]:
    """A list as sysfs writes it, number by number: "0-2,5" is 0, 1, 2, 5."""
    found: list[int] = []
    for part in ranges.strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def count(ranges: str) -> int:
    """Number of CPUs in a list as sysfs writes it: "0-3,5" is 5 of them."""
    total = 0
    for part in ranges.strip().split(","):
        first, _, last = part.partition("-")
        total += int(last or first) - int(first) + 1
    return total
