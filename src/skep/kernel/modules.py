"""Code of modules: what was probed in one that has been unloaded since."""

from __future__ import annotations

import functools
from typing import Final

_SYMBOLS: Final = "/proc/kallsyms"
_MODULES: Final = "/proc/modules"
_KPROBES: Final = "/sys/kernel/debug/kprobes/list"


def is_unloaded(address: int) -> bool:
    """Whether an address is of neither the kernel's code nor a loaded module's; False for 0, which says nothing."""
    first, last = _kernel()
    if not address or not last or first <= address < last:
        return False
    return not any(start <= address < start + size for start, size in _loaded()) or _is_dead(address)


@functools.cache
def _kernel() -> tuple[int, int]:
    """The kernel's own code from ``_stext`` to the end of its initial part, (0, 0) where the addresses are hidden."""
    found = {"_stext": 0, "_einittext": 0, "_etext": 0}
    try:
        with open(_SYMBOLS, encoding="ascii", errors="replace") as file:
            for line in file:
                address, _, name = line.split(maxsplit=3)[:3]
                if name in found:
                    found[name] = int(address, 16)
                if "[" in line:  # modules come last
                    break
    except OSError:
        return 0, 0
    last = max(found["_einittext"], found["_etext"])
    return (found["_stext"], last) if found["_stext"] and last else (0, 0)


def _is_dead(address: int) -> bool:
    """Whether the kernel's list of kprobes has only dead ones there; False where it cannot be read (debugfs).

    A module that comes back is often where it was, and the kernel does not arm the old probes again.
    """
    try:
        with open(_KPROBES, encoding="ascii", errors="replace") as file:
            here = [line for line in file if int(line.split(maxsplit=1)[0], 16) == address]
    except (OSError, IndexError, ValueError):
        return False
    return bool(here) and all("[GONE]" in line for line in here)


def _loaded() -> list[tuple[int, int]]:
    """Address and size of each module; the size also counts its data, which only errs towards "still there"."""
    modules: list[tuple[int, int]] = []
    try:
        with open(_MODULES, encoding="ascii", errors="replace") as file:
            for line in file:
                words = line.split()
                modules.append((int(words[5], 16), int(words[1])))
    except (OSError, IndexError, ValueError):
        return [(0, 1 << 64)]  # cannot be told: then nothing is said to be gone
    return modules
